//! KVM: libvirt, plain QEMU, OpenStack, oVirt; and Proxmox VE and KubeVirt, which are KVM with defaults of their own.
//!
//! Virtio devices are PCI devices of `virtio_pci`; disks are `virtio_blk` or SCSI disks of `virtio_scsi` (VIRTIO 1.2,
//! sections 4.1, 5.2, 5.6). A SATA controller of the q35 machine is AHCI, the IDE one of the i440fx machine PIIX: both
//! work without any driver of virtualisation, as does the e1000e adapter, and are the way for guests that have none.
//! Proxmox: `virtio-scsi-single` is the controller that its wizard chooses (pve documentation, "QEMU/KVM Virtual
//! Machines"); its SATA is the AHCI controller of both boards, its IDE the PIIX one of the i440fx machine, and an adapter
//! that needs no driver of virtualisation is its E1000. KubeVirt: buses virtio, scsi (virtio) and sata, adapters virtio and e1000e, a clock in UTC (KubeVirt user
//! guide, "Disks and Volumes", "Interfaces and Networks"; its API has a time zone for the clock, which the manifest does not
//! use).

use driver_core::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};

const HELPFUL: &[&str] =
    &["ahci", "virtio_scsi", "virtio_blk", "virtio_rng", "virtio_console", "bochs", "virtio_gpu"];

const LIBVIRT: DefinitionKind = DefinitionKind {
    id: "libvirt",
    image_format: "qcow2",
    image_options: &[],
    addresses: Addresses::Kept,
    clock: Clock::Either,
};

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
    definitions: &[LIBVIRT],
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

/// On the i440fx machine, with UEFI too.
const KVM_IDE: Target = Target {
    id: "kvm-uefi-ide",
    name: "KVM, UEFI, IDE",
    disk_bus: "ide",
    boot_modules: &["ata_piix", "sd_mod", "e1000"],
    network_module: "e1000",
    ..KVM_SATA
};

const PROXMOX: Target = Target {
    id: "proxmox-uefi",
    name: "Proxmox VE, UEFI, virtio-scsi",
    platform: Platform::Proxmox,
    is_default: true,
    datasources: &["NoCloud", "ConfigDrive", "None"],
    definitions: &[DefinitionKind { id: "qm", ..LIBVIRT }],
    ..KVM_SCSI
};

const PROXMOX_SATA: Target = Target {
    id: "proxmox-uefi-sata",
    name: "Proxmox VE, UEFI, SATA",
    disk_bus: "sata",
    is_default: false,
    boot_modules: &["ahci", "sd_mod", "e1000"],
    network_module: "e1000",
    ..PROXMOX
};

const PROXMOX_IDE: Target = Target {
    id: "proxmox-uefi-ide",
    name: "Proxmox VE, UEFI, IDE",
    disk_bus: "ide",
    boot_modules: KVM_IDE.boot_modules,
    ..PROXMOX_SATA
};

const KUBEVIRT: Target = Target {
    id: "kubevirt-uefi",
    name: "KubeVirt, UEFI, virtio-blk",
    platform: Platform::KubeVirt,
    datasources: &["NoCloud", "ConfigDrive", "None"],
    definitions: &[DefinitionKind { id: "manifest", clock: Clock::Utc, ..LIBVIRT }],
    ..KVM
};

const KUBEVIRT_SCSI: Target = Target {
    id: "kubevirt-uefi-virtio-scsi",
    name: "KubeVirt, UEFI, virtio-scsi",
    disk_bus: KVM_SCSI.disk_bus,
    is_default: false,
    boot_modules: KVM_SCSI.boot_modules,
    ..KUBEVIRT
};

const KUBEVIRT_SATA: Target = Target {
    id: "kubevirt-uefi-sata",
    name: "KubeVirt, UEFI, SATA",
    disk_bus: KVM_SATA.disk_bus,
    is_default: false,
    boot_modules: KVM_SATA.boot_modules,
    network_module: KVM_SATA.network_module,
    ..KUBEVIRT
};

pub(crate) static TARGETS: [&Target; 20] = [
    &Target { id: "kvm-bios", name: "KVM, BIOS, virtio-blk", firmware: Firmware::Bios, ..KVM },
    &Target {
        id: "kvm-bios-virtio-scsi",
        name: "KVM, BIOS, virtio-scsi",
        firmware: Firmware::Bios,
        ..KVM_SCSI
    },
    &Target { id: "kvm-bios-sata", name: "KVM, BIOS, SATA", firmware: Firmware::Bios, ..KVM_SATA },
    &Target { id: "kvm-bios-ide", name: "KVM, BIOS, IDE", firmware: Firmware::Bios, ..KVM_IDE },
    &KVM,
    &KVM_SCSI,
    &KVM_SATA,
    &KVM_IDE,
    &Target {
        id: "proxmox-bios",
        name: "Proxmox VE, BIOS, virtio-scsi",
        firmware: Firmware::Bios,
        ..PROXMOX
    },
    &Target {
        id: "proxmox-bios-sata",
        name: "Proxmox VE, BIOS, SATA",
        firmware: Firmware::Bios,
        ..PROXMOX_SATA
    },
    &Target {
        id: "proxmox-bios-ide",
        name: "Proxmox VE, BIOS, IDE",
        firmware: Firmware::Bios,
        ..PROXMOX_IDE
    },
    &PROXMOX,
    &PROXMOX_SATA,
    &PROXMOX_IDE,
    &Target { id: "kubevirt-bios", name: "KubeVirt, BIOS, virtio-blk", firmware: Firmware::Bios, ..KUBEVIRT },
    &Target {
        id: "kubevirt-bios-virtio-scsi",
        name: "KubeVirt, BIOS, virtio-scsi",
        firmware: Firmware::Bios,
        ..KUBEVIRT_SCSI
    },
    &Target {
        id: "kubevirt-bios-sata",
        name: "KubeVirt, BIOS, SATA",
        firmware: Firmware::Bios,
        ..KUBEVIRT_SATA
    },
    &KUBEVIRT,
    &KUBEVIRT_SCSI,
    &KUBEVIRT_SATA,
];
