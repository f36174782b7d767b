//! Containers: image formats, packages, compressed files, backups.

use crate::Case;

/// All cases of containers.
#[must_use]
pub fn all() -> Vec<Case> {
    Vec::new()
}
