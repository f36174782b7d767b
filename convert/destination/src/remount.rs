//! Mounting again: the same volume, at the same place, with the same options.

use crate::drift;
use crate::escapes::shell_word;
use crate::isolation::Isolator;
use crate::mounts::{Mount, fstab, mounts, options};
use crate::program;
use crate::record::Remembered;
use crate::rule::not_found;
use crate::volume::{Volume, VolumeKind, node_with_uuid, number_of};
use format_core::{Error, ErrorKind, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_volume};
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server may take its time.
const MOUNT: Duration = Duration::from_secs(60);

/// Makes the remembered mount again, and says whether it was missing. At the places in `own`, the volume may be, too.
///
/// # Errors
/// Kind `Destination` where the volume or its place is missing or taken, others where the system refuses.
pub(crate) fn mount_again(isolator: &Isolator<'_>, remembered: &Remembered, own: &[PathBuf]) -> Result<bool> {
    let was = remembered.mount()?;
    let point = was.point.as_path();
    let all = mounts(isolator.host)?;
    if let Some(there) = all.iter().rfind(|mount| mount.point == point) {
        return is_it(isolator, there, &was, remembered)
            .then_some(false)
            .ok_or_else(|| taken(isolator, there, remembered));
    }
    // Seldom, so that reading headers of devices is not worth sparing.
    let mut others = all.iter().filter(|mount| !own.contains(&mount.point));
    if let Some(elsewhere) = others.find(|mount| is_it(isolator, mount, &was, remembered)) {
        return Err(drift::said(point, &elsewhere.point));
    }
    make_place(point)?;
    let in_fstab = fstab(isolator.host).iter().any(|entry| entry.point == point);
    if remembered.volume.kind == VolumeKind::Disk && was.fs_type != "fuseblk" {
        from_device(isolator, &was, remembered)?;
    } else if in_fstab {
        program::run(isolator.host, "mount", &[OsStr::new("--"), point.as_os_str()], MOUNT)?.or_error()?;
    } else {
        return Err(Error::needs_person(format!("{} has no entry in /etc/fstab any more", point.display()))
            .hint("mount it by hand, and try again"));
    }
    verify(isolator, &was, remembered)?;
    Ok(true)
}

fn is_it(isolator: &Isolator<'_>, there: &Mount, was: &Mount, remembered: &Remembered) -> bool {
    if there.root != was.root {
        return false;
    }
    let same_number = there.device == was.device && there.device.major != 0 && there.source == was.source;
    let now = Volume::of(isolator.host, there);
    // Where neither UUID can be read, number and name have to do.
    now.is(&remembered.volume).unwrap_or(same_number && there.fs_type == was.fs_type)
}

fn taken(isolator: &Isolator<'_>, there: &Mount, remembered: &Remembered) -> Error {
    not_found(format!(
        "{} is mounted at {}, where {} was",
        Volume::of(isolator.host, there).told(),
        there.point.display(),
        remembered.volume.told()
    ))
    .hint(format!("unmount what is there, and try again: umount {}", shell_word(&there.point)))
}

/// An automounter's folder in memory is gone after a restart; any other mount point is the administrator's.
fn make_place(point: &Path) -> Result<()> {
    match std::fs::symlink_metadata(point) {
        Ok(facts) if facts.is_dir() => Ok(()),
        Ok(_) => Err(not_found(format!("the mount point {} is not a folder any more", point.display()))
            .hint("make it a folder again, and try again")),
        Err(_) if ["/run/media", "/media"].iter().any(|place| point.starts_with(place)) => {
            std::fs::create_dir_all(point)
                .map_err(|e| Error::io(format!("cannot make the mount point {}", point.display()), e))
        }
        Err(_) => Err(not_found(format!("the mount point {} is gone", point.display()))
            .hint(format!("make it again: mkdir -p {}", shell_word(point)))),
    }
}

/// The node of the volume's device now.
fn node(isolator: &Isolator<'_>, was: &Mount, remembered: &Remembered) -> Option<PathBuf> {
    if let Some(uuid) = &remembered.volume.uuid {
        return node_with_uuid(isolator.host, uuid, Some(Path::new(&was.source)));
    }
    let node = PathBuf::from(&was.source);
    (number_of(&node) == Some(was.device)).then_some(node)
}

