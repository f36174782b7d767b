//! What a run tells while it runs: events, metrics, the summary for engines.

use super::{RunOptions, Watcher};
use crate::events::{Event, EventLog};
use crate::metrics::{RunFacts, write_metrics};
use crate::state::{BatchInfo, BatchState, JobState, Phase, StateFolder};
use crate::status::write_status_file;
use format_core::Result;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often metrics and summary are written.
const PACE: Duration = Duration::from_secs(10);

/// Tells everybody.
pub(super) struct Teller<'a> {
    log: EventLog,
    pub(super) watcher: &'a dyn Watcher,
    metrics: Vec<PathBuf>,
    status_file: Option<PathBuf>,
    due: Mutex<Instant>,
    batch: BatchInfo,
}

impl<'a> Teller<'a> {
    pub(super) fn open(state: &StateFolder, options: &RunOptions, watcher: &'a dyn Watcher) -> Result<Self> {
        // Runs on several machines share the folder, and a network file system does not append for several at once.
        let named = |name: &str, ending: &str| match options.shard {
            Some(shard) => state.path().join(format!("{name}.{}.{ending}", shard.name())),
            None => state.path().join(format!("{name}.{ending}")),
        };
        let log = EventLog::open(&named("events", "ndjson"))?;
        let metrics = [named("metrics", "prom")].into_iter().chain(options.metrics.clone()).collect();
        let due = Mutex::new(Instant::now() + PACE);
        let batch = state.load_batch()?;
        Ok(Self { log, watcher, metrics, status_file: options.status_file.clone(), due, batch })
    }

    /// Tells of something that happened.
    pub(super) fn say(&self, event: &Event) {
        // The states are what counts; a log that is full stops nothing.
        let _ = self.log.tell(event);
        self.watcher.event(event);
    }

    /// From time to time: how it goes.
    pub(super) fn at_pace(&self, known: &[JobState], running: usize, bytes: u64) -> Result<()> {
        {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() < *due {
                return Ok(());
            }
            *due = Instant::now() + PACE;
        }
        let done = known.iter().filter(|job| job.state == Phase::Done).count();
        let event = Event::new("throughput");
        self.say(&Event { bytes: Some(bytes), running: Some(running), done: Some(done), ..event });
        let (batch, jobs) = (self.batch.clone(), known.to_vec());
        self.files(&BatchState { batch, jobs, tasks: Vec::new(), warnings: Vec::new() }, bytes, None)
    }

    /// Writes metrics and summary.
    pub(super) fn files(&self, state: &BatchState, bytes: u64, exit_code: Option<u8>) -> Result<()> {
        for path in &self.metrics {
            write_metrics(path, state, RunFacts { bytes, exit_code })?;
        }
        match &self.status_file {
            Some(path) => write_status_file(path, state, exit_code),
            None => Ok(()),
        }
    }
}
