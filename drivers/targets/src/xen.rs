//! Xen and XCP-ng.
//!
//! An HVM guest starts from the emulated PIIX controller, and its kernel changes over to `xen-blkfront` and
//! `xen-netfront` once it sees the platform device; the emulated disks are unplugged then, so a kernel that knows the
//! platform (always built in) needs the front ends (xl.cfg(5), "type"; kernel documentation, `xen_emul_unplug`).
//!
//! A PVH guest has no emulated devices and no firmware: its console is `hvc0`, and GRUB as a kernel of the host
//! (`kernel=` of xl.cfg(5)) reads the menu on its disk and starts its kernel.

use driver_core::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};

const UEFI: Target = Target {
    id: "xen-uefi",
    name: "Xen HVM, UEFI",
    platform: Platform::Xen,
    firmware: Firmware::Uefi,
    disk_bus: "xen",
    is_default: true,
    boot_modules: &["xen_blkfront", "xen_netfront"],
    helpful_modules: &["ata_piix", "ata_generic", "sd_mod", "xen_fbfront", "xen_kbdfront"],
    network_module: "xen_netfront",
    first_nic: None,
    consoles: &["ttyS0", "hvc0", "tty0"],
    datasources: &["NoCloud", "ConfigDrive", "None"],
    definitions: &[DefinitionKind {
        id: "xl",
        image_format: "raw",
        image_options: &[],
        addresses: Addresses::Kept,
        clock: Clock::Either,
    }],
};

const PVH: Target = Target {
    id: "xen-pvh",
    name: "Xen PVH",
    firmware: Firmware::Host,
    helpful_modules: &[],
    consoles: &["hvc0"],
    ..UEFI
};

pub(crate) static TARGETS: [&Target; 3] =
    [&Target { id: "xen-bios", name: "Xen HVM, BIOS", firmware: Firmware::Bios, ..UEFI }, &UEFI, &PVH];
