//! The fixups, in the order in which they run.

mod added_storage;
mod agents;
mod boot_configuration;
mod clock;
mod cloud_network;
mod crash_reboot;
mod dhcp_client;
mod drivers_at_first_boot;
mod ec2_drivers;
mod fallback_storage;
mod first_boot;
mod hyperv_storage;
mod network_driver;
mod san_policy;
mod static_ip;
mod uefi_fallback;
mod warnings;
mod xen_filters;

use driver_core::Fixup;

#[cfg(test)]
pub(crate) use boot_configuration::BootConfiguration;
pub use uefi_fallback::{FallbackCopy, missing_fallback};

/// All fixups for Windows guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &warnings::Warnings,
        &xen_filters::XenFilters,
        &hyperv_storage::HypervStorage,
        &fallback_storage::FallbackStorage,
        &added_storage::AddedStorage,
        &ec2_drivers::Ec2Drivers,
        &network_driver::NetworkDriver,
        &boot_configuration::BootConfiguration,
        &uefi_fallback::UefiFallback,
        &agents::EC2,
        &agents::AZURE,
        &agents::GCP,
        &agents::VMWARE,
        &agents::VIRTUALBOX,
        &agents::PARALLELS,
        &agents::XEN,
        &agents::KVM,
        &cloud_network::EC2,
        &cloud_network::GCP,
        &dhcp_client::DhcpClient,
        &clock::RealTimeClock,
        &san_policy::SanPolicy,
        &crash_reboot::CrashReboot,
        &drivers_at_first_boot::DriversAtFirstBoot,
        &static_ip::StaticIp,
        // The last one: it starts what the others left to the running Windows.
        &first_boot::FirstBoot,
    ]
}
