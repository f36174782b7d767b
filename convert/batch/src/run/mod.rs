//! A batch from its first job to its last.
//!
//! One thread decides; each running job has a thread that asks for its lease, starts the child and waits for it; one more
//! thread renews the leases.

mod begin;
mod destinations;
mod keeper;
mod tell;
mod work;

use crate::child::ChildHandle;
use crate::events::Event;
use crate::lease::{Leases, LocalLeases, Owner};
use crate::queue::{Limits, Next, Queue};
use crate::runner::{Isolation, Runner};
use crate::shard::Shard;
use crate::state::{BatchInfo, BatchState, JobState, Phase, Progress, StateFolder};
use crate::task::Task;
use crate::verdict::exit_code;
use begin::Begun;
use destinations::Destinations;
use format_core::Result;
use keeper::Keeper;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tell::Teller;
use work::{Ended, Worker};

/// How often the signals are looked at.
const STEP: Duration = Duration::from_millis(50);
/// No wait before an attempt is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// How a batch is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder of the outputs: the leases go there.
    pub output: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// How many jobs run at once.
    pub limits: Limits,
    /// How often a job is tried again in this run after exit codes 74 and 75.
    pub retries: u32,
    /// The wait before the first of these; it doubles with each.
    pub backoff: Duration,
    /// After so many failed jobs no more are started.
    pub max_failures: Option<usize>,
    /// Run only this share of the jobs.
    pub shard: Option<Shard>,
    /// See [`Leases::TTL`].
    pub lease_ttl: Duration,
    /// Jobs that are done and were changed in the job file since are run again, and replace what they made.
    pub redo_changed: bool,
    /// Where metrics are written.
    pub metrics: Option<PathBuf>,
    /// Where a summary of at most 4 KiB is written.
    pub status_file: Option<PathBuf>,
}

/// Who hears of a run. All of it comes from the run's own threads and must not take long.
pub trait Watcher: Sync {
    /// Something happened.
    fn event(&self, _event: &Event) {}
    /// A running job is so far.
    fn progress(&self, _task: &Task, _progress: &Progress) {}
    /// A job failed for good, the first of this run. It is waited for.
    fn first_failure(&self, _task: &Task, _job: &JobState) {}
    /// The run has ended; the state is that of all jobs.
    fn end(&self, _state: &BatchState) {}
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// All jobs, after the run.
    pub state: BatchState,
    /// Jobs of this run's share that were done before it began.
    pub already_done: usize,
    /// Bytes of data that were read.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// A signal ended it.
    pub interrupted: bool,
    /// As [`exit_code`] for this run's share.
    pub exit_code: u8,
}

/// A batch that can be run.
pub struct Batch<'a> {
    /// Which it is.
    pub info: BatchInfo,
    /// All its jobs.
    pub tasks: &'a [Task],
    /// How.
    pub options: &'a RunOptions,
    /// Who does the work.
    pub runner: &'a dyn Runner,
    /// Who connects destinations.
    pub isolation: Option<&'a dyn Isolation>,
    /// Who hears of it.
    pub watcher: &'a dyn Watcher,
    /// Set to end the run: children are asked to stop at a checkpoint.
    pub stop: &'a AtomicBool,
}

/// What all threads of a run share.
struct Shared<'a> {
    options: &'a RunOptions,
    tasks: &'a [Task],
    state: StateFolder,
    leases: Leases<LocalLeases>,
    keeper: Keeper,
    destinations: Destinations<'a>,
    runner: &'a dyn Runner,
    teller: Teller<'a>,
    stop: &'a AtomicBool,
    /// Bytes of data that were read by all jobs.
    read: AtomicU64,
    started: Instant,
}

