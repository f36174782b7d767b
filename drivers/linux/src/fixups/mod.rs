//! The fixups, in the order in which they run.

mod bls;
mod cloud_init;
mod crypttab;
mod device_map;
mod ec2_agents;
mod fstab;
mod grub_cfg;
mod grub_default;
mod initramfs;
mod initramfs_config;
mod initramfs_fit;
mod kdump;
mod mdadm;
mod mount_units;

mod device_caches;
mod ifcfg;
mod ifupdown;
mod netplan;
mod networkd;
mod udev_net;
mod uefi_fallback;
mod unified_kernels;
use driver_core::Fixup;

pub use uefi_fallback::{FallbackCopy, missing_fallback};

/// All fixups for Linux guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &fstab::Fstab,
        &crypttab::Crypttab,
        &mount_units::MountUnits,
        &mdadm::Mdadm,
        &kdump::Kdump,
        &device_caches::DeviceCaches,
        &device_map::DeviceMap,
        &grub_default::GrubDefault,
        &grub_cfg::GrubCfg,
        &bls::Bls,
        &unified_kernels::UnifiedKernels,
        &uefi_fallback::UefiFallback,
        &initramfs::Initramfs,
        &initramfs_config::InitramfsConfig,
        &cloud_init::CloudInit,
        &netplan::Netplan,
        &ifupdown::Ifupdown,
        &networkd::Networkd,
        &ifcfg::Ifcfg,
        &udev_net::UdevNet,
        &ec2_agents::Ec2Agents,
    ]
}
