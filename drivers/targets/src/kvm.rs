//! KVM: libvirt, plain QEMU, OpenStack, oVirt; and Proxmox VE, which is KVM with defaults of its own.
//!
//! Virtio devices are PCI devices of `virtio_pci`; disks are `virtio_blk` or SCSI disks of `virtio_scsi` (VIRTIO 1.2,
//! sections 4.1, 5.2, 5.6). A SATA controller of the q35 machine is AHCI, the IDE one of the i440fx machine PIIX: both
//! work without any driver of virtualisation, as does the e1000e adapter, and are the way for guests that have none.
//! Proxmox: `virtio-scsi-single` is the controller that its wizard chooses (pve documentation, "QEMU/KVM Virtual
//! Machines").

use driver_core::{Firmware, Platform, Target};

const HELPFUL: &[&str] =
    &["ahci", "virtio_scsi", "virtio_blk", "virtio_rng", "virtio_console", "bochs", "virtio_gpu"];

const KVM: Target = Target {
    id: "kvm-uefi",
    name: "KVM, UEFI, virtio-blk",
    platform: Platform::Kvm,
    firmware: Firmware::Uefi,
    disk_bus: "virtio-blk",
    is_default: true,
    boot_modules: &["virtio_pci", "virtio_blk", "virtio_net"],
    helpful_modules: HELPFUL,
    network_module: "virtio_net",
    first_nic: None,
    consoles: &["ttyS0", "tty0"],
    datasources: &["NoCloud", "ConfigDrive", "OpenStack", "None"],
    image_format: "qcow2",
    image_options: &[],
};

const KVM_SCSI: Target = Target {
    id: "kvm-uefi-virtio-scsi",
    name: "KVM, UEFI, virtio-scsi",
    disk_bus: "virtio-scsi",
    is_default: false,
    boot_modules: &["virtio_pci", "virtio_scsi", "sd_mod", "virtio_net"],
    ..KVM
};

const KVM_SATA: Target = Target {
    id: "kvm-uefi-sata",
    name: "KVM, UEFI, SATA",
    disk_bus: "sata",
    is_default: false,
    boot_modules: &["ahci", "sd_mod", "e1000e"],
    network_module: "e1000e",
    ..KVM
};

const PROXMOX: Target = Target {
    id: "proxmox-uefi",
    name: "Proxmox VE, UEFI, virtio-scsi",
    platform: Platform::Proxmox,
    is_default: true,
    datasources: &["NoCloud", "ConfigDrive", "None"],
    ..KVM_SCSI
};

pub(crate) static TARGETS: [&Target; 9] = [
    &Target { id: "kvm-bios", name: "KVM, BIOS, virtio-blk", firmware: Firmware::Bios, ..KVM },
    &Target {
        id: "kvm-bios-virtio-scsi",
        name: "KVM, BIOS, virtio-scsi",
        firmware: Firmware::Bios,
        ..KVM_SCSI
    },
    &Target { id: "kvm-bios-sata", name: "KVM, BIOS, SATA", firmware: Firmware::Bios, ..KVM_SATA },
    &Target {
        id: "kvm-bios-ide",
        name: "KVM, BIOS, IDE",
        firmware: Firmware::Bios,
        disk_bus: "ide",
        boot_modules: &["ata_piix", "sd_mod", "e1000"],
        network_module: "e1000",
        ..KVM_SATA
    },
    &KVM,
    &KVM_SCSI,
    &KVM_SATA,
    &Target {
        id: "proxmox-bios",
        name: "Proxmox VE, BIOS, virtio-scsi",
        firmware: Firmware::Bios,
        ..PROXMOX
    },
    &PROXMOX,
];
