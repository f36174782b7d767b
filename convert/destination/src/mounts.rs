//! What is mounted where: `/proc/PID/mountinfo` (proc_pid_mountinfo(5)) and `/etc/fstab` (fstab(5)).

use crate::escapes::{decoded, encoded};
use crate::host::Host;
use format_core::{Error, ErrorKind, Result};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The number of a device, or that which the kernel made up for a file system without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceNumber {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl DeviceNumber {
    /// As stat(2) gives it.
    pub(crate) fn new(device: u64) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.trim().split_once(':').ok_or(())?;
        Ok(Self { major: major.parse().map_err(drop)?, minor: minor.parse().map_err(drop)? })
    }
}

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) device: DeviceNumber,
    /// The folder of the file system that is seen at the mount point.
    pub(crate) root: PathBuf,
    pub(crate) point: PathBuf,
    /// Of this mount: `nosuid`, `noatime`.
    pub(crate) options: OsString,
    pub(crate) fs_type: OsString,
    pub(crate) source: OsString,
    /// Of the file system: `errors=remount-ro`, `subvol=/data`.
    pub(crate) super_options: OsString,
}

impl Mount {
    /// A line without its end; nothing where it is none.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let number = |word: Option<&[u8]>| std::str::from_utf8(word?).ok()?.parse::<u64>().ok();
        let (id, parent) = (number(words.next())?, number(words.next())?);
        let device = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let (root, point) = (decoded(words.next()?).into(), decoded(words.next()?).into());
        let options = decoded(words.next()?);
        // Any number of tags of propagation, then a dash.
        words.by_ref().find(|word| *word == b"-")?;
        Some(Self {
            id,
            parent,
            device,
            root,
            point,
            options,
            fs_type: decoded(words.next()?),
            source: decoded(words.next()?),
            super_options: decoded(words.next().unwrap_or_default()),
        })
    }

    /// The line again, printable, for what is remembered.
    pub(crate) fn line(&self) -> String {
        let Self { id, parent, device, .. } = self;
        let [root, point] = [&self.root, &self.point].map(|path| encoded(path.as_os_str()));
        let [options, fs_type, source, more] =
            [&self.options, &self.fs_type, &self.source, &self.super_options].map(|text| encoded(text));
        format!("{id} {parent} {device} {root} {point} {options} - {fs_type} {source} {more}")
    }

    /// Whether this mount, or its file system, has this option.
    pub(crate) fn has(&self, option: &str) -> bool {
        options(&self.options).chain(options(&self.super_options)).any(|o| o == option.as_bytes())
    }

    /// What the file system says behind `KEY=`.
    pub(crate) fn super_value(&self, key: &str) -> Option<&str> {
        options(&self.super_options)
            .find_map(|option| std::str::from_utf8(option).ok()?.strip_prefix(key)?.strip_prefix('='))
    }

    /// The kind of file system, for people and comparisons.
    pub(crate) fn kind(&self) -> std::borrow::Cow<'_, str> {
        self.fs_type.to_string_lossy()
    }
}

/// The options of a list that commas part.
pub(crate) fn options(list: &OsStr) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|byte| *byte == b',').filter(|option| !option.is_empty())
}

/// All mounts that this process sees, lowest first.
pub(crate) fn mounts(host: &Host) -> Result<Vec<Mount>> {
    mounts_of(host, "self")
        .map_err(|e| Error::io("cannot read the table of mounts", e).with_kind(ErrorKind::Io))
}

/// All mounts that a process sees.
pub(crate) fn mounts_of(host: &Host, process: &str) -> std::io::Result<Vec<Mount>> {
    let text = std::fs::read(host.proc.join(process).join("mountinfo"))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect())
}

