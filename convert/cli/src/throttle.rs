//! How fast and how large a run may be.

use crate::args::{Command, SpeedArgs};
use crate::limits;
use convert_engine::{Control, Observer, RateLimit, threads_within};
use format_core::units::format_size;
use format_core::{Error, Result};
use std::sync::atomic::AtomicBool;

/// An observer that holds the workers back: they tell it of every byte of data that they read.
pub(crate) struct Throttled<'a> {
    observer: &'a dyn Observer,
    limit: Option<RateLimit>,
    interrupted: &'a AtomicBool,
}

impl<'a> Throttled<'a> {
    pub(crate) fn new(
        observer: &'a dyn Observer,
        speed: Option<&SpeedArgs>,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let limit = speed.and_then(|speed| speed.rate_limit).map(RateLimit::new);
        Self { observer, limit, interrupted }
    }
}

impl Observer for Throttled<'_> {
    fn begin(&self, stage: &'static str, data_bytes: u64) {
        self.observer.begin(stage, data_bytes);
    }

    fn grow(&self, bytes: u64) {
        self.observer.grow(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.observer.advance(bytes);
        if let Some(limit) = &self.limit {
            limit.pay(bytes, self.interrupted);
        }
    }

    fn pass(&self, bytes: u64) {
        self.observer.pass(bytes);
    }

    fn end(&self) {
        self.observer.end();
    }
}

/// The arguments of the commands that copy whole disks.
pub(crate) fn speed_of(command: &Command) -> Option<&SpeedArgs> {
    match command {
        Command::Convert(args) | Command::Flatten(args) => Some(&args.speed),
        Command::Migrate(args) => Some(&args.speed),
        Command::Capture(args) => Some(&args.speed),
        Command::Cutover(args) => Some(&args.capture.speed),
        _ => None,
    }
}

/// How many workers may run: what was asked for, else what the machine has, and no more than the memory allows.
///
/// # Errors
/// `Usage` when the memory is too small for one.
pub(crate) fn threads(asked: Option<u8>) -> Result<usize> {
    let threads = asked.map_or_else(Control::default_threads, usize::from);
    let Some(max_memory) = limits::max_memory() else { return Ok(threads) };
    let most = threads_within(max_memory).map_err(|least| {
        let (wanted, least) = (format_size(max_memory), format_size(least));
        Error::usage(format!("--max-memory {wanted} is too little: one worker needs {least}"))
    })?;
    Ok(threads.min(most))
}
