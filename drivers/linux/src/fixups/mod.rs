//! The fixups, in the order in which they run.

mod agents;
mod bls;
mod built_in;
mod cloud_init;
mod cloud_mirrors;
mod crypttab;
mod device_caches;
mod device_map;
mod distribution;
mod first_boot;
mod fstab;
mod grub_cfg;
mod grub_default;
mod host_keys;
mod ifcfg;
mod ifupdown;
mod initramfs;
mod initramfs_config;
mod initramfs_fit;
mod initramfs_rebuild;
mod inittab;
mod kdump;
mod keyfiles;
mod lvm_filters;
mod machine_id;
mod mdadm;
mod menu_commands;
mod menu_rebuild;
mod modprobe_aliases;
mod mount_units;
mod netplan;
mod networkd;
mod resume;
mod selinux;
mod static_ip;
mod swap_units;
mod time_and_names;
mod udev_net;
mod uefi_fallback;
mod unified_kernels;
mod wicked;
mod x11;
mod xen_pvh;

use driver_core::Fixup;

pub use uefi_fallback::{FallbackCopy, missing_fallback};

/// All fixups for Linux guests, in order: a later one sees what earlier ones planned.
#[must_use]
pub fn fixups() -> &'static [&'static dyn Fixup] {
    &[
        &distribution::Distribution,
        &fstab::Fstab,
        &crypttab::Crypttab,
        &mount_units::MountUnits,
        &mdadm::Mdadm,
        &kdump::Kdump,
        &resume::Resume,
        &device_caches::DeviceCaches,
        &lvm_filters::LvmFilters,
        &device_map::DeviceMap,
        &grub_default::GrubDefault,
        &grub_cfg::GrubCfg,
        &bls::Bls,
        &unified_kernels::UnifiedKernels,
        &uefi_fallback::UefiFallback,
        &xen_pvh::XenPvh,
        &initramfs::Initramfs,
        &initramfs_config::InitramfsConfig,
        &cloud_init::CloudInit,
        &static_ip::StaticIp,
        &netplan::Netplan,
        &ifupdown::Ifupdown,
        &networkd::Networkd,
        &ifcfg::Ifcfg,
        &keyfiles::Keyfiles,
        &wicked::Wicked,
        &udev_net::UdevNet,
        &agents::EC2,
        &agents::AZURE,
        &agents::HYPERV,
        &agents::GCP,
        &agents::VMWARE,
        &agents::VIRTUALBOX,
        &agents::XEN,
        &agents::PARALLELS,
        &cloud_mirrors::CloudMirrors,
        &time_and_names::TimeAndNames,
        &inittab::Inittab,
        &modprobe_aliases::ModprobeAliases,
        &x11::X11,
        &machine_id::MachineId,
        &host_keys::HostKeys,
        &first_boot::FirstBoot,
        &selinux::Selinux,
        // Last: the tools read what all others wrote.
        &initramfs_rebuild::InitramfsRebuild,
        &menu_rebuild::MenuRebuild,
    ]
}