/// The mount in which an open file or folder lies. The kernel says which, so links, bind mounts and mounts on top of each other
/// cannot deceive.
pub(crate) fn mount_of(host: &Host, file: &File) -> Result<Mount> {
    let path = host.proc.join("self/fdinfo").join(file.as_raw_fd().to_string());
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Error::io(format!("cannot read {}", path.display()), e).with_kind(ErrorKind::Io))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    let found = mounts(host)?.into_iter().find(|mount| Some(mount.id) == id);
    found.ok_or_else(|| {
        Error::new(ErrorKind::Io, "the table of mounts does not list the mount of an open folder")
    })
}

/// An entry of fstab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) source: OsString,
    pub(crate) point: PathBuf,
}

/// The entries that have a mount point. A host without the table has none.
pub(crate) fn fstab(host: &Host) -> Vec<Entry> {
    let text = std::fs::read(&host.fstab).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let source = words.next().filter(|word| !word.starts_with(b"#"))?;
    let point = PathBuf::from(decoded(words.next()?));
    // A slash at the end is allowed there; components have none.
    point.is_absolute().then(|| Entry { source: decoded(source), point: point.components().collect() })
}

/// The place that fstab has for a folder, where less than that is mounted: the folder would lie on the volume below.
pub(crate) fn unmounted_place(host: &Host, folder: &Path, mount: &Mount) -> Option<Entry> {
    let longest = |entry: &Entry| entry.point.as_os_str().len();
    let entries = fstab(host).into_iter().filter(|entry| folder.starts_with(&entry.point));
    entries.max_by_key(longest).filter(|e| e.point != mount.point && e.point.starts_with(&mount.point))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn lines_are_read_and_written_again() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\012x rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.parent, mount.device.to_string()), (36, 35, "98:0".into()));
        assert_eq!(mount.point, Path::new("/mnt 2\nx"));
        assert_eq!(mount.super_value("errors"), Some("continue"));
        assert!(mount.has("noatime") && mount.has("rw") && !mount.has("atime"));
        assert_eq!(Mount::parse(mount.line().as_bytes()).unwrap(), mount);
        // A source may be empty: two spaces.
        let mount = Mount::parse(b"1 0 0:1 / /a rw - tmpfs  rw").unwrap();
        assert_eq!((mount.source.as_bytes(), mount.super_options.as_bytes()), (&b""[..], &b"rw"[..]));
        for broken in
            ["", "1 2 3 4", "1 2 0:1 / /a rw shared:1", "x 2 0:1 / /a rw - a b c", "1 2 0-1 / /a rw - a b c"]
        {
            assert_eq!(Mount::parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn this_process_sees_its_own_mounts() {
        let host = Host::system();
        let proc = File::open("/proc").unwrap();
        let mount = mount_of(&host, &proc).unwrap();
        assert_eq!((mount.point.as_path(), mount.kind().as_ref()), (Path::new("/proc"), "proc"));
    }

    #[test]
    fn the_table_says_what_should_be_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let fstab_path = folder.path().join("fstab");
        let table = "# comment\n/dev/sda1 / ext4 defaults 0 1\nUUID=x\t/srv/back\\040up/ xfs noauto\n/dev/sdb none swap sw\n";
        std::fs::write(&fstab_path, table).unwrap();
        let host = Host { fstab: fstab_path, ..Host::system() };
        let mount =
            |point: &str| Mount::parse(format!("1 0 8:1 / {point} rw - ext4 x rw").as_bytes()).unwrap();
        let place =
            |folder: &str, at: &str| unmounted_place(&host, Path::new(folder), &mount(at)).map(|e| e.point);
        assert_eq!(fstab(&host).len(), 2);
        assert_eq!(place("/srv/back up/vms", "/"), Some("/srv/back up".into()));
        assert_eq!(place("/srv/back up/vms", "/srv"), Some("/srv/back up".into()));
        assert_eq!(place("/srv/back up/vms", "/srv/back\\040up"), None);
        assert_eq!(place("/srv/back up/vms", "/srv/back\\040up/vms"), None);
        assert_eq!(place("/srv/other", "/"), None);
    }
}
