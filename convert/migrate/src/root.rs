//! Which file system is the root of the installed system.
//!
//! Facts: SUSE mounts the default subvolume of btrfs, which is a snapshot (`@/.snapshots/1/snapshot`); Ubuntu and Debian the one that
//! `rootflags=subvol=@` names, Fedora `root`; Debian's installer makes `@rootfs`. The default is the top level where nobody chose
//! another (btrfs-subvolume(8), "get-default").

use crate::inspect::{Opened, Opening};
use driver_core::{FileKind, Guest, GuestFs, VolumeId};
use format_core::Result;

/// Subvolumes that are looked into: a machine with snapshots has hundreds.
const MAX_SUBVOLUMES: usize = 64;

/// Takes the file system that is the root of an installed system.
///
/// A file system that cannot be read is an obstacle where another is the root.
///
/// # Errors
/// What the file systems report when none is it, and there are no `others` that were not opened; that the micro-VM has ended.
pub(crate) fn take(
    guest: &mut Guest,
    opened: &mut Opened,
    opening: &Opening,
    others: bool,
) -> Result<Option<(VolumeId, Box<dyn GuestFs>)>> {
    let mut found: Vec<(VolumeId, Option<String>)> = Vec::new();
    let mut failed = None;
    for (&id, fs) in opened.iter() {
        match roots(fs.as_ref()) {
            Ok(roots) => found.extend(roots.into_iter().map(|path| (id, path))),
            Err(error) => {
                let error = error.context(guest.place_name(id));
                if opening.microvm.as_ref().is_some_and(|microvm| !microvm.is_running()) {
                    return Err(error);
                }
                guest.obstacles.push(error.to_string());
                failed = failed.or(Some(error));
            }
        }
    }
    if let (true, Some(error)) = (found.is_empty() && !others, failed) {
        return Err(error);
    }
    let [(id, subvolume)] = found.as_slice() else {
        let places = found.iter().map(|(id, path)| match path {
            Some(path) => format!("{}, subvolume {path}", guest.place_name(*id)),
            None => guest.place_name(*id),
        });
        let places: Vec<_> = places.collect();
        guest.obstacles.push(match places.is_empty() {
            true => "no root file system that can be read was found".to_owned(),
            false => format!(
                "several installed systems were found ({}); one at a time can be migrated",
                places.join(", ")
            ),
        });
        return Ok(None);
    };
    let fs = match subvolume {
        Some(path) => opened.get(id).map(|fs| fs.open_subvolume(path)).transpose()?.flatten(),
        // Other lines of fstab may mount other subvolumes of it.
        None if opened.get(id).is_some_and(|fs| fs.kind() == "btrfs") => {
            opened.get(id).map(|fs| fs.reopen()).transpose()?.flatten()
        }
        None => opened.remove(id),
    };
    Ok(fs.map(|fs| (*id, fs)))
}

/// Where in a file system an installed system is: in itself (`None`), or in subvolumes.
fn roots(fs: &dyn GuestFs) -> Result<Vec<Option<String>>> {
    if looks_like_root(fs)? {
        return Ok(vec![None]);
    }
    Ok(in_subvolumes(fs)?.into_iter().map(Some).collect())
}

/// The subvolumes that hold an installed system: of several (somebody kept the one before an upgrade) the one whose own fstab names it.
fn in_subvolumes(fs: &dyn GuestFs) -> Result<Vec<String>> {
    let mut found = Vec::new();
    // Deeper ones are snapshots, and containers of programs that keep them there.
    let paths = fs.subvolumes()?.into_iter().filter(|path| !path.contains('/')).take(MAX_SUBVOLUMES);
    for path in paths {
        if let Some(inside) = fs.open_subvolume(&path)?
            && looks_like_root(inside.as_ref())?
        {
            found.push((names_itself(inside.as_ref(), &path)?, path));
        }
    }
    if found.iter().filter(|(named, _)| *named).count() == 1 {
        found.retain(|(named, _)| *named);
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Whether its fstab mounts this subvolume as the root.
fn names_itself(fs: &dyn GuestFs, path: &str) -> Result<bool> {
    const FSTAB: &str = "/etc/fstab";
    if fs.metadata(FSTAB)?.is_none_or(|meta| meta.kind != FileKind::File) {
        return Ok(false);
    }
    let text = fs.read_file(FSTAB, 1 << 20)?;
    let entries = driver_linux::read_fstab(&String::from_utf8_lossy(&text));
    let option = format!("subvol={path}");
    let rooted = format!("subvol=/{path}");
    Ok(entries.iter().any(|entry| entry.point == "/" && (entry.has(&option) || entry.has(&rooted))))
}

fn looks_like_root(fs: &dyn GuestFs) -> Result<bool> {
    if fs.kind() == "ntfs" {
        return driver_windows::is_system_volume(fs);
    }
    let has = |path: &str| fs.metadata(path).map(|meta| meta.is_some());
    Ok((has("/etc/os-release")? || has("/usr/lib/os-release")? || has("/etc/redhat-release")?)
        && has("/etc/fstab")?)
}
