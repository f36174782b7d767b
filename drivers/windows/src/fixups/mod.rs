//! The fixups, in the order in which they run.

mod boot_configuration;
mod uefi_fallback;

use driver_core::Fixup;

#[cfg(test)]
pub(crate) use boot_configuration::BootConfiguration;
pub use uefi_fallback::{FallbackCopy, missing_fallback};

/// All fixups for Windows guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[&boot_configuration::BootConfiguration, &uefi_fallback::UefiFallback]
}
