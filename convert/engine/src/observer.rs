//! How long work tells what it does, and how it is told to stop.

use format_core::{Error, ErrorKind, Result, codes};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

/// Watches a long run. Called from worker threads; must be quick.
pub trait Observer: Sync {
    /// A stage begins in which `data_bytes` bytes of data will be worked on.
    fn begin(&self, stage: &'static str, data_bytes: u64);
    /// The stage has `bytes` more bytes of data than it began with.
    fn grow(&self, _bytes: u64) {}
    /// `bytes` more bytes of data are done.
    fn advance(&self, bytes: u64);
    /// `bytes` more bytes count as done that nobody had to read: an earlier run did, or they are holes.
    fn pass(&self, bytes: u64) {
        self.advance(bytes);
    }
    /// The stage ended.
    fn end(&self);
}

/// Watches nothing.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn begin(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// What a long run needs from its caller.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Set by a signal handler: stop at the next block.
    pub interrupted: &'a AtomicBool,
    /// How many workers read, hash and write; fewer where their memory would be too much.
    pub threads: usize,
}

/// How a run ends that was told to stop.
pub(crate) fn interrupted() -> Error {
    Error::new(ErrorKind::Temporary, "interrupted")
        .with_code(&codes::INTERRUPTED)
        .hint("run the same command again")
}

impl Control<'_> {
    /// Worker threads for this machine: one per core and one more, since some of them wait for the disk; at least 4, which a server
    /// at the other end of a line needs to be kept busy, and at most 16, which bounds the memory at 4 MiB each.
    #[must_use]
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(4, NonZero::get).saturating_add(1).clamp(4, 16)
    }

    /// Stops the work once the run was interrupted.
    ///
    /// # Errors
    /// `Temporary` then.
    pub fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        Ok(())
    }
}
