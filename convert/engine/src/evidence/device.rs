//! What a block device says of itself.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Identity and size of a block device, as the kernel shows them; `None` where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceIdentity {
    /// Vendor and model.
    pub model: Option<String>,
    /// The serial number of its maker.
    pub serial: Option<String>,
    /// The name that no other device has (WWN, EUI, NGUID).
    pub wwid: Option<String>,
    /// In bytes.
    pub size: Option<u64>,
    /// The smallest unit that is addressed, in bytes.
    pub logical_sector_size: Option<u64>,
    /// The unit of the medium, in bytes.
    pub physical_sector_size: Option<u64>,
    /// Whether the kernel refuses writes to it (a write blocker, `blockdev --setro`).
    pub is_read_only: Option<bool>,
    /// Number of the partition, where it is one; the rest then is of its disk, but for the size.
    pub partition: Option<u64>,
}

/// What the kernel counts sizes in, whatever the device.
const SECTOR: u64 = 512;
/// Longer texts are no identity.
const MAX_TEXT: usize = 256;

impl DeviceIdentity {
    /// Reads what is known of the device `major:minor`; `sys` is `/sys`.
    #[must_use]
    pub fn read(sys: &Path, (major, minor): (u32, u32)) -> Self {
        let own = sys.join(format!("dev/block/{major}:{minor}"));
        let partition = number(&own.join("partition"));
        // A partition's folder lies in that of its disk.
        let disk = match own.canonicalize().ok().filter(|_| partition.is_some()) {
            Some(folder) => folder.parent().map_or_else(|| own.clone(), Path::to_owned),
            None => own.clone(),
        };
        let first = |names: &[&str]| names.iter().find_map(|name| text(&disk.join(name)));
        let vendor = first(&["device/vendor"]).filter(|vendor| !vendor.starts_with("0x"));
        let model = match (vendor, first(&["device/model"])) {
            (Some(vendor), Some(model)) => Some(format!("{vendor} {model}")),
            (vendor, model) => model.or(vendor),
        };
        Self {
            model,
            serial: first(&["device/serial", "serial"])
                .or_else(|| serial_page(&disk.join("device/vpd_pg80"))),
            wwid: first(&["wwid", "device/wwid"]),
            size: number(&own.join("size")).and_then(|sectors| sectors.checked_mul(SECTOR)),
            logical_sector_size: number(&disk.join("queue/logical_block_size")),
            physical_sector_size: number(&disk.join("queue/physical_block_size")),
            is_read_only: number(&own.join("ro")).map(|value| value != 0),
            partition,
        }
    }
}

fn text(path: &PathBuf) -> Option<String> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_TEXT)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn number(path: &PathBuf) -> Option<u64> {
    text(path)?.parse().ok()
}

/// The serial number in SCSI's page 0x80: four bytes of header, then text.
fn serial_page(path: &PathBuf) -> Option<String> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_TEXT)?;
    let text = String::from_utf8_lossy(bytes.get(4..)?).trim_matches(['\0', ' ']).to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn disks_and_their_partitions_are_identified() {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("devices/sda");
        for folder in ["device", "queue", "sda1"] {
            std::fs::create_dir_all(disk.join(folder)).unwrap();
        }
        for (name, content) in [
            ("device/vendor", "ATA     \n"),
            ("device/model", "Disk X\n"),
            ("device/vpd_pg80", "\0\u{1}\0\u{8}  SN42  "),
            ("device/wwid", "naa.5000\n"),
            ("size", "2048\n"),
            ("ro", "1\n"),
            ("queue/logical_block_size", "512\n"),
            ("queue/physical_block_size", "4096\n"),
            ("sda1/size", "100\n"),
            ("sda1/partition", "1\n"),
            ("sda1/ro", "0\n"),
        ] {
            std::fs::write(disk.join(name), content).unwrap();
        }
        let links = root.path().join("dev/block");
        std::fs::create_dir_all(&links).unwrap();
        std::os::unix::fs::symlink(&disk, links.join("8:0")).unwrap();
        std::os::unix::fs::symlink(disk.join("sda1"), links.join("8:1")).unwrap();
        let found = DeviceIdentity::read(root.path(), (8, 0));
        let expected = DeviceIdentity {
            model: Some("ATA Disk X".into()),
            serial: Some("SN42".into()),
            wwid: Some("naa.5000".into()),
            size: Some(1 << 20),
            logical_sector_size: Some(512),
            physical_sector_size: Some(4096),
            is_read_only: Some(true),
            partition: None,
        };
        assert_eq!(found, expected);
        let part = DeviceIdentity::read(root.path(), (8, 1));
        assert_eq!(
            part,
            DeviceIdentity { size: Some(51_200), is_read_only: Some(false), partition: Some(1), ..expected }
        );
        assert_eq!(DeviceIdentity::read(root.path(), (9, 9)), DeviceIdentity::default());
    }
}
