//! The fixups, in the order in which they run.

mod added_storage;
mod ec2_drivers;
mod fallback_storage;
mod hyperv_storage;

use driver_core::Fixup;

/// All fixups for Windows guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &hyperv_storage::HypervStorage,
        &fallback_storage::FallbackStorage,
        &added_storage::AddedStorage,
        &ec2_drivers::Ec2Drivers,
    ]
}
