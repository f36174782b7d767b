//! The fixups, in the order in which they run.

mod bls;
mod cloud_init;
mod crypttab;
mod ec2_agents;
mod fstab;
mod grub_cfg;
mod grub_default;
mod initramfs;
mod initramfs_config;
mod initramfs_fit;

mod device_caches;
mod ifcfg;
mod ifupdown;
mod netplan;
mod networkd;
mod udev_net;
use driver_core::Fixup;

/// All fixups for Linux guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &fstab::Fstab,
        &crypttab::Crypttab,
        &device_caches::DeviceCaches,
        &grub_default::GrubDefault,
        &grub_cfg::GrubCfg,
        &bls::Bls,
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