impl Shared<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Batch<'_> {
    /// Runs the jobs that are left.
    ///
    /// # Errors
    /// `Usage` when the jobs contradict each other, or what is done was changed since; `Destination`, `Io` when state or
    /// leases cannot be kept. What happens to single jobs is no error.
    pub fn run(&self) -> Result<Summary> {
        crate::task::check_tasks(self.tasks)?;
        let state = StateFolder::create(&self.options.state)?;
        let leases = LocalLeases::create(&self.options.output.join(LocalLeases::NAME))?;
        let leases = Leases::new(leases, Owner::this()?, self.options.lease_ttl);
        let info = state.begin(&self.info, self.tasks)?;
        let teller = Teller::open(&state, self.options, self.watcher)?;
        let begun = begin::look(&state, self.tasks, self.options, &leases, &teller)?;
        let shared = Shared {
            options: self.options,
            tasks: self.tasks,
            destinations: Destinations::new(self.isolation, &begun, self.tasks),
            leases,
            keeper: Keeper::default(),
            runner: self.runner,
            teller,
            stop: self.stop,
            read: AtomicU64::new(0),
            started: Instant::now(),
            state,
        };
        shared.teller.say(&Event {
            jobs: Some(begun.share.len()),
            done: Some(begun.already_done),
            ..Event::new("batch-started").saying(info.id)
        });
        let mut run = Run::new(&shared, &begun);
        let driven = std::thread::scope(|scope| {
            scope.spawn(|| shared.keeper.keep(&shared.leases));
            let driven = run.drive(scope);
            // Where the state cannot be kept any more, nobody would know what the children did.
            run.stop_children();
            run.wait_for_children();
            shared.keeper.end();
            driven
        });
        shared.destinations.leave_all(&shared.teller);
        driven?;
        self.ended(&shared, &begun)
    }

    fn ended(&self, shared: &Shared<'_>, begun: &Begun) -> Result<Summary> {
        let state = shared.state.load()?;
        let interrupted = shared.is_stopping();
        let share = begun.share.iter().filter_map(|&number| state.jobs.get(number));
        let code = match exit_code(share, interrupted) {
            0 => shared.destinations.exit_code(),
            code => code,
        };
        let summary = Summary {
            already_done: begun.already_done,
            bytes: shared.read.load(Ordering::Relaxed),
            seconds: shared.now().as_secs_f64(),
            interrupted,
            exit_code: code,
            state,
        };
        shared.teller.say(&Event {
            exit_code: Some(i32::from(code)),
            seconds: Some(summary.seconds),
            bytes: Some(summary.bytes),
            jobs: Some(begun.share.len()),
            done: Some(summary.state.count(Phase::Done)),
            ..Event::new("batch-ended")
        });
        shared.teller.files(&summary.state, summary.bytes, Some(code))?;
        self.watcher.end(&summary.state);
        Ok(summary)
    }
}

/// The thread that decides.
struct Run<'a> {
    shared: &'a Shared<'a>,
    queue: Queue,
    /// The tasks of the queue, by its numbers.
    numbers: Vec<usize>,
    /// The states of all jobs, as this run knows them.
    known: Vec<JobState>,
    handles: HashMap<usize, Arc<ChildHandle>>,
    /// Attempts of this run, by the queue's numbers.
    attempts: Vec<u32>,
    failures: usize,
    stopping: bool,
    sender: mpsc::Sender<(usize, Result<Ended>)>,
    receiver: mpsc::Receiver<(usize, Result<Ended>)>,
}

impl<'a> Run<'a> {
    fn new(shared: &'a Shared<'a>, begun: &Begun) -> Self {
        let tasks = begun.to_run.iter().filter_map(|&number| shared.tasks.get(number));
        let (sender, receiver) = mpsc::channel();
        Self {
            shared,
            queue: Queue::new(tasks, shared.options.limits),
            numbers: begun.to_run.clone(),
            known: begun.known.clone(),
            handles: HashMap::new(),
            attempts: vec![0; begun.to_run.len()],
            failures: 0,
            stopping: false,
            sender,
            receiver,
        }
    }

