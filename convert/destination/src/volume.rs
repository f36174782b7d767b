//! Which volume a mount shows, said so that it is found again when names of devices have changed.

use crate::host::Host;
use crate::mounts::{DeviceNumber, Mount};
use crate::program;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reading the headers of a disk that spins up takes seconds.
const PROBE: Duration = Duration::from_secs(30);

/// What keeps the bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VolumeKind {
    /// A block device.
    Disk,
    /// A server, or several.
    Network,
    /// Memory: gone with the next start.
    Memory,
    /// None of these: a view of something else, such as overlay or FUSE.
    Other,
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The file system's UUID or serial number as blkid(8) prints it, where it has one and it can be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uuid: Option<String>,
    /// What is mounted, as the mount says: a device node or `server:/export`.
    pub source: String,
    /// The kind of file system, such as `ext4` or `nfs4`.
    pub fs_type: String,
    /// Where it is mounted. Octal escapes as in mountinfo stand for bytes that are not printable.
    pub mount_point: String,
    /// What keeps its bytes.
    pub kind: VolumeKind,
}

impl Volume {
    /// The volume that `mount` shows.
    pub(crate) fn of(host: &Host, mount: &Mount) -> Self {
        let node = node_of(host, mount);
        Self {
            uuid: node.as_deref().and_then(|node| uuid_of(host, node)),
            source: crate::escapes::encoded(&mount.source),
            fs_type: mount.kind().into_owned(),
            mount_point: crate::escapes::encoded(mount.point.as_os_str()),
            kind: kind_of(mount, node.is_some()),
        }
    }

    /// Where it is mounted, as a path.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        crate::escapes::decoded(self.mount_point.as_bytes()).into()
    }

    /// What keeps the bytes of what `mount` shows, without reading them.
    pub(crate) fn of_kind(host: &Host, mount: &Mount) -> VolumeKind {
        kind_of(mount, node_of(host, mount).is_some())
    }

    /// Whether `other` is the same volume; nothing where neither has what would tell.
    pub(crate) fn is(&self, other: &Self) -> Option<bool> {
        if self.fs_type != other.fs_type {
            return Some(false);
        }
        match (&self.uuid, &other.uuid) {
            (Some(a), Some(b)) => Some(a == b),
            // A server's name for its export stays; that of a device may be another's tomorrow.
            (None, None) if self.kind == VolumeKind::Network => Some(self.source == other.source),
            _ => None,
        }
    }

    /// Whether `other`, which says it is this volume, is believed: where nothing that stays can be compared, device and place have to
    /// agree.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        self.is(other).unwrap_or(self.source == other.source && self.mount_point == other.mount_point)
    }

    /// For sentences: `ext4 4922f93f-… on /dev/sdb1`.
    pub(crate) fn told(&self) -> String {
        let Self { fs_type, source, .. } = self;
        match &self.uuid {
            Some(uuid) => format!("{fs_type} {uuid} on {source}"),
            None => format!("{fs_type} on {source}"),
        }
    }
}

/// File systems whose bytes are on a server.
const NETWORK: [&str; 18] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "beegfs",
    "gpfs",
    "sshfs",
    "s3fs",
    "davfs",
    "rclone",
    "goofys",
    "curlftpfs",
];

/// File systems without bytes of their own that last.
const MEMORY: [&str; 20] = [
    "tmpfs",
    "ramfs",
    "devtmpfs",
    "hugetlbfs",
    "proc",
    "sysfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "pstore",
    "bpf",
    "mqueue",
    "fusectl",
    "binfmt_misc",
    "efivarfs",
    "autofs",
];

fn kind_of(mount: &Mount, has_node: bool) -> VolumeKind {
    let name = mount.kind();
    let name = name.strip_prefix("fuse.").unwrap_or(&name);
    if NETWORK.contains(&name) {
        VolumeKind::Network
    } else if MEMORY.contains(&name) {
        VolumeKind::Memory
    } else if has_node {
        VolumeKind::Disk
    } else {
        VolumeKind::Other
    }
}

/// The node of the block device that `mount` shows, if it is one.
pub(crate) fn node_of(host: &Host, mount: &Mount) -> Option<PathBuf> {
    if let Some(node) = node_numbered(host, mount.device) {
        return Some(node);
    }
    // btrfs has a made-up number, and names one of its devices as the source.
    let source = Path::new(&mount.source);
    let is_block = |path: &Path| path.metadata().is_ok_and(|facts| facts.file_type().is_block_device());
    let known = matches!(mount.kind().as_ref(), "btrfs" | "bcachefs" | "f2fs" | "fuseblk");
    (known && source.is_absolute() && is_block(source)).then(|| source.to_path_buf())
}

