//! Microsoft Hyper-V.
//!
//! Storage and network are VMBus devices: the kernel's `hv_vmbus` with `hv_storvsc` and `hv_netvsc`
//! (kernel documentation, "Hyper-V/vmbus"). `hv_storvsc` also serves the disks on the IDE controller of a generation 1
//! machine, because `ata_piix` leaves Hyper-V's disks to it (`prefer_ms_hyperv`); `ata_piix` itself is the way back
//! when it is told not to.
//!
//! The clock is the local time of the host (Microsoft, "Time Synchronization in Hyper-V").

use driver_core::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};

pub(crate) const BOOT_MODULES: &[&str] = &["hv_vmbus", "hv_storvsc", "sd_mod", "hv_netvsc"];

const UEFI: Target = Target {
    id: "hyperv-gen2",
    name: "Hyper-V generation 2",
    platform: Platform::HyperV,
    firmware: Firmware::Uefi,
    disk_bus: "scsi",
    is_default: true,
    boot_modules: BOOT_MODULES,
    helpful_modules: &["hyperv_keyboard", "hid_hyperv", "hyperv_drm", "hyperv_fb", "pci_hyperv"],
    network_module: "hv_netvsc",
    first_nic: Some("eth0"),
    consoles: &["ttyS0", "tty0"],
    datasources: &["NoCloud", "None"],
    definitions: &[DefinitionKind {
        id: "powershell",
        image_format: "vhdx",
        image_options: &[],
        addresses: Addresses::Given,
        clock: Clock::Local,
    }],
};

const BIOS: Target = Target {
    id: "hyperv-gen1",
    name: "Hyper-V generation 1",
    firmware: Firmware::Bios,
    disk_bus: "ide",
    helpful_modules: &["ata_piix", "ata_generic", "hyperv_keyboard", "hid_hyperv", "hyperv_drm", "hyperv_fb"],
    ..UEFI
};

/// A generation 1 machine: BIOS, boot disk on IDE 0:0.
pub static GENERATION_1: Target = BIOS;

/// A generation 2 machine: UEFI, boot disk on SCSI 0:0, no emulated devices.
pub static GENERATION_2: Target = UEFI;

pub(crate) static TARGETS: [&Target; 2] = [&GENERATION_1, &GENERATION_2];
