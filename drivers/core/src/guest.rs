//! What is known of a guest, and how it was known. Facts only; nothing here decides.

use crate::SourceFacts;
use crate::WindowsFacts;
use crate::group::{GroupFacts, VolumeFacts, VolumeId};
use serde::Serialize;

/// Everything that inspection found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Guest {
    /// The disks in the machine's order.
    pub disks: Vec<DiskFacts>,
    /// Arrays and volume groups that partitions belong to.
    pub groups: Vec<GroupFacts>,
    /// The volumes of the groups.
    pub volumes: Vec<VolumeFacts>,
    /// How the machine starts.
    pub boot: BootFacts,
    /// The operating system, if one was found.
    pub os: Option<OsFacts>,
    /// The platform that it comes from, as far as its files say.
    pub source: SourceFacts,
    /// Where the file systems are mounted, root first.
    pub mounts: Vec<MountFacts>,
    /// The devices that the guest's crypttab makes of others.
    #[serde(skip)]
    pub mappings: Vec<MappingFacts>,
    /// The installed Linux kernels, the one that boots by default first.
    pub kernels: Vec<KernelFacts>,
    /// What is known of it when it is Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsFacts>,
    /// What could not be looked at, and why.
    pub obstacles: Vec<String>,
}

/// One disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DiskFacts {
    /// Size in bytes.
    pub size: u64,
    /// What the source machine calls the disk (`/dev/sdf`), where its description says so.
    pub device_name: Option<String>,
    /// Links of udev that the guest's own files tie to this disk (`/dev/disk/by-id/scsi-36000c29`), without `-partN`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// The partition table.
    pub table: TableKind,
    /// MBR signature (`0x1234abcd`) or GPT disk GUID.
    pub id: Option<String>,
    /// The partitions in the table's order; a single entry numbered 0 when the disk is one file system.
    pub partitions: Vec<PartitionFacts>,
    /// Whether sector 0 holds a boot loader's code, and whose.
    pub boot_code: Option<String>,
    /// With a GPT, the MBR's entries besides the one that guards it: a hybrid MBR. Linux and UEFI go by the GPT, a BIOS
    /// boot loader may go by these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hybrid: Vec<HybridEntry>,
    /// What shows that the image ends before its disk did, one sentence each. A migration would lose what is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut_off: Vec<String>,
}

/// An entry of a hybrid MBR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HybridEntry {
    /// Its place in the MBR, from 1.
    pub number: u32,
    /// Type byte (`0x83`).
    pub type_id: String,
    /// First byte on the disk.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// Boot flag.
    pub bootable: bool,
    /// Number of the GPT's partition that it is; `None` when the GPT has no such partition.
    pub partition: Option<u32>,
}

/// What kind of partition table a disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// No table.
    #[default]
    None,
    /// MBR, with EBRs for logical partitions.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// One partition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PartitionFacts {
    /// The number as Linux counts it; 0 is the whole disk.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// MBR type byte (`0x83`) or GPT type GUID, lower case.
    pub type_id: String,
    /// What the type means.
    pub role: PartitionRole,
    /// MBR boot flag, or GPT legacy-boot attribute.
    pub bootable: bool,
    /// GPT name.
    pub name: Option<String>,
    /// The PARTUUID as Linux spells it.
    pub part_uuid: Option<String>,
    /// The file system, if one was recognised.
    pub file_system: Option<FsFacts>,
}

/// What a partition is for, by its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionRole {
    /// Nothing special.
    #[default]
    Data,
    /// EFI system partition.
    Esp,
    /// GRUB's core image on GPT disks.
    BiosBoot,
    /// Swap space.
    Swap,
    /// LVM physical volume.
    Lvm,
    /// RAID member.
    Raid,
}

/// One file system.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FsFacts {
    /// `ext4`, `vfat`, `xfs`, `swap`, `crypto_LUKS`, …: the names that blkid uses.
    pub kind: String,
    /// UUID as blkid spells it.
    pub uuid: Option<String>,
    /// Label.
    pub label: Option<String>,
    /// Clean, or what has to happen first (`journal to be replayed`).
    pub state: Option<String>,
    /// Why it cannot be edited, if it cannot.
    pub not_editable: Option<String>,
}

