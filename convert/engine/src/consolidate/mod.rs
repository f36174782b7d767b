//! The oldest points of a chain merged into one full image.
//!
//! ```text
//!  before   base ◀─ mon ◀─ tue ◀─ wed ◀─ thu          consolidate thu --keep 3
//!  after                   tue ◀─ wed ◀─ thu          tue is a full image now
//! ```
//!
//! The oldest kept point becomes full under its own name, in its own format and with its own identity, so that no image above
//! it changes. It is written into a folder of the run's own and proven there, for every kept point; only then it takes the
//! name, in one step of the file system, and only when the chain was opened through it are the old files removed. `run.rs`
//! has the steps, `journal.rs` the states in which a run can be killed.

mod away;
mod forks;
mod host;
mod journal;
mod kinship;
mod plan;
mod points;
mod run;
#[cfg(test)]
mod tests;
mod unfinished;

use crate::observer::Control;
use format_core::{OpenOptions, Result, Warning};
use host::FolderLock;
use plan::Look;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to consolidate.
pub struct ConsolidateRequest<'a> {
    /// The newest image of the chain.
    pub top: &'a Path,
    /// How many points remain, the newest included.
    pub keep: usize,
    /// How the images are opened.
    pub open: &'a OpenOptions,
    /// `-o` options for the new full image.
    pub options: &'a BTreeMap<String, String>,
    /// Where old files are moved to instead of being removed: a folder of the same file system.
    pub keep_old: Option<&'a Path>,
}

/// A file and its room.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PlannedFile {
    /// Where it lies.
    pub path: String,
    /// Its size in bytes.
    pub file_size: u64,
    /// Bytes that it occupies on the host.
    pub allocated_size: u64,
}

/// What a consolidation does.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConsolidatePlan {
    /// The newest image.
    pub top: String,
    /// How many images the chain has.
    pub images: usize,
    /// The images of the points that remain, top first.
    pub kept: Vec<String>,
    /// Of these the one that becomes a full image.
    pub full: String,
    /// Its format.
    pub format: &'static str,
    /// Bytes of data that the full image will hold.
    pub data_bytes: u64,
    /// Bytes that it may need on the host, beside the old images.
    pub needed_bytes: u64,
    /// Bytes that are free there.
    pub free_bytes: u64,
    /// The old image of that point.
    pub replaced: PlannedFile,
    /// The other files that go.
    pub removed: Vec<PlannedFile>,
    /// Files that are not needed any more and stay, because they lie elsewhere.
    pub left: Vec<String>,
}

/// A kept point and what it was proven by.
#[derive(Clone, Debug, Serialize)]
pub struct KeptPoint {
    /// Its image.
    pub path: String,
    /// The digest of its disk, before and after; `None` where an earlier run proved it.
    pub digest: Option<String>,
}

/// What a consolidation did.
#[derive(Debug)]
pub struct ConsolidateOutcome {
    /// The points that there are now, top first.
    pub kept: Vec<KeptPoint>,
    /// What was done; `None` when nothing had to be.
    pub plan: Option<ConsolidatePlan>,
    /// Whether a run that was interrupted was finished.
    pub continued: bool,
    /// Bytes that the host has again.
    pub freed_bytes: u64,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// What [`consolidate`] would do; `None` when nothing has to be.
///
/// # Errors
/// As [`consolidate`], but for what writing reports. `Temporary` too where an interrupted run has to be finished first.
pub fn plan_consolidation(
    request: &ConsolidateRequest<'_>,
    control: Control<'_>,
) -> Result<(Option<ConsolidatePlan>, Vec<Warning>)> {
    let (folder, name) = plan::place_of(request.top)?;
    unfinished::refuse(&folder, &name)?;
    Ok(match plan::prepare(request, &folder, &name, control)? {
        Look::Short => (None, Vec::new()),
        Look::Long(found) => (Some(found.plan), found.warnings),
    })
}

/// Merges the oldest images of a chain until [`ConsolidateRequest::keep`] points remain. The images of a run that was killed
/// are in a state in which every kept point opens, and the same request finishes or undoes what that run began.
///
/// # Errors
/// `Unsupported` for chains that cannot be consolidated; `NeedsPerson` where something would be lost; `Temporary` when files
/// are in use, space is missing, or the run is interrupted; `Mismatch` when a point would not read as before; what images and
/// host report. Every kept point opens all the same.
pub fn consolidate(request: &ConsolidateRequest<'_>, control: Control<'_>) -> Result<ConsolidateOutcome> {
    let (folder, name) = plan::place_of(request.top)?;
    let _lock = FolderLock::take(&folder)?;
    let run = run::Run { request, work: work_folder(&folder, &name), folder, name, control };
    let earlier = run.finish_earlier()?;
    match plan::prepare(request, &run.folder, &run.name, control) {
        Ok(Look::Short) => Ok(earlier.unwrap_or(ConsolidateOutcome {
            kept: Vec::new(),
            plan: None,
            continued: false,
            freed_bytes: 0,
            warnings: Vec::new(),
        })),
        Err(e) => match earlier {
            // What was begun is done. A parent that was named and is gone now is one reason.
            Some(mut earlier) => {
                let text = format!("the interrupted run was finished, and nothing more was looked at: {e}");
                earlier.warnings.push(Warning::new("finished-only", text));
                Ok(earlier)
            }
            None => Err(e),
        },
        Ok(Look::Long(found)) => {
            let mut done = run.start(*found)?;
            if let Some(earlier) = earlier {
                done.continued |= earlier.continued;
                done.freed_bytes = done.freed_bytes.saturating_add(earlier.freed_bytes);
                done.warnings.extend(earlier.warnings);
            }
            Ok(done)
        }
    }
}

/// The folder of a run beside the image at the top.
fn work_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.consolidate"))
}
