//! What was done with a hive's logs, and what is to be done with them afterwards.

use super::LogFile;

/// A hive that can be edited.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The primary file. Of a clean hive, as it was given; else its sequence numbers are equal again and above all that
    /// the logs hold, and its checksum is right.
    pub bytes: Vec<u8>,
    /// What was done.
    pub replay: Replay,
}

/// What [`recover`](crate::recover()) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Whether the hive needed its logs. If not, they were not applied, as Windows does not apply them.
    pub was_dirty: bool,
    /// The log that the base block was taken from, where the primary file's was damaged.
    pub base_block_from: Option<LogFile>,
    /// What was written into the hive, in this order.
    pub applied: Vec<Applied>,
    /// What was begun in a log and not ended, and so never counted.
    pub dropped: Vec<Dropped>,
    /// What is to be done with each log once the hive is written back.
    pub steps: Vec<LogStep>,
}

/// A log of the old format, or an entry of one of the new format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The log.
    pub log: LogFile,
    /// Its sequence number.
    pub sequence: u32,
    /// Bytes that were written into the hive.
    pub bytes: u64,
}

/// A part of a log that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The log.
    pub log: LogFile,
    /// The sequence number that the part has or says to have.
    pub sequence: u32,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What is to be done with a log after the hive was edited.
///
/// An edited hive is clean and its sequence numbers are above those of its logs, so Windows applies none of what they
/// hold. Emptying them (to a length of 0, which Windows makes and takes itself; or, where a file cannot be cut, its first 512
/// bytes to zeros) makes sure that nothing ever does: neither another tool, nor a later crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStep {
    /// The log.
    pub log: LogFile,
    /// Whether to empty it. `false`: it holds nothing.
    pub empty: bool,
    /// Whether the hive must not be edited without that: the log holds entries with numbers that the hive only reaches
    /// later, and that Windows may apply then.
    pub is_required: bool,
}