/// How the machine starts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BootFacts {
    /// It can start by BIOS, and how that was known.
    pub bios: Option<String>,
    /// It can start by UEFI without NVRAM entries (`\EFI\BOOT\BOOTX64.EFI`), and how that was known; perhaps only after
    /// a fixup copied the loader there.
    pub uefi: Option<String>,
    /// For that, this loader has to be copied first: `/boot/efi/EFI/debian/shimx64.efi`.
    pub uefi_copy: Option<String>,
    /// Whether the UEFI loader is signed for the "Microsoft UEFI Certificate Authority" template, and the default kernel
    /// by anybody: `None` is unknown.
    pub secure_boot: Option<bool>,
    /// The menu by which a loader of the host can start it (Xen's pygrub, GRUB for PV and PVH), where it has no loader of
    /// its own.
    pub host_loader: Option<String>,
    /// The loader that was found: `grub2`, …
    pub loader: Option<String>,
    /// File name of the kernel that the loader's menu starts when nobody chooses, where the menu says so.
    pub kernel: Option<String>,
}

/// The operating system.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OsFacts {
    /// `linux`, …
    pub family: String,
    /// `debian`, `amzn`, …: ID of os-release.
    pub id: String,
    /// VERSION_ID of os-release.
    pub version: String,
    /// For people.
    pub name: String,
    /// `x86_64`, `aarch64`, …
    pub arch: Option<String>,
    /// The file that said it.
    pub known_by: String,
    /// Host name, if it is set in a file.
    pub hostname: Option<String>,
    /// The system takes the hardware clock for local time, not UTC.
    pub local_clock: bool,
}

/// Where a file system is mounted in the guest.
#[derive(Clone, Debug, Serialize)]
pub struct MountFacts {
    /// `/`, `/boot`, …
    pub point: String,
    /// How the guest's fstab calls the device; empty for a root that fstab does not name.
    pub device: String,
    /// Where the file system lies.
    #[serde(flatten)]
    pub place: VolumeId,
    /// File system kind.
    pub kind: String,
}

/// A device that is made of another one when the guest starts: a line of crypttab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingFacts {
    /// Its name in /dev/mapper.
    pub name: String,
    /// How the guest calls the device that it is made of.
    pub device: String,
}

/// One installed kernel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KernelFacts {
    /// Version as in `/lib/modules/VERSION`.
    pub version: String,
    /// The kernel image, if found.
    pub image: Option<String>,
    /// The initramfs, if found.
    pub initramfs: Option<String>,
    /// What built the initramfs: `initramfs-tools`, `dracut`, …
    pub initramfs_kind: Option<String>,
    /// Whether the boot loader starts it by default.
    pub default: bool,
    /// The state of each driver that some target wants.
    pub drivers: Vec<DriverFacts>,
}

/// Whether a kernel has a driver, and whether it has it when it mounts its root.
#[derive(Clone, Debug, Serialize)]
pub struct DriverFacts {
    /// Module name, with underscores.
    pub module: String,
    /// Built into the kernel, a module on disk, or missing.
    pub state: DriverState,
    /// The module is in the initramfs (always true when built in).
    pub in_initramfs: bool,
}

/// Where a driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverState {
    /// Part of the kernel image.
    BuiltIn,
    /// A loadable module.
    Module,
    /// The kernel does not have it.
    Missing,
}

/// A partition's place: the disk's index and the partition's number.
pub type PartitionId = (usize, u32);

impl Guest {
    /// The partition at `id`.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionFacts> {
        self.disks.get(id.0)?.partitions.iter().find(|partition| partition.number == id.1)
    }

    /// What shows that an image was cut off, each with its disk.
    pub fn cut_off(&self) -> impl Iterator<Item = String> {
        let of = |(disk, facts): (usize, &DiskFacts)| {
            facts.cut_off.iter().map(move |text| format!("disk {disk}: {text}")).collect::<Vec<_>>()
        };
        self.disks.iter().enumerate().flat_map(of)
    }

    /// Which partition or volume a device specification of fstab, crypttab or a kernel command line means.
    ///
    /// Understands `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=`, `/dev/disk/by-*` (names of hardware where
    /// [`DiskFacts::links`] has them), the names of
    /// [`VolumeFacts::devices`] and kernel names: the letter or
    /// number of a kernel name is the disk's place in the machine (`sdb2`, `xvdb2`, `nvme1n1p2` are disk 1). The
    /// letters of `sd` and `xvd` are those of [`DiskFacts::device_name`] where every disk has one: EC2 begins its
    /// data volumes at `sdf`.
    #[must_use]
    pub fn resolve_device(&self, spec: &str) -> Option<VolumeId> {
        crate::device::resolve(self, spec)
    }
}
