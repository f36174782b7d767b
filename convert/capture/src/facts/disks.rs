//! Disks and what lies on them, as `/sys/block` tells (Linux, `Documentation/ABI/stable/sysfs-block`).

use super::health::Health;
use super::mounts::{Mount, Mounts};
use super::{Roots, names_in, number_of, text_of};
use convert_engine::DeviceFacts;
use format_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Sizes in `/sys/block` count in these, whatever the disk's sectors.
const SECTOR: u64 = 512;
/// Names of devices that are no disks of the machine unless the operator says so.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd"];
/// How deep volumes may lie on volumes.
const MAX_DEPTH: usize = 8;

/// A disk of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhysicalDisk {
    /// `/dev/NAME`.
    pub path: String,
    /// The name of the device mapper, where it is a volume that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// Physical sector size in bytes, where the kernel knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_sector_size: Option<u64>,
    /// What the manufacturer calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its world wide identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwid: Option<String>,
    /// How it is attached: `nvme`, `virtio`, `scsi`, `sata`, `ide`, `usb`, `xen`, `other`.
    pub bus: String,
    /// Whether it turns.
    pub rotational: bool,
    /// Whether it can be taken out.
    pub removable: bool,
    /// Whether the kernel lets nobody write.
    pub read_only: bool,
    /// How it is, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Where the disk itself, without partitions, is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Volumes that lie on the disk itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
    /// Its partitions.
    pub partitions: Vec<PhysicalPartition>,
}

/// A partition as the kernel sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhysicalPartition {
    /// Its number.
    pub number: u64,
    /// First byte on the disk.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// Where it is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Volumes that lie on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// A volume that lies on others: of LVM, of dm-crypt, an array.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The kernel's name: `dm-0`, `md127`.
    pub name: String,
    /// Its own name, where the device mapper has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `lvm`, `crypt`, `mpath`, `raid1`, or what else it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where it is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Volumes on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

impl PhysicalDisk {
    /// All places where something of the disk is in use.
    #[must_use]
    pub fn all_mounts(&self) -> Vec<&Mount> {
        fn of<'a>(holders: &'a [Holder], found: &mut Vec<&'a Mount>) {
            for holder in holders {
                found.extend(&holder.mounts);
                of(&holder.holders, found);
            }
        }
        let mut found: Vec<_> = self.mounts.iter().collect();
        of(&self.holders, &mut found);
        for partition in &self.partitions {
            found.extend(&partition.mounts);
            of(&partition.holders, &mut found);
        }
        found
    }

    /// What a manifest says of the disk. What the disk says of itself fills in what a controller hides from the kernel.
    #[must_use]
    pub fn for_manifest(&self) -> DeviceFacts {
        let asked = self.health.clone().unwrap_or_default();
        DeviceFacts {
            path: self.path.clone(),
            model: self.model.clone().or(asked.model),
            serial: self.serial.clone().or(asked.serial),
            wwn: self.wwid.clone().or(asked.wwn),
            firmware: asked.firmware,
            transport: self.bus.clone(),
            rotational: self.rotational,
            sector_size: self.sector_size,
            physical_sector_size: self.physical_sector_size,
            health: asked.state.name().into(),
            health_reasons: asked.why,
        }
    }

    /// What tells the disk from others, also after a restart.
    #[must_use]
    pub fn identity(&self) -> String {
        let named = self.wwid.as_ref().or(self.serial.as_ref()).map_or(self.path.as_str(), String::as_str);
        format!("{named}, {} bytes", self.size)
    }
}

pub(super) fn read(
    roots: &Roots,
    named: &[PathBuf],
    mounts: &Mounts,
    notes: &mut Vec<String>,
) -> Result<Vec<PhysicalDisk>> {
    let mut disks = Vec::new();
    if named.is_empty() {
        for name in names_in(&roots.path("sys/block")) {
            if NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            match disk(roots, &name, mounts) {
                Some(disk) if disk.size > 0 => disks.push(disk),
                _ => notes.push(format!("/dev/{name} has no medium, or tells no size")),
            }
        }
        return Ok(disks);
    }
    for path in named {
        let name = kernel_name(path);
        let found = name.as_deref().and_then(|name| disk(roots, name, mounts));
        disks.push(found.ok_or_else(|| {
            let known = names_in(&roots.path("sys/block")).join(", ");
            let text = format!("{} is no disk of this machine, which has {known}", path.display());
            Error::new(ErrorKind::SourceMissing, text)
        })?);
    }
    Ok(disks)
}

