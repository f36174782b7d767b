//! Disks without what their file systems do not use.

use format_core::{Disk, Error, Result};

/// The disk with zeros where its file systems say that nothing is, and which of them said what.
pub(super) fn without_free(_disk: &Disk) -> Result<(Disk, Vec<String>)> {
    Err(Error::unsupported("--skip-free is not known yet"))
}
