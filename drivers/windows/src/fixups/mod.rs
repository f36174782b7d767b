//! The fixups, in the order in which they run.

mod drivers_at_first_boot;
mod first_boot;
mod static_ip;

use driver_core::Fixup;

/// All fixups for Windows guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &drivers_at_first_boot::DriversAtFirstBoot,
        &static_ip::StaticIp,
        // The last one: it starts what the others left to the running Windows.
        &first_boot::FirstBoot,
    ]
}
