//! The fixups, in the order in which they run.

mod crypttab;
mod fstab;

use driver_core::Fixup;

/// All fixups for Linux guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[&fstab::Fstab, &crypttab::Crypttab]
}