/// `sda` for `/dev/sda` and for what links to it.
fn kernel_name(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Some(path.strip_prefix("/dev").ok()?.to_str()?.replace('/', "!"))
}

fn disk(roots: &Roots, name: &str, mounts: &Mounts) -> Option<PhysicalDisk> {
    let folder = roots.path("sys/block").join(name);
    let path = format!("/dev/{}", name.replace('!', "/"));
    let number = text_of(&folder.join("dev"))?;
    let first = |names: &[&str]| names.iter().find_map(|name| text_of(&folder.join(name)));
    let flag = |name: &str| number_of(&folder.join(name)) == Some(1);
    let partitions = names_in(&folder)
        .into_iter()
        .filter_map(|entry| partition(roots, &folder.join(&entry), &entry, mounts));
    Some(PhysicalDisk {
        size: number_of(&folder.join("size"))?.checked_mul(SECTOR)?,
        sector_size: number_of(&folder.join("queue/logical_block_size")).unwrap_or(SECTOR),
        label: text_of(&folder.join("dm/name")),
        physical_sector_size: number_of(&folder.join("queue/physical_block_size")),
        model: first(&["device/model"]),
        serial: first(&["serial", "device/serial", "device/vpd_pg80"]).map(printable_serial),
        wwid: first(&["wwid", "device/wwid"]),
        bus: bus(&folder, name).to_owned(),
        rotational: flag("queue/rotational"),
        removable: flag("removable"),
        read_only: flag("ro"),
        health: None,
        mounts: mounts.of(&number, &path).cloned().collect(),
        holders: holders(roots, &folder, mounts, 0),
        partitions: partitions.collect(),
        path,
    })
}

/// A page of SCSI has four bytes before the text.
fn printable_serial(text: String) -> String {
    let printable = text.chars().filter(|c| !c.is_control() && *c != '\u{fffd}');
    printable.collect::<String>().trim().to_owned()
}

/// How it is attached, by the devices above it.
fn bus(folder: &Path, name: &str) -> &'static str {
    if name.starts_with("nvme") {
        return "nvme";
    }
    let path = folder.canonicalize().unwrap_or_default();
    let above: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let has = |prefix: &str| above.iter().any(|part| part.starts_with(prefix));
    match () {
        () if has("usb") => "usb",
        () if has("virtio") => "virtio",
        () if has("vbd-") || name.starts_with("xvd") => "xen",
        () if has("ata") => "sata",
        () if has("host") || name.starts_with("sd") => "scsi",
        () if name.starts_with("hd") => "ide",
        () => "other",
    }
}

fn partition(roots: &Roots, folder: &Path, name: &str, mounts: &Mounts) -> Option<PhysicalPartition> {
    let number = number_of(&folder.join("partition"))?;
    let device = text_of(&folder.join("dev"))?;
    let path = format!("/dev/{}", name.replace('!', "/"));
    Some(PhysicalPartition {
        number,
        offset: number_of(&folder.join("start"))?.checked_mul(SECTOR)?,
        size: number_of(&folder.join("size"))?.checked_mul(SECTOR)?,
        mounts: mounts.of(&device, &path).cloned().collect(),
        holders: holders(roots, folder, mounts, 0),
    })
}

fn holders(roots: &Roots, folder: &Path, mounts: &Mounts, depth: usize) -> Vec<Holder> {
    if depth == MAX_DEPTH {
        return Vec::new();
    }
    let of = |name: String| {
        let folder = roots.path("sys/block").join(&name);
        let number = text_of(&folder.join("dev")).unwrap_or_default();
        let label = text_of(&folder.join("dm/name"));
        let uuid = text_of(&folder.join("dm/uuid"));
        let kind = match uuid {
            Some(uuid) => uuid.split('-').next().map(str::to_lowercase),
            None => text_of(&folder.join("md/level")),
        };
        let path = match &label {
            Some(label) => format!("/dev/mapper/{label}"),
            None => format!("/dev/{name}"),
        };
        let (mounts, holders) =
            (mounts.of(&number, &path).cloned().collect(), holders(roots, &folder, mounts, depth + 1));
        Holder { name, label, kind, mounts, holders }
    };
    names_in(&folder.join("holders")).into_iter().map(of).collect()
}
