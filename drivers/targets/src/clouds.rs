//! Microsoft Azure, Google Compute Engine and Amazon EC2.
//!
//! | | disks | network | image |
//! |---|---|---|---|
//! | Azure | as Hyper-V | `hv_netvsc` | fixed VHD, whole MiB |
//! | Google | `virtio_scsi`, newer machines `nvme` | `virtio_net`, newer `gve` | raw, packed by the script |
//! | EC2 | `nvme`; older machines `xen_blkfront` | `ena` | streamOptimized VMDK |
//!
//! Facts: Microsoft, "Information for non-endorsed distributions" (drivers, console=ttyS0, fixed VHD of whole MiB); Google,
//! "Requirements to build custom images" (drivers, console=ttyS0,38400n8d); Amazon, "Networking and storage features of
//! Nitro-based instances", "VM Import/Export requirements".

use crate::hyperv;
use driver_core::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};

const AZ: DefinitionKind = DefinitionKind {
    id: "az",
    image_format: "vhd",
    image_options: &[("azure", "on")],
    addresses: Addresses::Chosen,
    clock: Clock::Utc,
};

const AZURE: Target = Target {
    id: "azure-gen2",
    name: "Azure generation 2",
    platform: Platform::Azure,
    firmware: Firmware::Uefi,
    disk_bus: "scsi",
    is_default: true,
    boot_modules: hyperv::BOOT_MODULES,
    helpful_modules: &[
        "hid_hyperv",
        "hyperv_keyboard",
        "hyperv_fb",
        "pci_hyperv",
        "nvme",
        "mlx5_core",
        "udf",
    ],
    network_module: "hv_netvsc",
    first_nic: Some("eth0"),
    consoles: &["tty0", "ttyS0"],
    datasources: &["Azure", "None"],
    definitions: &[AZ],
};

const GCP: Target = Target {
    id: "gcp-uefi",
    name: "Google Compute Engine, UEFI",
    platform: Platform::Gcp,
    disk_bus: "virtio-scsi",
    boot_modules: &["virtio_pci", "virtio_scsi", "sd_mod", "virtio_net"],
    helpful_modules: &["nvme", "gve", "virtio_rng"],
    network_module: "virtio_net",
    first_nic: None,
    consoles: &["tty0", "ttyS0"],
    datasources: &["GCE", "None"],
    definitions: &[DefinitionKind { id: "gcloud", image_format: "raw", image_options: &[], ..AZ }],
    ..AZURE
};

const AWS: Target = Target {
    id: "aws-uefi",
    name: "Amazon EC2 (Nitro), UEFI",
    platform: Platform::Aws,
    disk_bus: "nvme",
    boot_modules: &["nvme", "ena"],
    helpful_modules: &["xen_blkfront", "xen_netfront", "nvme_core"],
    network_module: "ena",
    first_nic: None,
    consoles: &["tty0", "ttyS0"],
    datasources: &["Ec2", "None"],
    definitions: &[DefinitionKind {
        id: "aws",
        image_format: "vmdk",
        image_options: &[("subformat", "streamOptimized")],
        ..AZ
    }],
    ..AZURE
};

pub(crate) static TARGETS: [&Target; 6] = [
    &Target { id: "azure-gen1", name: "Azure generation 1", firmware: Firmware::Bios, ..AZURE },
    &AZURE,
    &Target { id: "gcp-bios", name: "Google Compute Engine, BIOS", firmware: Firmware::Bios, ..GCP },
    &GCP,
    &Target { id: "aws-bios", name: "Amazon EC2 (Nitro), BIOS", firmware: Firmware::Bios, ..AWS },
    &AWS,
];
