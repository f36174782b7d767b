//! What several partitions are together: RAID arrays, volume groups, and the volumes that come out of them.

use crate::guest::{FsFacts, Guest};
use serde::Serialize;

/// Where a file system lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum VolumeId {
    /// In a partition.
    Partition {
        /// The disk's place in [`Guest::disks`].
        disk: usize,
        /// The partition's number; 0 is the whole disk.
        partition: u32,
    },
    /// In a volume that was put together.
    Mapped {
        /// Its place in [`Guest::volumes`].
        volume: usize,
    },
}

impl From<(usize, u32)> for VolumeId {
    fn from((disk, partition): (usize, u32)) -> Self {
        Self::Partition { disk, partition }
    }
}

/// What kind of group it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// A volume group of LVM2.
    Lvm,
    /// An array of the kernel's md driver.
    Md,
    /// An encrypted volume of LUKS: a group of one.
    Luks,
}

/// An array, a volume group, or an encrypted volume.
#[derive(Clone, Debug, Serialize)]
pub struct GroupFacts {
    /// Which of them.
    pub kind: GroupKind,
    /// The volume group's name; the array's name as its superblock has it (`host:0`).
    pub name: String,
    /// UUID as `vgs` and `mdadm` print it.
    pub uuid: String,
    /// `lvm2`; `raid1, metadata 1.2`.
    pub layout: String,
    /// Physical volumes, members.
    pub parts: Vec<GroupPart>,
    /// What was not as it should be and did not matter.
    pub warnings: Vec<String>,
    /// Why nothing of it can be read, and what to do.
    pub obstacle: Option<String>,
}

/// A part of a group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupPart {
    /// Where it lies; `None` when it is on none of the disks.
    pub place: Option<VolumeId>,
    /// UUID of the physical volume or member, where it is known.
    pub uuid: Option<String>,
    /// `in use`, `missing`, or what else is to be said of it.
    pub state: String,
}

/// A logical volume, or an array as a device.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeFacts {
    /// The place of its group in [`Guest::groups`].
    pub group: usize,
    /// The names that the guest has for it, the usual one first.
    pub devices: Vec<String>,
    /// Size in bytes.
    pub size: u64,
    /// `linear`, `striped`, `raid1`, `thin`, …
    pub layout: String,
    /// The file system, or what else was recognised.
    pub file_system: Option<FsFacts>,
    /// Why it cannot be read, and what to do.
    pub obstacle: Option<String>,
}

impl Guest {
    /// The file system at `id`, if one was recognised.
    #[must_use]
    pub fn file_system(&self, id: VolumeId) -> Option<&FsFacts> {
        match id {
            VolumeId::Partition { disk, partition } => {
                self.partition((disk, partition))?.file_system.as_ref()
            }
            VolumeId::Mapped { volume } => self.volumes.get(volume)?.file_system.as_ref(),
        }
    }

    /// The place in words: `disk 0, partition 2`, or the name of a volume.
    #[must_use]
    pub fn place_name(&self, id: VolumeId) -> String {
        match id {
            VolumeId::Partition { disk, partition } => format!("disk {disk}, partition {partition}"),
            VolumeId::Mapped { volume } => {
                let name = self.volumes.get(volume).and_then(|volume| volume.devices.first());
                name.cloned().unwrap_or_else(|| format!("volume {volume}"))
            }
        }
    }
}
