use super::*;
use crate::testing::task;

const NOW: Duration = Duration::ZERO;

fn tasks(of: &[(u32, i32, &str, &str)]) -> Vec<Task> {
    let made = of.iter().enumerate().map(|(i, &(wave, priority, source, target))| Task {
        wave,
        priority,
        source_key: source.into(),
        target_key: target.into(),
        ..task(&i.to_string())
    });
    made.collect()
}

fn started(queue: &mut Queue) -> Vec<usize> {
    let mut started = Vec::new();
    while let Next::Start(number) = queue.next(NOW) {
        started.push(number);
    }
    started
}

#[test]
fn waves_then_priorities_then_the_order_of_the_file() {
    let tasks = tasks(&[(1, 9, "a", ""), (0, 0, "a", ""), (0, 5, "b", ""), (0, 0, "c", "")]);
    let mut queue = Queue::new(&tasks, Limits { jobs: 2, per_source: None, per_target: None });
    assert_eq!(started(&mut queue), [2, 1]);
    queue.ended(2);
    assert_eq!(started(&mut queue), [3]);
    queue.ended(3);
    assert_eq!(started(&mut queue), [0usize; 0], "the wave before has not ended");
    queue.again(1, Duration::from_secs(5));
    assert_eq!(queue.next(NOW), Next::Wait(Some(Duration::from_secs(5))), "nor has it now");
    assert_eq!(queue.next(Duration::from_secs(5)), Next::Start(1));
    queue.ended(1);
    assert_eq!(started(&mut queue), [0]);
    queue.ended(0);
    assert_eq!(queue.next(NOW), Next::Finished);
}

#[test]
fn what_is_stopped_starts_nothing_and_tells_what_is_left() {
    let tasks = tasks(&[(0, 0, "", ""), (0, 0, "", ""), (0, 0, "", ""), (7, 0, "", "")]);
    let mut queue = Queue::new(&tasks, Limits { jobs: 2, per_source: None, per_target: None });
    assert_eq!(started(&mut queue), [0, 1]);
    queue.again(0, Duration::from_secs(1));
    queue.stop();
    assert_eq!(queue.next(Duration::from_secs(9)), Next::Wait(None));
    queue.ended(1);
    assert_eq!(queue.next(NOW), Next::Finished);
    let mut left: Vec<_> = queue.not_started().collect();
    left.sort_unstable();
    assert_eq!(left, [0, 2, 3]);
}

/// The plainest scheduler there is: of all that may run, the first.
struct Plain<'a> {
    tasks: &'a [Task],
    limits: Limits,
    running: Vec<usize>,
    waiting: Vec<usize>,
}

impl Plain<'_> {
    fn next(&mut self) -> Option<usize> {
        let wave = self.waiting.iter().chain(&self.running).map(|&i| self.tasks[i].wave).min()?;
        let count =
            |same: &dyn Fn(&Task) -> bool| self.running.iter().filter(|&&i| same(&self.tasks[i])).count();
        let fits = |&i: &usize| {
            let task = &self.tasks[i];
            let source = count(&|other| other.source_key == task.source_key);
            let target = count(&|other| other.target_key == task.target_key);
            task.wave == wave
                && self.running.len() < self.limits.jobs
                && self.limits.per_source.is_none_or(|limit| source < limit)
                && self.limits.per_target.is_none_or(|limit| target < limit)
        };
        let best = self.waiting.iter().copied().filter(fits);
        let best = best.min_by_key(|&i| (Reverse(self.tasks[i].priority), i))?;
        self.waiting.retain(|&i| i != best);
        self.running.push(best);
        Some(best)
    }
}

#[test]
fn it_decides_as_one_that_looks_at_all_jobs_each_time() {
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..300 {
        let (sources, targets, count) = (1 + random(5), 1 + random(5), 1 + random(40));
        let made = (0..count).map(|i| Task {
            wave: random(3) as u32,
            priority: random(4) as i32,
            source_key: random(sources).to_string(),
            target_key: random(targets).to_string(),
            ..task(&i.to_string())
        });
        let tasks: Vec<_> = made.collect();
        let limit = |n: u64| if n == 0 { None } else { Some(n as usize) };
        let (per_source, per_target) = (limit(random(4)), limit(random(4)));
        let limits = Limits { jobs: 1 + random(8) as usize, per_source, per_target };
        let mut queue = Queue::new(&tasks, limits);
        let waiting = (0..tasks.len()).collect();
        let mut plain = Plain { tasks: &tasks, limits, running: Vec::new(), waiting };
        loop {
            let next = queue.next(NOW);
            let wanted = plain.next();
            assert_eq!(
                wanted,
                if let Next::Start(number) = next { Some(number) } else { None },
                "{limits:?}"
            );
            if wanted.is_some() {
                continue;
            }
            if plain.running.is_empty() {
                assert_eq!(next, Next::Finished);
                assert!(plain.waiting.is_empty());
                break;
            }
            let ended = plain.running.swap_remove(random(plain.running.len() as u64) as usize);
            if random(5) == 0 {
                queue.again(ended, NOW);
                plain.waiting.push(ended);
            } else {
                queue.ended(ended);
            }
        }
    }
}
