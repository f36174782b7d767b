//! What the file systems of a disk do not use.

use crate::output::to_stderr;
use convert_migrate::free_space;
use format_core::units::format_size;
use format_core::{Disk, Error, RangeSet, Result};

/// The ranges in which nothing is. What cannot be looked into, as a file system that is written to while it is looked at, has none.
pub(crate) fn free_of(disk: &Disk) -> Result<RangeSet> {
    let found = free_space(std::slice::from_ref(disk))?;
    for note in &found.notes {
        let kind = note.kind.as_deref().unwrap_or("unknown content");
        let (free, size) = (format_size(note.free), format_size(note.size));
        let said = match &note.why_not {
            Some(why) => format!("{} ({kind}) is moved as a whole: {why}", note.place),
            None => format!("{} ({kind}): {free} of {size} are free and are not moved", note.place),
        };
        to_stderr(&format!("note: {}", crate::output::safe(&said)));
    }
    found.disks.into_iter().next().ok_or_else(|| Error::contract("a disk without an answer"))
}
