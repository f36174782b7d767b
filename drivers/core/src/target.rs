//! What a target platform needs from a guest: data that fixups read.

use serde::Serialize;

/// How a machine's firmware starts the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// BIOS: boot code in sector 0.
    Bios,
    /// UEFI: `\EFI\BOOT\BOOTX64.EFI` on an EFI system partition.
    Uefi,
    /// None: a boot loader of the host starts the guest, by the menu on its disk.
    Host,
}

/// Who runs the machine. Guests carry agents and settings of the platform they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Microsoft Hyper-V on the customer's own hosts.
    HyperV,
    /// KVM with libvirt or plain QEMU; OpenStack and oVirt.
    Kvm,
    /// Proxmox VE.
    Proxmox,
    /// VMware ESXi, Workstation, Fusion.
    Vmware,
    /// Oracle VirtualBox.
    VirtualBox,
    /// Xen, XCP-ng.
    Xen,
    /// KubeVirt: KVM in the pods of Kubernetes.
    KubeVirt,
    /// Microsoft Azure.
    Azure,
    /// Google Compute Engine.
    Gcp,
    /// Amazon EC2.
    Aws,
}

impl Platform {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HyperV => "Hyper-V",
            Self::Kvm => "KVM",
            Self::Proxmox => "Proxmox VE",
            Self::Vmware => "VMware",
            Self::VirtualBox => "VirtualBox",
            Self::Xen => "Xen",
            Self::KubeVirt => "KubeVirt",
            Self::Azure => "Microsoft Azure",
            Self::Gcp => "Google Cloud",
            Self::Aws => "Amazon EC2",
        }
    }
}

/// One target platform.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Target {
    /// What reports call it: `hyperv-gen1`.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// Who runs it.
    pub platform: Platform,
    /// How it starts the guest.
    pub firmware: Firmware,
    /// The controller of its disks: `virtio-blk`, `scsi`, …
    pub disk_bus: &'static str,
    /// Whether it is what the platform gives a machine unless another controller is asked for.
    pub is_default: bool,
    /// Modules without which the guest cannot mount its root: in the kernel or in the initramfs.
    pub boot_modules: &'static [&'static str],
    /// Modules that make the early boot better (console, rescue, network): added where the guest has them.
    pub helpful_modules: &'static [&'static str],
    /// The network driver.
    pub network_module: &'static str,
    /// What the first network interface is called, where the platform decides it.
    pub first_nic: Option<&'static str>,
    /// Kernel consoles, the one that becomes /dev/console last.
    pub consoles: &'static [&'static str],
    /// Where cloud-init may look for the machine's data, in its own names; `None` comes last where nothing is there.
    pub datasources: &'static [&'static str],
    /// How the machine can be described to it, the usual way first.
    pub definitions: &'static [DefinitionKind],
}

/// One way to describe a machine to a platform: what its words can say, and the images that go with them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DefinitionKind {
    /// What the command line calls it: `ovf`.
    pub id: &'static str,
    /// The image format it takes (a format name).
    pub image_format: &'static str,
    /// Options of the image's writer.
    pub image_options: &'static [(&'static str, &'static str)],
    /// What becomes of the hardware addresses of network adapters.
    pub addresses: Addresses,
    /// What the machine's real-time clock says.
    pub clock: Clock,
}

/// What a definition says about the hardware addresses of network adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// Those of the machine.
    Kept,
    /// Only those that the operator gave; else the platform chooses.
    Given,
    /// None: the platform chooses.
    Chosen,
}

/// What a machine's real-time clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// UTC or local time, as the definition says.
    Either,
    /// Always UTC.
    Utc,
    /// Always the local time of the host.
    Local,
}
