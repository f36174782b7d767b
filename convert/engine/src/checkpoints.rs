//! When and how a run tells its journal where it stands.
//!
//! Workers hold a lock for reading while they work on a block. A checkpoint takes it for writing, only to copy the sink's
//! state and the list of blocks that are done; then it makes the target durable, and then it tells the journal. So a
//! journal never vouches for what a power cut can take away.

use crate::blocks::BlockSet;
use crate::digest::BlockList;
use crate::journal::{Checkpoint, Job, Journal};
use crate::turns::locked;
use format_core::{Disk, Error, ErrorKind, Fence, Result, Sink, Warning};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

/// A checkpoint comes at the earliest this many times as long after another as that one took: less than 2 % of a run.
const PATIENCE: u32 = 64;

/// What was done before this run.
pub(crate) struct Done {
    pub(crate) blocks: BlockSet,
    pub(crate) hashes: BlockList,
    /// Bytes read, bytes written.
    pub(crate) totals: (u64, u64),
}

/// What a checkpoint is made of.
pub(crate) struct Standing<'a> {
    pub(crate) sink: &'a dyn Sink,
    pub(crate) hashes: &'a BlockList,
    pub(crate) totals: &'a Mutex<(u64, u64)>,
    /// Whether the sink may have done half of something: it can have taken room that a later run would not use.
    pub(crate) sink_failed: &'a AtomicBool,
}

/// The checkpoints of one run.
pub(crate) struct Checkpoints {
    interval: Duration,
    working: RwLock<()>,
    /// Blocks that are done and that no checkpoint has yet.
    done: Mutex<Vec<u64>>,
    writer: Mutex<Writer>,
    /// Whether the partial files outlive a failure.
    kept: Arc<AtomicBool>,
}

struct Writer {
    disk: Disk,
    path: PathBuf,
    job: Job,
    /// `None` before the first checkpoint.
    journal: Option<Journal>,
    /// The sink's state as the journal has it.
    state: Vec<u8>,
    due: Instant,
    /// Why there are no more checkpoints.
    ended: Option<End>,
}

enum End {
    /// The sink has no state.
    NoState,
    /// The target could not be made durable: what was written may be lost although a later attempt succeeds.
    NotDurable,
    Journal(Error),
}

impl Checkpoints {
    /// Checkpoints for the copy of `disk`, the first after `interval`. The journal is made by the first at `path`.
    pub(crate) fn new(
        disk: Disk,
        job: Job,
        path: PathBuf,
        interval: Duration,
        kept: Arc<AtomicBool>,
    ) -> Self {
        let due = Instant::now() + interval;
        let writer = Writer { disk, path, job, journal: None, state: Vec::new(), due, ended: None };
        let done = Mutex::default();
        Self { interval, working: RwLock::default(), done, writer: Mutex::new(writer), kept }
    }

    /// The same, going on with a journal at whose end the sink's state is `state`.
    pub(crate) fn going_on(self, journal: Journal, state: Vec<u8>) -> Self {
        {
            let mut writer = locked(&self.writer);
            (writer.journal, writer.state) = (Some(journal), state);
        }
        self
    }

    /// Keeps checkpoints away while a block is worked on.
    pub(crate) fn working(&self) -> RwLockReadGuard<'_, ()> {
        self.working.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a block was written.
    pub(crate) fn is_done(&self, block: u64) {
        locked(&self.done).push(block);
    }

    /// Makes a checkpoint if it is time for one and no other worker does.
    ///
    /// # Errors
    /// What the target reports. A journal that cannot be written is none: see [`Checkpoints::warning`].
    pub(crate) fn at_pace(&self, standing: &Standing<'_>) -> Result<()> {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(writer)) => writer.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        if Instant::now() < writer.due { Ok(()) } else { self.make(&mut writer, standing) }
    }

    /// Ends the copy. What a retry may mend is kept for it.
    ///
    /// # Errors
    /// As [`Checkpoints::at_pace`], for a copy that did not fail already.
    pub(crate) fn close(&self, failure: Option<&Error>, standing: &Standing<'_>) -> Result<()> {
        let mut writer = locked(&self.writer);
        match failure {
            // What follows can still fail. Runs that were too short for a checkpoint need none now.
            None if writer.journal.is_some() => self.make(&mut writer, standing),
            None => Ok(()),
            Some(error) if !is_temporary(error) => {
                self.kept.store(false, Ordering::Relaxed);
                Ok(())
            }
            Some(_) => {
                // The failure that there is already is the one to tell.
                let _ = self.make(&mut writer, standing);
                Ok(())
            }
        }
    }

    /// What a person should know.
    pub(crate) fn warning(&self) -> Option<Warning> {
        let writer = locked(&self.writer);
        let Some(End::Journal(error)) = &writer.ended else { return None };
        let text = format!("an interruption of the copy would have cost more than usual: {error}");
        Some(Warning::new("journal-not-written", text))
    }

    fn make(&self, writer: &mut Writer, standing: &Standing<'_>) -> Result<()> {
        if writer.ended.is_some() {
            return Ok(());
        }
        let began = Instant::now();
        let (state, done, totals) = {
            let _nobody_works = self.working.write().unwrap_or_else(PoisonError::into_inner);
            if standing.sink_failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let Some(state) = standing.sink.checkpoint()? else {
                writer.ended = Some(End::NoState);
                return Ok(());
            };
            (state, std::mem::take(&mut *locked(&self.done)), *locked(standing.totals))
        };
        if done.is_empty() {
            return Ok(());
        }
        if let Err(error) = standing.sink.flush() {
            writer.ended = Some(End::NotDurable);
            return Err(error);
        }
        let mut checkpoint = Checkpoint::new(totals, &writer.state, &state);
        for block in done {
            checkpoint.add(block, &standing.hashes.get(block)?);
        }
        match writer.append(&checkpoint) {
            Ok(()) => {
                writer.state = state;
                self.kept.store(true, Ordering::Relaxed);
            }
            Err(error) => writer.ended = Some(End::Journal(error)),
        }
        writer.due = Instant::now() + self.interval.max(self.patience(began.elapsed()));
        Ok(())
    }

    /// Tests ask for a checkpoint after every block.
    fn patience(&self, took: Duration) -> Duration {
        if self.interval.is_zero() { Duration::ZERO } else { took.saturating_mul(PATIENCE) }
    }
}

impl Writer {
    fn append(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => {
                self.job.take_samples(&self.disk);
                // The run that has taken over keeps its own under this name.
                Fence::of_process()?.map_or(Ok(()), Fence::check)?;
                none.insert(Journal::create(&self.path, &self.job)?)
            }
        };
        journal.append(&checkpoint.bytes())
    }
}

/// Whether the same run can end otherwise the next time.
pub(crate) fn is_temporary(error: &Error) -> bool {
    // Credentials that end on the way are renewed, and the run goes on.
    matches!(error.kind(), ErrorKind::Temporary | ErrorKind::Io | ErrorKind::Denied)
}
