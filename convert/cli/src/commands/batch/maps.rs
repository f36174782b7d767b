//! Which parts of a job's disks held data before, and hold some after, where that can be told at once.

use crate::commands::format_named;
use convert_report::{Allocation, Counter, DiskReport, JobReport, MOST_CELLS, State};
use format_all::FORMATS;
use format_core::{Error, ErrorKind, ExtentKind, OpenOptions, Result, Spool, open_image};
use std::path::Path;
use std::sync::Arc;

/// A disk in so many pieces takes longer to walk through than a map on a page is worth.
const MOST_EXTENTS: usize = 200_000;

/// Adds the maps of a job that is done. What cannot be opened without keys, parents elsewhere or a temporary file has none.
pub(super) fn add(job: &mut JobReport) {
    if job.state != State::Done || job.dry_run {
        return;
    }
    for disk in &mut job.disks {
        disk.before = of_file(&disk.source, disk.source_format.as_deref(), disk).ok();
        disk.after = of_file(&disk.target, Some(&disk.target_format), disk).ok();
    }
}

fn of_file(path: &str, format: Option<&str>, disk: &DiskReport) -> Result<Allocation> {
    let too_long = || Error::new(ErrorKind::Limit, "this takes too long for a map");
    let mut options = OpenOptions::new(FORMATS, format.map(format_named).transpose()?);
    options.spool = Spool::new(std::env::temp_dir(), Some(Arc::new(move |_| Err(too_long()))));
    let opened = open_image(Path::new(path), &options)?;
    if opened.disk.virtual_size() != disk.virtual_size {
        return Err(Error::usage("another disk than that of the job"));
    }
    let mut counter = Counter::new(disk.virtual_size, MOST_CELLS);
    for (number, extent) in opened.disk.extents(0, disk.virtual_size).enumerate() {
        let extent = extent?;
        if number == MOST_EXTENTS {
            return Err(too_long());
        }
        if extent.kind == ExtentKind::Data {
            counter.add(extent.offset, extent.len);
        }
    }
    Ok(counter.finish())
}
