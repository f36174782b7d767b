//! Reads all of a disk, which borg verifies on the way.

use crate::command::own_error;
use format_core::{CheckReport, Error, ErrorKind, Result, Tick};
use std::io::Read;

/// Read at once.
const PART: usize = 1 << 20;

/// Reads to the end.
pub(crate) fn read_all(mut from: impl Read, tick: Tick<'_>) -> Result<()> {
    let mut part = vec![0; PART];
    loop {
        match from.read(&mut part).map_err(own_error)? {
            0 => return Ok(()),
            len => tick(len as u64)?,
        }
    }
}

/// What is wrong with the repository is in the report.
pub(crate) fn judge(read: Result<()>, report: &mut CheckReport) -> Result<()> {
    match read {
        Err(error) if is_damage(&error) => report.error(error.to_string(), error.offset()),
        other => return other,
    }
    Ok(())
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::SourceMissing)
}
