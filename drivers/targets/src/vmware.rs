//! VMware ESXi, Workstation and Fusion; and Oracle VirtualBox.
//!
//! ESXi offers a paravirtual SCSI controller (`vmw_pvscsi`) and emulates LSI Logic's parallel one (`mptspi`) and SAS 1068
//! (`mptsas`), NVMe and AHCI; SAS is what VMware gives Windows since Server 2008, which has a driver for it and none for the
//! paravirtual one (VMware, "SCSI, SATA, and NVMe Storage Controller Conditions, Limitations, and Compatibility"); `vmxnet3` and `e1000e` are its network adapters (VMware, "Virtual Machine Hardware Versions", "Network Adapter
//! Types"). ESXi and Workstation import an OVF with streamOptimized disks, which says no addresses that an importer keeps.
//! A VMX file says them; Workstation and Fusion open its monolithicSparse disks as they lie, ESXi only after
//! `vmkfstools -i` (VMware, "Cloning a virtual machine disk with vmkfstools"). ESXi's clock is UTC. VirtualBox emulates AHCI and an e1000 adapter (user manual,
//! "Hard Disk Controllers", "Virtual Networking Hardware"); its screen is that of VMware.

use driver_core::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};

const OVF: DefinitionKind = DefinitionKind {
    id: "ovf",
    image_format: "vmdk",
    image_options: &[("subformat", "streamOptimized")],
    addresses: Addresses::Chosen,
    clock: Clock::Utc,
};

/// The same in one file.
const OVA: DefinitionKind = DefinitionKind { id: "ova", ..OVF };

const VMX: DefinitionKind = DefinitionKind {
    id: "vmx",
    image_options: &[("subformat", "monolithicSparse")],
    addresses: Addresses::Kept,
    clock: Clock::Either,
    ..OVF
};

const PVSCSI: Target = Target {
    id: "vmware-uefi",
    name: "VMware, UEFI, PVSCSI",
    platform: Platform::Vmware,
    firmware: Firmware::Uefi,
    disk_bus: "pvscsi",
    is_default: true,
    boot_modules: &["vmw_pvscsi", "sd_mod", "vmxnet3"],
    helpful_modules: &["mptspi", "ahci", "nvme", "vmwgfx"],
    network_module: "vmxnet3",
    first_nic: None,
    consoles: &["tty0"],
    datasources: &["NoCloud", "VMware", "OVF", "None"],
    definitions: &[OVF, OVA, VMX],
};

const LSI: Target = Target {
    id: "vmware-uefi-lsilogic",
    name: "VMware, UEFI, LSI Logic",
    disk_bus: "lsilogic",
    is_default: false,
    boot_modules: &["mptspi", "sd_mod", "vmxnet3"],
    ..PVSCSI
};

/// For Windows without VMware Tools, so the adapter is one that it knows, too.
const LSI_SAS: Target = Target {
    id: "vmware-uefi-lsisas",
    name: "VMware, UEFI, LSI Logic SAS",
    disk_bus: "lsisas",
    is_default: false,
    boot_modules: &["mptsas", "sd_mod", "e1000e"],
    network_module: "e1000e",
    ..PVSCSI
};

const NVME: Target = Target {
    id: "vmware-uefi-nvme",
    name: "VMware, UEFI, NVMe",
    disk_bus: "nvme",
    is_default: false,
    boot_modules: &["nvme", "vmxnet3"],
    ..PVSCSI
};

const SATA: Target = Target {
    id: "vmware-uefi-sata",
    name: "VMware, UEFI, SATA",
    disk_bus: "sata",
    is_default: false,
    boot_modules: &["ahci", "sd_mod", "e1000e"],
    network_module: "e1000e",
    ..PVSCSI
};

const VIRTUALBOX: Target = Target {
    id: "virtualbox-uefi",
    name: "VirtualBox, UEFI, SATA",
    platform: Platform::VirtualBox,
    disk_bus: "sata",
    boot_modules: &["ahci", "sd_mod", "e1000"],
    helpful_modules: &["vboxvideo", "vmwgfx", "ata_piix"],
    network_module: "e1000",
    datasources: &["NoCloud", "None"],
    definitions: &[DefinitionKind {
        id: "vboxmanage",
        image_format: "vdi",
        image_options: &[],
        addresses: Addresses::Kept,
        clock: Clock::Either,
    }],
    ..PVSCSI
};

pub(crate) static TARGETS: [&Target; 12] = [
    &Target { id: "vmware-bios", name: "VMware, BIOS, PVSCSI", firmware: Firmware::Bios, ..PVSCSI },
    &Target { id: "vmware-bios-lsilogic", name: "VMware, BIOS, LSI Logic", firmware: Firmware::Bios, ..LSI },
    &Target {
        id: "vmware-bios-lsisas",
        name: "VMware, BIOS, LSI Logic SAS",
        firmware: Firmware::Bios,
        ..LSI_SAS
    },
    &Target { id: "vmware-bios-nvme", name: "VMware, BIOS, NVMe", firmware: Firmware::Bios, ..NVME },
    &Target { id: "vmware-bios-sata", name: "VMware, BIOS, SATA", firmware: Firmware::Bios, ..SATA },
    &PVSCSI,
    &LSI,
    &LSI_SAS,
    &NVME,
    &SATA,
    &Target { id: "virtualbox-bios", name: "VirtualBox, BIOS, SATA", firmware: Firmware::Bios, ..VIRTUALBOX },
    &VIRTUALBOX,
];
