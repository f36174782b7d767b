//! What is on a disk: partition tables, volumes, file systems, registry hives, initramfs archives.

use crate::Case;

/// All cases of disks.
#[must_use]
pub fn all() -> Vec<Case> {
    Vec::new()
}