    fn drive<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>) -> Result<()>
    where
        'a: 'scope,
    {
        loop {
            if self.shared.is_stopping() && !self.stopping {
                self.stopping = true;
                self.queue.stop();
                self.stop_children();
                self.shared
                    .teller
                    .say(&Event { running: Some(self.queue.running()), ..Event::new("batch-stopping") });
            }
            let wait = match self.queue.next(self.shared.now()) {
                Next::Start(number) => {
                    self.start(scope, number);
                    continue;
                }
                Next::Finished => break,
                Next::Wait(due) => due.map_or(STEP, |due| due.saturating_sub(self.shared.now()).min(STEP)),
            };
            if let Ok((number, ended)) = self.receiver.recv_timeout(wait.max(Duration::from_millis(1))) {
                self.handles.remove(&number);
                self.ended(number, ended?)?;
            }
            self.shared.teller.at_pace(
                &self.known,
                self.queue.running(),
                self.shared.read.load(Ordering::Relaxed),
            )?;
        }
        self.cancel()
    }

    fn stop_children(&self) {
        self.handles.values().for_each(|handle| handle.stop());
    }

    /// Their leases are renewed until they have ended.
    fn wait_for_children(&mut self) {
        while !self.handles.is_empty() {
            match self.receiver.recv() {
                Ok((number, _)) => self.handles.remove(&number),
                Err(_) => return,
            };
        }
    }

    fn start<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>, number: usize)
    where
        'a: 'scope,
    {
        let handle = Arc::new(ChildHandle::default());
        self.handles.insert(number, Arc::clone(&handle));
        self.attempts[number] += 1;
        let worker = Worker {
            shared: self.shared,
            task: &self.shared.tasks[self.numbers[number]],
            handle,
            may_retry: self.attempts[number] <= self.shared.options.retries,
        };
        let sender = self.sender.clone();
        scope.spawn(move || {
            // The receiver lives as long as there are workers.
            let _ = sender.send((number, worker.work()));
        });
    }

    fn ended(&mut self, number: usize, ended: Ended) -> Result<()> {
        let index = self.numbers[number];
        let task = &self.shared.tasks[index];
        let again = match ended {
            Ended::Elsewhere { again: true } => {
                self.attempts[number] -= 1;
                Some((self.shared.options.lease_ttl / 8).min(Duration::from_secs(15)))
            }
            Ended::Elsewhere { again: false } => None,
            Ended::Job(job) => {
                let again = (job.state == Phase::Waiting).then(|| self.backoff(number));
                let is_failure = job.state == Phase::Failed;
                self.known[index] = *job;
                if is_failure {
                    self.failed(index);
                }
                again
            }
        };
        match again {
            Some(wait) => self.queue.again(number, self.shared.now() + wait),
            None => {
                self.queue.ended(number);
                self.shared.destinations.ended(task, &self.shared.teller);
            }
        }
        Ok(())
    }

    fn backoff(&self, number: usize) -> Duration {
        let doubled = 1u32.checked_shl(self.attempts[number].saturating_sub(1)).unwrap_or(u32::MAX);
        self.shared.options.backoff.saturating_mul(doubled.max(1)).min(MAX_BACKOFF)
    }

    fn failed(&mut self, index: usize) {
        self.failures += 1;
        if self.failures == 1 {
            self.shared.teller.watcher.first_failure(&self.shared.tasks[index], &self.known[index]);
        }
        if self.shared.options.max_failures.is_some_and(|most| self.failures >= most) {
            self.queue.stop();
        }
    }

    /// What a batch that ended early has not started, and will not without being asked to run again.
    fn cancel(&mut self) -> Result<()> {
        if self.stopping {
            return Ok(());
        }
        for number in self.queue.not_started() {
            let job = &mut self.known[self.numbers[number]];
            if job.state == Phase::Waiting && job.attempts == 0 {
                job.state = Phase::Cancelled;
                self.shared.state.keep(job)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
