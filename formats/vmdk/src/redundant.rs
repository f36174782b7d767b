//! What a hosted sparse extent says twice: its redundant tables, and the markers before the tables of a stream.

use crate::extent::{GrainExtent, load, read_directory};
use crate::layout::{MARKER_GRAIN_DIRECTORY, MARKER_GRAIN_TABLE, MetadataMarker, SECTOR};
use crate::parse::{Directory, Header};
use crate::walk::Metadata;
use binrw::BinRead;
use format_core::{CheckReport, ErrorKind, Result, Storage};
use std::io::Cursor;

/// Compares the redundant directory at `at` and its tables with the first ones, and adds them to `metadata`.
pub(crate) fn check_copies(
    storage: &dyn Storage,
    header: &Header,
    extent: &GrainExtent,
    at: u64,
    report: &mut CheckReport,
    metadata: &mut Vec<Metadata>,
) -> Result<()> {
    let (tables, size) = (&extent.tables, storage.size());
    let copy = match read_directory(storage, header, at) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report.error(format!("the redundant directory is broken: {}", error.message()), Some(at));
            return Ok(());
        }
        copy => copy?,
    };
    metadata.push(Metadata::new("redundant grain directory", at, header.directory_entries()? * 4));
    let (len, pairs) = (tables.shape.table_bytes(), tables.directory.tables.iter().zip(&copy.tables));
    let mut previous = u64::MAX;
    for (index, (&first, &second)) in pairs.enumerate() {
        if second == 0 && first == 0 {
            continue;
        }
        let inside = second != 0 && second.saturating_add(len) <= size;
        if !inside || second == previous {
            let message = format!("redundant directory entry {index:#x} puts a grain table at {second:#x}");
            report.error(message, Some(at));
            continue;
        }
        previous = second;
        let same = first == second
            || load(storage, "redundant grain table", second, len)?
                == load(storage, "grain table", first, len)?;
        if !same {
            report
                .error(format!("redundant grain table {index:#x} differs from the first one"), Some(second));
        }
        if first != second {
            metadata.push(Metadata::new(format!("redundant grain table {index:#x}"), second, len));
        }
    }
    Ok(())
}

/// Checks that the markers announce the tables and the directory of a stream where these are.
pub(crate) fn check_markers(
    storage: &dyn Storage,
    header: &Header,
    extent: &GrainExtent,
    report: &mut CheckReport,
) -> Result<()> {
    let tables = extent.tables.directory.tables.iter().filter(|at| **at != 0);
    let mut announced: Vec<_> = tables.map(|at| (*at, MARKER_GRAIN_TABLE, "grain table")).collect();
    if let Directory::At(at) = header.directory {
        announced.push((at, MARKER_GRAIN_DIRECTORY, "grain directory"));
    }
    for (at, marker_type, what) in announced {
        let Some(place) = at.checked_sub(SECTOR) else { continue };
        let sector = load(storage, "marker", place, SECTOR)?;
        let found = MetadataMarker::read(&mut Cursor::new(&sector));
        if !found.is_ok_and(|marker| marker.size == 0 && marker.marker_type == marker_type) {
            report.error(format!("no marker announces the {what} at {at:#x}"), Some(place));
        }
    }
    Ok(())
}