/// The node of the block device with this number.
fn node_numbered(host: &Host, device: DeviceNumber) -> Option<PathBuf> {
    let facts =
        std::fs::read_to_string(host.sys.join("dev/block").join(device.to_string()).join("uevent")).ok()?;
    let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(host.dev.join(name))
}

/// The number of a block device's node.
pub(crate) fn number_of(node: &Path) -> Option<DeviceNumber> {
    let facts = node.metadata().ok()?;
    facts.file_type().is_block_device().then(|| DeviceNumber::new(facts.rdev()))
}

/// The UUID of what is on the block device. udev knows it; else the device is read, for which one has to be root.
pub(crate) fn uuid_of(host: &Host, node: &Path) -> Option<String> {
    let number = number_of(node)?;
    let links = std::fs::read_dir(host.dev.join("disk/by-uuid")).into_iter().flatten().flatten();
    for link in links {
        if number_of(&link.path()) == Some(number) {
            return link.file_name().into_string().ok();
        }
    }
    let args = ["-p", "-s", "UUID", "-o", "value"].map(OsStr::new);
    let args: Vec<&OsStr> = args.into_iter().chain([node.as_os_str()]).collect();
    let said = program::run(host, "blkid", &args, PROBE).ok()?.or_error().ok()?;
    let uuid = String::from_utf8(said).ok()?;
    Some(uuid.trim().to_owned()).filter(|uuid| is_uuid(uuid))
}

/// The node of the device on which the file system with this UUID is. `was` is where it was last.
pub(crate) fn node_with_uuid(host: &Host, uuid: &str, was: Option<&Path>) -> Option<PathBuf> {
    if !is_uuid(uuid) {
        return None;
    }
    if let Ok(node) = std::fs::canonicalize(host.dev.join("disk/by-uuid").join(uuid)) {
        return Some(node);
    }
    // Without udev, devices are read one by one.
    let has = |node: &PathBuf| uuid_of(host, node).is_some_and(|it| it.eq_ignore_ascii_case(uuid));
    let was = was.map(Path::to_path_buf).filter(|node| node.is_absolute());
    was.into_iter().chain(block_devices(host)).find(has)
}

/// All block devices that have a size.
fn block_devices(host: &Host) -> impl Iterator<Item = PathBuf> {
    let devices = std::fs::read_dir(host.sys.join("class/block")).into_iter().flatten().flatten();
    devices.filter_map(|device| {
        let size = std::fs::read_to_string(device.path().join("size")).ok()?;
        let facts = std::fs::read_to_string(device.path().join("uevent")).ok()?;
        let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        (size.trim() != "0").then(|| host.dev.join(name))
    })
}

/// UUIDs and the shorter serial numbers of FAT, NTFS and discs: nothing that could be a path or an option.
pub(crate) fn is_uuid(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn mount(line: &str) -> Mount {
        Mount::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn kinds_follow_from_the_file_system() {
        let kind = |fs: &str, node| kind_of(&mount(&format!("1 0 0:9 / /a rw - {fs} s rw")), node);
        assert_eq!(kind("nfs4", false), VolumeKind::Network);
        assert_eq!(kind("fuse.sshfs", false), VolumeKind::Network);
        assert_eq!(kind("tmpfs", false), VolumeKind::Memory);
        assert_eq!(kind("autofs", false), VolumeKind::Memory);
        assert_eq!(kind("xfs", true), VolumeKind::Disk);
        assert_eq!(kind("overlay", false), VolumeKind::Other);
    }

    #[test]
    fn a_volume_is_told_from_another_by_what_stays() {
        let host = Host::system();
        let of = |line: &str| Volume::of(&host, &mount(line));
        let nfs = of("1 0 0:9 / /a rw - nfs4 server:/a rw");
        assert_eq!(nfs.is(&of("1 0 0:10 / /b rw - nfs4 server:/a rw")), Some(true));
        assert_eq!(nfs.is(&of("1 0 0:9 / /a rw - nfs4 server:/b rw")), Some(false));
        let disk = |uuid: Option<&str>| Volume {
            uuid: uuid.map(Into::into),
            ..of("1 0 0:9 / /a rw - ext4 /dev/x rw")
        };
        assert_eq!(disk(Some("aaaa")).is(&disk(Some("aaaa"))), Some(true));
        assert_eq!(disk(Some("aaaa")).is(&disk(Some("bbbb"))), Some(false));
        assert_eq!(disk(Some("aaaa")).is(&disk(None)), None);
        assert_eq!(disk(None).is(&nfs), Some(false));
    }

    #[test]
    fn what_is_no_uuid_reaches_no_path() {
        assert!(is_uuid("4922f93f-5370-49c3-9f00-4f9e371220c2") && is_uuid("ABCD-1234"));
        for text in ["", "..", "../../sda", "a b c d", "-", "x=yyyy"] {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
