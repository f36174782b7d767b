//! Line 8: nothing opens under the final name before `finish` has succeeded.

use crate::sink::{create, deliver};
use crate::{Content, Delivery, Outcome, broken, require};
use format_core::{FileTarget, Format, MemTarget, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// More writes than a writer needs for the small disk of this check.
const MANY_WRITES: u64 = 20_000;

/// Drops a sink before its first and after its last chunk, and lets the target fail at its first, second, … write,
/// until one run succeeds. `folder` is an empty folder for files.
///
/// # Errors
/// The violation of line 8, or of line 9 for a panic.
pub fn check_abandoned(format: &Format, options: &[(&str, &str)], folder: &Path) -> Outcome {
    let disk = Content::mixed(300_000 / 512 * 512, 40_000, 4).bytes;
    for filled in [false, true] {
        let path = folder.join("image");
        let target = FileTarget::create(&path, false).map_err(|e| broken(8, e.to_string()))?;
        let sink = create(format, options, disk.len() as u64, Box::new(target))
            .map_err(|e| broken(8, format!("create: {e}")))?;
        if filled {
            deliver(sink.as_ref(), &disk, Delivery::ALL[0])
                .and_then(|()| sink.flush())
                .map_err(|e| broken(8, e.to_string()))?;
        }
        drop(sink);
        let left: Vec<_> = std::fs::read_dir(folder)
            .map_err(|e| broken(8, e.to_string()))?
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        require(8, left.is_empty(), || format!("a dropped sink left {left:?}"))?;
    }
    for writes in 0..MANY_WRITES {
        let target = MemTarget::failing_after(writes);
        let whole = catch_unwind(AssertUnwindSafe(|| write_all(format, options, &disk, &target)))
            .map_err(|_| broken(9, format!("panicked when write {writes} failed")))?;
        match (whole, target.committed_bytes()) {
            (Ok(()), Some(_)) => return Ok(()),
            (Ok(()), None) => return Err(broken(8, "finish reported success without a commit")),
            (Err(_), Some(_)) => return Err(broken(8, format!("committed although write {writes} failed"))),
            (Err(_), None) => {}
        }
    }
    Err(broken(8, format!("no success with {MANY_WRITES} writes")))
}

fn write_all(format: &Format, options: &[(&str, &str)], disk: &[u8], target: &MemTarget) -> Result<()> {
    let sink = create(format, options, disk.len() as u64, Box::new(target.clone()))?;
    deliver(sink.as_ref(), disk, Delivery::ALL[0])?;
    sink.flush()?;
    sink.finish()
}
