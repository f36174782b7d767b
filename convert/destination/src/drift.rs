//! Volumes that an automounter put elsewhere: `/run/media/ann/BACKUP1`, because `BACKUP` was still there.

use crate::escapes::shell_word;
use crate::host::Host;
use crate::marker::{MARKER, Marker};
use crate::mounts::{Mount, mounts};
use crate::rule::{Destination, Device, Required, not_found};
use crate::volume::{Volume, VolumeKind, is_uuid, node_of, node_with_uuid, number_of, uuid_of};
use format_core::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A path has this many components at most for the search.
const MAX_DEPTH: usize = 32;

/// `error`, or a better one that says where the destination is now.
pub(crate) fn named(host: &Host, destination: &Destination, error: Error) -> Error {
    let Some((point, folder)) = elsewhere(host, destination) else { return error };
    not_found(format!(
        "the destination is not at {}: its volume is mounted at {}",
        destination.folder.display(),
        point.display()
    ))
    .hint(format!(
        "name {} as the destination; or unmount it there (umount {}) and mount it where it is expected",
        shell_word(&folder),
        shell_word(&point)
    ))
}

/// That a volume which belongs at `point` is mounted elsewhere.
pub(crate) fn said(point: &Path, elsewhere: &Path) -> Error {
    not_found(format!("the volume of {} is mounted at {}", point.display(), elsewhere.display()))
        .hint(format!("unmount it there, and try again: umount {}", shell_word(elsewhere)))
}

/// Where the destination's volume is mounted, and the destination on it.
fn elsewhere(host: &Host, destination: &Destination) -> Option<(PathBuf, PathBuf)> {
    let asked = std::path::absolute(&destination.folder).ok()?;
    let real = std::fs::canonicalize(&asked).unwrap_or_else(|_| asked.clone());
    let mounts = mounts(host).ok()?;
    // What lies on a server may not answer, and what lies in memory is no destination.
    let disks = mounts.iter().filter(|mount| Volume::of_kind(host, mount) == VolumeKind::Disk);
    let disks: Vec<&Mount> = disks.filter(|mount| !real.starts_with(&mount.point)).collect();
    let mut found = disks.iter().filter_map(|mount| {
        let folder = below(&asked, &mount.point).find(|folder| shows(host, destination, mount, folder))?;
        Some((mount.point.clone(), folder))
    });
    found.next().or_else(|| by_device(host, destination, &disks)).or_else(|| by_name(&asked, &disks))
}

/// The paths that the destination may have below `point`: the whole end of its path first, then less of it.
fn below<'a>(asked: &'a Path, point: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    let parts: Vec<_> = asked.components().skip(1).collect();
    let from = parts.len().saturating_sub(MAX_DEPTH);
    (from..=parts.len()).filter_map(move |at| Some(point.join(parts.get(at..)?.iter().collect::<PathBuf>())))
}

/// Whether this folder holds the marker that is asked for.
fn shows(host: &Host, destination: &Destination, mount: &Mount, folder: &Path) -> bool {
    let marker = || -> Option<Marker> {
        let facts = std::fs::symlink_metadata(folder.join(MARKER)).ok()?;
        facts
            .is_file()
            .then(|| File::open(folder).ok().and_then(|file| crate::marker::read(&file).ok().flatten()))?
    };
    match &destination.required {
        Required::Marked(Some(id)) => marker().is_some_and(|marker| marker.id == *id),
        // Any marker of a place with that path: one whose volume was mounted at the place asked for.
        _ => marker().is_some_and(|marker| {
            let was = marker.volume.place();
            destination.folder.starts_with(&was)
                && marker.volume.is(&Volume::of(host, mount)) != Some(false)
                && was != mount.point
        }),
    }
}

/// The volume that is expected by name of device or UUID.
fn by_device(host: &Host, destination: &Destination, disks: &[&Mount]) -> Option<(PathBuf, PathBuf)> {
    let node = match destination.device.as_ref()? {
        Device::Uuid(uuid) if is_uuid(uuid) => node_with_uuid(host, uuid, None)?,
        Device::Uuid(_) => return None,
        Device::Source(source) => source.clone(),
    };
    let number = number_of(&node)?;
    let uuid = uuid_of(host, &node);
    let is_it = |mount: &&&Mount| {
        let node = node_of(host, mount);
        let same = node.as_deref().and_then(number_of) == Some(number);
        // btrfs over several devices: any of them may be the source.
        same || (uuid.is_some()
            && mount.kind() == "btrfs"
            && node.and_then(|node| uuid_of(host, &node)) == uuid)
    };
    let mount = disks.iter().find(is_it)?;
    let asked = std::path::absolute(&destination.folder).ok()?;
    let rest = destination.mount_point.as_deref().and_then(|point| asked.strip_prefix(point).ok());
    let folder = match rest {
        Some(rest) => mount.point.join(rest),
        None => below(&asked, &mount.point).find(|folder| folder.is_dir())?,
    };
    Some((mount.point.clone(), folder))
}

/// Automounters add a number when a name is taken: BACKUP, BACKUP1, BACKUP2.
fn by_name(asked: &Path, disks: &[&Mount]) -> Option<(PathBuf, PathBuf)> {
    let numbered = |mount: &&&Mount| {
        let (Some(parent), Some(name)) = (mount.point.parent(), mount.point.file_name()) else { return None };
        let automounted =
            ["/run/media", "/media", "/mnt", "/Volumes"].iter().any(|place| parent.starts_with(place));
        let below = asked.strip_prefix(parent).ok().filter(|_| automounted)?;
        let mut parts = below.components();
        let wanted = parts.next()?.as_os_str().to_str()?;
        let digits = name.to_str()?.strip_prefix(wanted)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let folder = mount.point.join(parts.as_path());
        (is_number && folder.is_dir()).then(|| (mount.point.clone(), folder))
    };
    disks.iter().find_map(|mount| numbered(&mount))
}
