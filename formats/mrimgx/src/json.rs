//! The description of a backup: JSON text, with bounds on what it says.

use crate::error::MrimgxError;
use crate::layout::{MAX_BLOCK, MAX_DISKS, MAX_FILES, MAX_PARTITIONS};
use serde::Deserialize;

/// The parts of the description that are used.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Description {
    #[serde(rename = "_compression")]
    pub(crate) compression: Compression,
    #[serde(rename = "_encryption", default)]
    pub(crate) encryption: Encryption,
    #[serde(rename = "_header")]
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) disks: Vec<Disk>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Compression {
    /// `none`, `medium` or `high`.
    pub(crate) compression_level: String,
    #[serde(default)]
    compression_method: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Encryption {
    #[serde(default)]
    enable: bool,
    #[serde(default)]
    aes_type: Option<String>,
    #[serde(default)]
    pub(crate) key_iterations: u32,
    /// Of the key that is derived from the password.
    #[serde(default)]
    pub(crate) hmac: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Header {
    /// Names the backup set: 16 digits.
    pub(crate) imageid: String,
    pub(crate) file_number: u16,
    pub(crate) increment_number: u16,
    #[serde(default)]
    pub(crate) merged_files: Vec<i64>,
    pub(crate) split_file: bool,
    pub(crate) index_file_position: u64,
    pub(crate) delta_index: bool,
    #[serde(default)]
    pub(crate) backup_time: i64,
    #[serde(default)]
    pub(crate) backup_type: String,
    #[serde(default)]
    pub(crate) backup_format: String,
    #[serde(default)]
    pub(crate) netbios_name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Disk {
    #[serde(rename = "_header")]
    pub(crate) header: DiskHeader,
    #[serde(rename = "_geometry")]
    pub(crate) geometry: DiskGeometry,
    #[serde(default)]
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DiskHeader {
    pub(crate) disk_number: i32,
    #[serde(default)]
    pub(crate) disk_format: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DiskGeometry {
    pub(crate) bytes_per_sector: u32,
    pub(crate) disk_size: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Partition {
    #[serde(rename = "_header")]
    pub(crate) header: PartitionHeader,
    #[serde(rename = "_geometry")]
    pub(crate) geometry: PartitionGeometry,
    #[serde(rename = "_file_system", default)]
    pub(crate) file_system: FileSystem,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PartitionHeader {
    pub(crate) block_size: u64,
    pub(crate) partition_number: i32,
    #[serde(default)]
    pub(crate) file_history: Vec<FileHistory>,
}

/// A file of the set, by the name that it had when it was written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FileHistory {
    #[serde(default)]
    pub(crate) file_name: String,
    #[serde(default)]
    pub(crate) file_number: i64,
}

/// Offsets on the disk in bytes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PartitionGeometry {
    pub(crate) start: u64,
    #[serde(default)]
    pub(crate) length: u64,
    #[serde(default)]
    pub(crate) boot_sector_offset: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct FileSystem {
    #[serde(default)]
    pub(crate) start: u64,
    #[serde(default)]
    pub(crate) lcn0_offset: u64,
    #[serde(default)]
    pub(crate) reserved_sectors_byte_length: u64,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
}

/// The cipher of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aes {
    Aes128,
    Aes192,
    Aes256,
}

impl Description {
    /// Reads and checks the text in `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, MrimgxError> {
        let failed = |e: serde_json::Error| MrimgxError::Json { reason: e.to_string() };
        // The text may end with a NUL.
        let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let found: Self = serde_json::from_slice(text).map_err(failed)?;
        found.check()?;
        Ok(found)
    }

    fn check(&self) -> Result<(), MrimgxError> {
        let value =
            |what, found: &dyn std::fmt::Display| MrimgxError::Value { what, found: found.to_string() };
        self.is_packed()?;
        self.aes()?;
        self.image_id()?;
        if self.header.merged_files.len() > MAX_FILES {
            return Err(value("the count of merged files", &self.header.merged_files.len()));
        }
        if self.disks.len() > MAX_DISKS {
            return Err(value("the count of disks", &self.disks.len()));
        }
        for disk in &self.disks {
            if disk.partitions.len() > MAX_PARTITIONS {
                return Err(value("the count of partitions", &disk.partitions.len()));
            }
            let sector = disk.geometry.bytes_per_sector;
            if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
                return Err(value("the size of a sector", &sector));
            }
            if disk.geometry.disk_size == 0 || disk.geometry.disk_size > i64::MAX.cast_unsigned() {
                return Err(value("the size of a disk", &disk.geometry.disk_size));
            }
            for partition in &disk.partitions {
                let size = partition.header.block_size;
                if size == 0 || size > MAX_BLOCK || !size.is_multiple_of(512) {
                    return Err(value("the size of a block", &size));
                }
            }
        }
        Ok(())
    }

    /// Whether blocks are compressed.
    pub(crate) fn is_packed(&self) -> Result<bool, MrimgxError> {
        let Compression { compression_level, compression_method } = &self.compression;
        match (compression_level.as_str(), compression_method.as_deref()) {
            ("none", _) => Ok(false),
            ("medium" | "high", None | Some("zstd")) => Ok(true),
            ("medium" | "high", Some(other)) => {
                Err(MrimgxError::Value { what: "the compression", found: format!("{other:?}") })
            }
            (other, _) => Err(MrimgxError::Value { what: "the compression", found: format!("{other:?}") }),
        }
    }

    /// How blocks are encrypted, if they are.
    pub(crate) fn aes(&self) -> Result<Option<Aes>, MrimgxError> {
        let kind = self.encryption.aes_type.as_deref().unwrap_or("none");
        match (kind, self.encryption.enable) {
            ("none", false) => Ok(None),
            ("aes-128", true) => Ok(Some(Aes::Aes128)),
            ("aes-192", true) => Ok(Some(Aes::Aes192)),
            ("aes-256", true) => Ok(Some(Aes::Aes256)),
            (kind, is_on) => {
                let found = format!("{kind:?} and enabled {is_on}");
                Err(MrimgxError::Value { what: "the encryption", found })
            }
        }
    }

    /// The number of the backup set.
    pub(crate) fn image_id(&self) -> Result<[u8; 8], MrimgxError> {
        let text = &self.header.imageid;
        let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
        let found = || MrimgxError::Value { what: "the image id", found: format!("{text:?}") };
        number.map(u64::to_be_bytes).ok_or_else(found)
    }

    /// What the file with this number was called, where the description tells it.
    pub(crate) fn name_of(&self, number: u16) -> Option<&str> {
        let partitions = self.disks.iter().flat_map(|disk| &disk.partitions);
        let mut files = partitions.flat_map(|partition| &partition.header.file_history);
        let path = &files.find(|file| file.file_number == i64::from(number))?.file_name;
        path.rsplit(['\\', '/']).next().filter(|name| !name.is_empty())
    }
}
