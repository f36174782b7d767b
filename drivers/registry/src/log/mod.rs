//! Transaction logs: what Windows would do to a dirty hive when it loads it.
//!
//! Source: specification, "Format of transaction log files", "Dirty state of a hive", "Multiple transaction log files".

mod incremental;
mod marvin;
mod old;
mod recover;
mod report;

pub use recover::recover;
pub use report::{Applied, Dropped, LogStep, Recovered, Replay};

use std::fmt;

/// Which of a hive's transaction logs a file is. Their names are the hive's with these letters behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// `.LOG`, the only one up to Windows 2003; empty or stale beside the others.
    Log,
    /// `.LOG1`
    Log1,
    /// `.LOG2`
    Log2,
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => ".LOG",
            Self::Log1 => ".LOG1",
            Self::Log2 => ".LOG2",
        })
    }
}

/// A transaction log. One that is missing is as good as an empty one.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// Which one.
    pub file: LogFile,
    /// All of its bytes.
    pub bytes: &'a [u8],
}

/// Whether the sequence number `a` comes after `b`. The numbers wrap.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}
