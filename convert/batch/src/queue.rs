//! Which job is next. Pure: no clock, no threads, no files.
//!
//! Jobs with the same source and target are a group, since the same limits hold for them; the group's first job stands for
//! it. A group whose source or target is busy is parked there and comes back when a slot is free, so that a decision costs
//! the logarithm of the jobs and not their number.

use crate::Task;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

/// How many jobs may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all; at least 1.
    pub jobs: usize,
    /// Of one source.
    pub per_source: Option<usize>,
    /// Of one target.
    pub per_target: Option<usize>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start this job.
    Start(usize),
    /// Nothing can be started before a job ends, or before this time.
    Wait(Option<Duration>),
    /// All jobs were ended.
    Finished,
}

/// Highest priority first, then the job file's order.
type Rank = (Reverse<i32>, usize);

#[derive(Debug, Default)]
struct Place {
    running: usize,
    parked: BTreeSet<(Rank, usize)>,
}

#[derive(Debug)]
struct Group {
    source: usize,
    target: usize,
    ready: BinaryHeap<Reverse<Rank>>,
}

#[derive(Debug)]
struct Item {
    group: usize,
    rank: Rank,
    wave: u32,
}

/// The jobs of a run that have not ended.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    items: Vec<Item>,
    groups: Vec<Group>,
    sources: Vec<Place>,
    targets: Vec<Place>,
    /// Groups of the wave that runs which may have room.
    open: BTreeSet<(Rank, usize)>,
    /// Jobs of waves to come, by wave.
    later: BTreeMap<u32, Vec<usize>>,
    /// Jobs that wait for a time.
    delayed: BTreeSet<(Duration, usize)>,
    /// Jobs of the wave that runs which have not ended.
    left: usize,
    running: usize,
    stopped: bool,
}

impl Queue {
    /// A queue of `tasks`; jobs are named by their numbers in it.
    #[must_use]
    pub fn new<'a>(tasks: impl IntoIterator<Item = &'a Task>, limits: Limits) -> Self {
        let mut queue = Self {
            limits: Limits { jobs: limits.jobs.max(1), ..limits },
            items: Vec::new(),
            groups: Vec::new(),
            sources: Vec::new(),
            targets: Vec::new(),
            open: BTreeSet::new(),
            later: BTreeMap::new(),
            delayed: BTreeSet::new(),
            left: 0,
            running: 0,
            stopped: false,
        };
        let (mut sources, mut targets, mut groups) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (number, task) in tasks.into_iter().enumerate() {
            let source = place(&mut sources, &task.source_key, &mut queue.sources);
            let target = place(&mut targets, &task.target_key, &mut queue.targets);
            let group = *groups.entry((source, target)).or_insert_with(|| {
                queue.groups.push(Group { source, target, ready: BinaryHeap::new() });
                queue.groups.len() - 1
            });
            queue.items.push(Item { group, rank: (Reverse(task.priority), number), wave: task.wave });
            queue.later.entry(task.wave).or_default().push(number);
        }
        queue
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// What to do at the time `now`. A job that is given to be started counts as running.
    pub fn next(&mut self, now: Duration) -> Next {
        if self.stopped {
            return if self.running == 0 { Next::Finished } else { Next::Wait(None) };
        }
        if self.left == 0 && !self.begin_wave() {
            return Next::Finished;
        }
        while let Some(&(due, number)) = self.delayed.first().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, number));
            self.put(number);
        }
        if self.running < self.limits.jobs
            && let Some(number) = self.pick()
        {
            self.running += 1;
            return Next::Start(number);
        }
        Next::Wait(self.delayed.first().map(|(due, _)| *due))
    }

    /// The job has ended, and is not started again.
    pub fn ended(&mut self, number: usize) {
        self.free(number);
        self.left -= 1;
    }

    /// The job has ended, and is started again at the time `due` at the earliest.
    pub fn again(&mut self, number: usize, due: Duration) {
        self.free(number);
        self.delayed.insert((due, number));
    }

    /// No job is started any more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Jobs of this wave that are not ended and do not run, and of waves to come: what [`Queue::stop`] leaves.
    pub fn not_started(&self) -> impl Iterator<Item = usize> {
        let ready = self.groups.iter().flat_map(|group| &group.ready).map(|Reverse((_, number))| *number);
        let delayed = self.delayed.iter().map(|(_, number)| *number);
        ready.chain(delayed).chain(self.later.values().flatten().copied())
    }

    fn begin_wave(&mut self) -> bool {
        let Some((_, jobs)) = self.later.pop_first() else { return false };
        self.left = jobs.len();
        jobs.into_iter().for_each(|number| self.put(number));
        true
    }

    /// Adds a job to those that can be started.
    fn put(&mut self, number: usize) {
        let Item { group, rank, .. } = self.items[number];
        let former = self.groups[group].ready.peek().map(|Reverse(rank)| *rank);
        self.groups[group].ready.push(Reverse(rank));
        if former.is_none_or(|former| rank < former) {
            if let Some(former) = former {
                self.take_out(former, group);
            }
            self.open.insert((rank, group));
        }
    }

    fn take_out(&mut self, rank: Rank, group: usize) {
        let key = (rank, group);
        let Group { source, target, .. } = self.groups[group];
        let _ = self.open.remove(&key)
            || self.sources[source].parked.remove(&key)
            || self.targets[target].parked.remove(&key);
    }

    fn pick(&mut self) -> Option<usize> {
        while let Some((rank, group)) = self.open.pop_first() {
            let Group { source, target, .. } = self.groups[group];
            if is_full(&self.sources[source], self.limits.per_source) {
                self.sources[source].parked.insert((rank, group));
                // It may have come from there, and the next one's source may have room.
                self.offer_target(target);
                continue;
            }
            if is_full(&self.targets[target], self.limits.per_target) {
                self.targets[target].parked.insert((rank, group));
                self.offer_source(source);
                continue;
            }
            self.groups[group].ready.pop();
            self.sources[source].running += 1;
            self.targets[target].running += 1;
            if let Some(Reverse(next)) = self.groups[group].ready.peek() {
                self.open.insert((*next, group));
            }
            // One slot more may be free than was used.
            self.offer_source(source);
            self.offer_target(target);
            return Some(rank.1);
        }
        None
    }

    /// Where a source has room, the first of what is parked there is looked at again.
    fn offer_source(&mut self, source: usize) {
        let place = &mut self.sources[source];
        if !is_full(place, self.limits.per_source) {
            self.open.extend(place.parked.pop_first());
        }
    }

    fn offer_target(&mut self, target: usize) {
        let place = &mut self.targets[target];
        if !is_full(place, self.limits.per_target) {
            self.open.extend(place.parked.pop_first());
        }
    }

    fn free(&mut self, number: usize) {
        let Group { source, target, .. } = self.groups[self.items[number].group];
        self.running -= 1;
        self.sources[source].running -= 1;
        self.targets[target].running -= 1;
        self.offer_source(source);
        self.offer_target(target);
    }

    /// The wave of a job.
    #[must_use]
    pub fn wave(&self, number: usize) -> u32 {
        self.items[number].wave
    }
}

fn place<'a>(known: &mut HashMap<&'a str, usize>, key: &'a str, places: &mut Vec<Place>) -> usize {
    *known.entry(key).or_insert_with(|| {
        places.push(Place::default());
        places.len() - 1
    })
}

fn is_full(place: &Place, limit: Option<usize>) -> bool {
    limit.is_some_and(|limit| place.running >= limit.max(1))
}

#[cfg(test)]
mod tests;