fn from_device(isolator: &Isolator<'_>, was: &Mount, remembered: &Remembered) -> Result<()> {
    let volume = &remembered.volume;
    let Some(node) = node(isolator, was, remembered) else {
        return Err(not_found(format!(
            "the device of {} ({}) is not there",
            was.point.display(),
            volume.told()
        ))
        .hint("plug the disk in, or switch it on, and try again"));
    };
    let (flags, data) = flags_and_data(was);
    let data =
        CString::new(data).map_err(|_| Error::new(ErrorKind::Io, "a record's options hold a zero byte"))?;
    mount_volume(&node, &was.point, was.fs_type.as_os_str(), flags, Some(data.as_c_str())).map_err(|e| {
        let text = format!("cannot mount {} at {}", node.display(), was.point.display());
        let hint = match e {
            rustix::io::Errno::PERM => "run the command as root, for example with sudo".into(),
            _ => format!("dmesg says more; by hand: mount {} {}", shell_word(&node), shell_word(&was.point)),
        };
        Error::io(text, e.into())
            .with_kind(if e == rustix::io::Errno::PERM { ErrorKind::Denied } else { ErrorKind::Io })
            .hint(hint)
    })
}

/// What mount(2) takes as flags, and what is left for the file system itself.
fn flags_and_data(was: &Mount) -> (MountFlags, Vec<u8>) {
    let mut flags = MountFlags::empty();
    for option in options(&was.options) {
        flags |= match option {
            b"ro" => MountFlags::RDONLY,
            b"nosuid" => MountFlags::NOSUID,
            b"nodev" => MountFlags::NODEV,
            b"noexec" => MountFlags::NOEXEC,
            b"noatime" => MountFlags::NOATIME,
            b"nodiratime" => MountFlags::NODIRATIME,
            b"relatime" => MountFlags::RELATIME,
            b"nosymfollow" => MountFlags::NOSYMFOLLOW,
            _ => MountFlags::empty(),
        };
    }
    if !flags.intersects(MountFlags::NOATIME | MountFlags::RELATIME) {
        flags |= MountFlags::STRICTATIME;
    }
    let mut data = Vec::new();
    for option in options(&was.super_options) {
        match option {
            b"ro" => flags |= MountFlags::RDONLY,
            b"sync" => flags |= MountFlags::SYNCHRONOUS,
            b"dirsync" => flags |= MountFlags::DIRSYNC,
            b"lazytime" => flags |= MountFlags::LAZYTIME,
            // Shown by the kernel, not taken by it: SELinux labels files; locks that bind are gone since Linux 5.15.
            b"rw" | b"seclabel" | b"mand" => {}
            // A number that is given anew may be another subvolume's; the name says it.
            other if other.starts_with(b"subvolid=") => {}
            other => {
                data.extend(if data.is_empty() { &b""[..] } else { b"," });
                data.extend(other);
            }
        }
    }
    (flags, data)
}

/// That it is there as it was. A mount that lacks `nosuid` or `nodev` is taken away again.
fn verify(isolator: &Isolator<'_>, was: &Mount, remembered: &Remembered) -> Result<()> {
    let point = was.point.display();
    let all = mounts(isolator.host)?;
    let Some(now) = all.iter().rfind(|mount| mount.point == was.point) else {
        return Err(not_found(format!("{point} is not mounted, although mounting it did not fail")));
    };
    if !is_it(isolator, now, was, remembered) {
        return Err(taken(isolator, now, remembered));
    }
    let set = |mount: &Mount| options(&mount.options).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    if set(now) == set(was) {
        return Ok(());
    }
    let text = format!(
        "{point} was mounted with the options {}, and is now with {}",
        was.options.display(),
        now.options.display()
    );
    // What cannot be unmounted is said all the same.
    let _ = rustix::mount::unmount(&was.point, UnmountFlags::NOFOLLOW);
    Err(Error::needs_person(text).hint("mount it by hand with the options it should have, and try again"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn options_are_sorted_into_flags_and_data() {
        let of = |line: &str| flags_and_data(&Mount::parse(line.as_bytes()).unwrap());
        let (flags, data) = of(
            "1 0 8:1 /d /a rw,nosuid,nodev,noatime - btrfs /dev/sda rw,space_cache=v2,subvolid=256,subvol=/d",
        );
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME);
        assert_eq!(data, b"space_cache=v2,subvol=/d");
        let (flags, data) = of("1 0 8:1 / /a ro,relatime - ext4 /dev/sda ro,seclabel,sync,errors=remount-ro");
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::RELATIME | MountFlags::SYNCHRONOUS);
        assert_eq!(data, b"errors=remount-ro");
        let (flags, data) = of("1 0 8:1 / /a rw,noexec - ext4 /dev/sda rw");
        assert_eq!((flags, data.as_slice()), (MountFlags::NOEXEC | MountFlags::STRICTATIME, &b""[..]));
    }
}
