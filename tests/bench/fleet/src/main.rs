//! A fleet without its machines: the real queue, state and leases with jobs that do nothing.
//!
//! `bench-fleet [DIR] [JOBS…]` prints what each job costs; flat means that the numbers of a column are alike.

use convert_batch::{
    Attempt, Batch, BatchInfo, Ending, Limits, Next, Queue, RunOptions, Runner, StateFolder, Task, Watcher,
};
use format_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

struct Nobody;

impl Runner for Nobody {
    fn run(&self, attempt: &Attempt<'_>) -> Result<Ending> {
        // So that the second run finds it.
        let made = attempt.task.outputs.iter().try_for_each(|path| std::fs::write(path, b""));
        made.map_err(|e| Error::io("cannot write an output", e))?;
        Ok(Ending { exit_code: Some(0), ..Ending::default() })
    }
}

impl Watcher for Nobody {}

/// How the jobs are spread.
struct Shape {
    name: &'static str,
    sources: usize,
    targets: usize,
    waves: usize,
    per_source: Option<usize>,
    per_target: Option<usize>,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "all alike", sources: 1, targets: 1, waves: 1, per_source: None, per_target: None },
    Shape { name: "50 hosts", sources: 50, targets: 4, waves: 5, per_source: Some(2), per_target: Some(4) },
    Shape {
        name: "a source each",
        sources: usize::MAX,
        targets: 1,
        waves: 1,
        per_source: Some(1),
        per_target: Some(8),
    },
    Shape {
        name: "all different",
        sources: usize::MAX,
        targets: usize::MAX,
        waves: 1,
        per_source: Some(1),
        per_target: Some(1),
    },
];

fn tasks(shape: &Shape, jobs: usize, folder: &Path) -> Vec<Task> {
    let task = |i: usize| Task {
        id: format!("job-{i}"),
        title: String::new(),
        command: vec!["convert".into()],
        outputs: vec![folder.join(format!("job-{i}.out"))],
        source_key: (i % shape.sources).to_string(),
        target_key: (i / 3 % shape.targets).to_string(),
        wave: (i * shape.waves / jobs) as u32,
        priority: (i * 7 % 10) as i32,
        timeout: None,
        fingerprint: "1".into(),
        destination: None,
    };
    (0..jobs).map(task).collect()
}

fn limits(shape: &Shape) -> Limits {
    Limits { jobs: 32, per_source: shape.per_source, per_target: shape.per_target }
}

/// Decisions alone: start what may start, end the oldest.
fn decide(tasks: &[Task], limits: Limits) -> Duration {
    let begun = Instant::now();
    let mut queue = Queue::new(tasks, limits);
    let mut running = std::collections::VecDeque::new();
    loop {
        match queue.next(Duration::ZERO) {
            Next::Start(number) => running.push_back(number),
            Next::Finished => return begun.elapsed(),
            Next::Wait(_) => {
                if let Some(number) = running.pop_front() {
                    queue.ended(number);
                }
            }
        }
    }
}

fn run(tasks: &[Task], folder: &Path, limits: Limits) -> Result<Duration> {
    let options = RunOptions {
        output: folder.to_owned(),
        state: folder.join(StateFolder::NAME),
        limits,
        retries: 0,
        backoff: Duration::ZERO,
        max_failures: None,
        shard: None,
        lease_ttl: Duration::from_secs(120),
        redo_changed: false,
        metrics: None,
        status_file: None,
    };
    let info = BatchInfo {
        id: "fleet".into(),
        job_file: "fleet".into(),
        job_file_hash: String::new(),
        started: String::new(),
        version: String::new(),
    };
    let stop = AtomicBool::new(false);
    let batch = Batch {
        info,
        tasks,
        options: &options,
        runner: &Nobody,
        isolation: None,
        watcher: &Nobody,
        stop: &stop,
    };
    let begun = Instant::now();
    let summary = batch.run()?;
    if summary.exit_code != 0 {
        return Err(Error::contract(format!("the batch ended with {}", summary.exit_code)));
    }
    Ok(begun.elapsed())
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let place = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let counts: Vec<usize> = args.filter_map(|text| text.to_str()?.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1_000, 10_000] } else { counts };
    println!("| jobs | shape | decisions, µs a job | whole run, µs a job | run again, µs a job |");
    println!("|---|---|---|---|---|");
    for shape in SHAPES {
        for &jobs in &counts {
            let folder = tempfile::tempdir_in(&place).map_err(|e| Error::io("cannot make a folder", e))?;
            let tasks = tasks(&shape, jobs, folder.path());
            let each = |time: Duration| time.as_secs_f64() * 1e6 / jobs as f64;
            let decisions = each(decide(&tasks, limits(&shape)));
            let whole = each(run(&tasks, folder.path(), limits(&shape))?);
            let again = each(run(&tasks, folder.path(), limits(&shape))?);
            println!("| {jobs} | {} | {decisions:.2} | {whole:.0} | {again:.0} |", shape.name);
        }
    }
    Ok(())
}
