//! Subvolumes of a btrfs, from its tree of roots.
//!
//! Source: `linux/btrfs.h` and `linux/btrfs_tree.h`.

use crate::failing::{Result, While};
use crate::ioctl::{btrfs_path, btrfs_search};
use crate::mounts::Mounted;
use microvm_init::{Failure, FailureKind};
use std::collections::BTreeMap;

const ROOT_TREE: u64 = 1;
/// The top level.
const FS_TREE: u64 = 5;
/// Ids of subvolumes, from the first one.
const FIRST: u64 = 256;
const LAST: u64 = u64::MAX - 256;
/// `BTRFS_ROOT_BACKREF_KEY`: from a subvolume to where it is.
const ROOT_BACKREF: u32 = 144;
/// `struct btrfs_ioctl_search_key`, and `btrfs_ioctl_search_header`.
const KEY: usize = 104;
const HEADER: usize = 32;
/// Subvolumes at most, and how deep they may lie in each other.
const MAX: usize = 65_536;
const MAX_DEPTH: usize = 64;

/// Where a subvolume is: in which other one, and its path there.
struct Place {
    parent: u64,
    path: String,
}

/// Ids and paths from the top level. Deleted ones, and those whose path is no UTF-8, are not among them.
pub(crate) fn list(fs: &Mounted) -> Result<Vec<(u64, String)>> {
    let mut places = BTreeMap::new();
    let mut from = FIRST;
    loop {
        let found = search(fs, from)?;
        let Some(last) = found.last().map(|(id, ..)| *id) else { break };
        for (id, parent, folder, name) in found {
            let Ok(name) = String::from_utf8(name) else { continue };
            let Some(above) = folder_path(fs, parent, folder)? else { continue };
            places.insert(id, Place { parent, path: above + &name });
        }
        if places.len() > MAX {
            return Err(Failure::new(FailureKind::Limit, format!("more than {MAX} subvolumes")));
        }
        let Some(next) = last.checked_add(1).filter(|next| *next <= LAST) else { break };
        from = next;
    }
    Ok(places.keys().filter_map(|id| Some((*id, whole_path(&places, *id)?))).collect())
}

fn whole_path(places: &BTreeMap<u64, Place>, id: u64) -> Option<String> {
    let mut place = places.get(&id)?;
    let mut path = place.path.clone();
    for _ in 0..MAX_DEPTH {
        if place.parent == FS_TREE {
            return Some(path);
        }
        place = places.get(&place.parent)?;
        path = format!("{}/{path}", place.path);
    }
    None
}

type Backref = (u64, u64, u64, Vec<u8>);

/// Some of the references, from `first` on.
fn search(fs: &Mounted, first: u64) -> Result<Vec<Backref>> {
    let mut arguments = [0; 4096];
    let fields = [ROOT_TREE, first, LAST, 0, u64::MAX, 0, u64::MAX];
    for (field, value) in arguments.chunks_exact_mut(8).zip(fields) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
    let types = [ROOT_BACKREF, ROOT_BACKREF, 4096];
    for (field, value) in arguments.chunks_exact_mut(4).skip(14).zip(types) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
    btrfs_search(&fs.root, &mut arguments).during(format_args!("list the subvolumes of {}", fs.device))?;
    let count = u32_at(&arguments, 64).unwrap_or_default();
    let mut at = KEY;
    let mut found = Vec::new();
    for _ in 0..count {
        let Some((id, parent, kind, length)) = header(&arguments, at) else { break };
        let item = arguments.get(at + HEADER..at + HEADER + length).unwrap_or_default();
        at += HEADER + length;
        if kind != ROOT_BACKREF {
            continue;
        }
        // `struct btrfs_root_ref`: the folder, a sequence number, the name's length, the name.
        let name = item.get(16..18).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
        let name = name.and_then(|length| item.get(18..18 + usize::from(length)));
        if let (Some(folder), Some(name)) = (u64_at(item, 0), name) {
            found.push((id, parent, folder, name.to_vec()));
        }
    }
    Ok(found)
}

/// Id, offset, type and length of an item.
fn header(bytes: &[u8], at: usize) -> Option<(u64, u64, u32, usize)> {
    let length = u32_at(bytes, at + 28)? as usize;
    Some((u64_at(bytes, at + 8)?, u64_at(bytes, at + 16)?, u32_at(bytes, at + 24)?, length.min(4096)))
}

/// The path of a folder in a subvolume with a `/` behind it, empty for its root.
fn folder_path(fs: &Mounted, tree: u64, folder: u64) -> Result<Option<String>> {
    let mut arguments = [0; 4096];
    for (field, value) in arguments.chunks_exact_mut(8).zip([tree, folder]) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
    match btrfs_path(&fs.root, &mut arguments) {
        // A folder that goes, or went.
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        done => done.during(format_args!("find the subvolumes of {}", fs.device))?,
    }
    let path = arguments.get(16..).unwrap_or_default();
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8(path.to_vec()).ok())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
