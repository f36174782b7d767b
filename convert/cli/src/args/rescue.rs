//! Arguments for sources that fail, and for what was read of them.

use clap::Args;
use std::path::PathBuf;

/// A source whose device fails.
#[derive(Args, Clone, Debug)]
pub(crate) struct RescueArgs {
    /// What to do where the host cannot read the source: `fail` ends the run; `zero` puts zeros for the sectors that
    /// cannot be read, lists them, and exits with 1; `retry=N` is `zero` after N more attempts for each of them.
    /// Damage in the image's own structure always ends the run.
    #[arg(long, value_name = "WHAT", default_value = "fail", value_parser = on_read_error)]
    pub(crate) on_read_error: OnReadError,
    /// Keep in FILE, as a mapfile of GNU ddrescue, which ranges were read. Where FILE and the target are there from an
    /// earlier run, only what FILE does not call finished is read from the source again, the rest from the target.
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    pub(crate) mapfile: Option<PathBuf>,
    /// The mapfile that ddrescue wrote when it made the source, a raw image. What it does not call finished is taken as
    /// not readable: it becomes zeros, is listed, and the exit code is 1.
    #[arg(long, value_name = "FILE")]
    pub(crate) source_mapfile: Option<PathBuf>,
}

impl RescueArgs {
    /// Whether any of them was given.
    pub(crate) fn is_wanted(&self) -> bool {
        self.on_read_error != OnReadError::Fail || self.mapfile.is_some() || self.source_mapfile.is_some()
    }
}

/// What to do about bad sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnReadError {
    /// End the run.
    Fail,
    /// Zeros after this many further attempts.
    Zero { retries: u32 },
}

/// Each attempt can take a failing disk many seconds.
const MAX_RETRIES: u32 = 100;

fn on_read_error(text: &str) -> Result<OnReadError, String> {
    match (text, text.strip_prefix("retry=")) {
        ("fail", _) => Ok(OnReadError::Fail),
        ("zero", _) => Ok(OnReadError::Zero { retries: 0 }),
        (_, Some(number)) => match number.parse() {
            Ok(retries) if retries <= MAX_RETRIES => Ok(OnReadError::Zero { retries }),
            _ => Err(format!("retry= takes a number up to {MAX_RETRIES}")),
        },
        _ => Err("it is one of fail, zero, retry=N".into()),
    }
}
