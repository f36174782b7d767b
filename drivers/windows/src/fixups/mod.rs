//! The fixups, in the order in which they run.

use driver_core::Fixup;

/// All fixups for Windows guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[]
}
