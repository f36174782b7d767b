//! Whether a file is one that this user made.

use crate::FileTarget;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Everybody may write.
const ALL_WRITE: u32 = 0o002;

impl FileTarget {
    /// Whether the file at `path`, of which `found` tells, was made by this user, and nobody at all may write it.
    #[must_use]
    pub fn is_own(found: &Metadata, path: &Path) -> bool {
        found.mode() & ALL_WRITE == 0
            && (found.uid() == rustix::process::geteuid().as_raw() || Some(found.uid()) == user_of_new(path))
    }
}

/// Whose a new file beside `path` is: over a network, root may be somebody else.
fn user_of_new(path: &Path) -> Option<u32> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = folder.join(format!(".rehome-owner.{}", std::process::id()));
    let made = File::create_new(&probe).ok()?;
    let user = made.metadata().ok().map(|found| found.uid());
    // Best effort: it is empty, and in the way of nothing.
    let _ = std::fs::remove_file(&probe);
    user
}
