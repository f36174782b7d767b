//! From partitions to what file systems lie on: md arrays first, arrays of arrays, then volume groups over all of it.
//!
//! What belongs to a group is never looked into by itself: a mirror's half looks like a file system and would be changed
//! without the other half.

use crate::block_device::BlockDevice;
use crate::crypt;
use crate::filesystems::Notes;
use crate::inspect::Opening;
use crate::windows;
use driver_core::{DiskFacts, FsFacts, GroupPart, Guest, PartitionFacts, TableKind, Volume, VolumeId};
use driver_partitions::{Window, overlaps};
use format_core::{Overlay, Result};
use std::sync::Arc;

mod arrays;
mod groups;

use arrays::arrays;
pub(crate) use arrays::name_arrays;
use groups::groups;

/// Members of groups of one kind at most: a machine has fewer, and each can be made to take its time.
const MAX_MEMBERS: usize = 256;
/// Arrays of arrays of arrays.
const MAX_ARRAY_DEPTH: usize = 3;

/// Something that may hold a file system.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) id: VolumeId,
    pub(crate) volume: Arc<dyn Volume>,
    /// The same for a kernel, where one could make it.
    pub(crate) device: Option<Arc<BlockDevice>>,
    /// Why it must not be written.
    pub(crate) read_only: Option<String>,
}

/// Puts arrays and volume groups together and adds them to the facts. What is left may hold file systems.
///
/// # Errors
/// What the disks report while their windows are made.
pub(crate) fn stack(
    guest: &mut Guest,
    overlays: &[Arc<Overlay>],
    opening: &Opening,
    notes: &mut Notes,
) -> Result<Vec<Candidate>> {
    let mut fresh = partitions(guest, overlays)?;
    let mut free = Vec::new();
    for _ in 0..MAX_ARRAY_DEPTH {
        let (members, others) = take(guest, fresh, "linux_raid_member", driver_md::probe);
        free.extend(others);
        fresh = arrays(guest, members, opening, notes)?;
    }
    let (deeper, others) = take(guest, fresh, "linux_raid_member", driver_md::probe);
    free.extend(others);
    for (superblock, candidate) in deeper {
        let place = guest.place_name(candidate.id);
        guest.obstacles.push(format!("{place}: md array {} lies too deep in others", superblock.name()));
    }
    // Containers hold physical volumes, and logical volumes containers.
    let free = crypt::unlock(guest, free, opening)?;
    let (members, mut free) = take(guest, free, "LVM2_member", driver_lvm::probe);
    let volumes = groups(guest, members, opening, notes)?;
    free.extend(crypt::unlock(guest, volumes, opening)?);
    free.sort_by_key(|candidate| candidate.id);
    Ok(free)
}

/// The partitions of all disks, but of disks that are members as a whole.
fn partitions(guest: &mut Guest, overlays: &[Arc<Overlay>]) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut obstacles = Vec::new();
    for (index, (overlay, facts)) in overlays.iter().zip(&guest.disks).enumerate() {
        if facts.table != TableKind::None && is_member(overlay, index, &facts.partitions, &mut obstacles)? {
            continue;
        }
        if windows::is_dynamic(facts) {
            obstacles.push(format!("disk {index}: {}", windows::DYNAMIC_TEXT));
            continue;
        }
        let shared = overlaps(&facts.partitions);
        obstacles.extend(overlap_text(&shared).map(|text| format!("disk {index}: {text}")));
        let is_own = |partition: &&PartitionFacts| shared.iter().all(|(later, _)| *later != partition.number);
        for partition in facts.partitions.iter().filter(is_own) {
            match Window::of_partition(overlay, partition) {
                Ok(window) => found.push(Candidate {
                    id: (index, partition.number).into(),
                    volume: Arc::new(window),
                    device: Some(Arc::new(BlockDevice::Part {
                        disk: index,
                        start: partition.start,
                        size: partition.size,
                    })),
                    read_only: None,
                }),
                Err(error) => {
                    obstacles.push(format!("disk {index}, partition {}: {error}", partition.number))
                }
            }
        }
    }
    guest.obstacles.extend(obstacles);
    Ok(found)
}

/// What is said of disks with partitions that overlap: no edit is safe there, also where a guest was found.
pub(crate) fn overlapping(guest: &Guest) -> impl Iterator<Item = String> {
    let of_disk = |(index, facts): (usize, &DiskFacts)| {
        overlap_text(&overlaps(&facts.partitions)).map(|text| format!("disk {index}: {text}"))
    };
    guest.disks.iter().enumerate().filter_map(of_disk)
}

/// What is said of partitions that overlap: the later ones are not looked into, for an edit of one would be one of both.
fn overlap_text(shared: &[(u32, u32)]) -> Option<String> {
    let (later, before) = shared.first()?;
    let more = match shared.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more do"),
    };
    Some(format!(
        "partition {later} overlaps partition {before}{more}: what is changed in one changes the other; correct the table in the \
         guest (sfdisk, sgdisk) before exporting"
    ))
}

/// Whether a disk with a partition table is a member of an array as a whole: then the table is the array's, or stale.
fn is_member(
    overlay: &Arc<Overlay>,
    index: usize,
    partitions: &[PartitionFacts],
    obstacles: &mut Vec<String>,
) -> Result<bool> {
    let size = overlay.base().virtual_size();
    let whole = Window::of_partition(overlay, &PartitionFacts { size, ..PartitionFacts::default() })?;
    let superblock = match driver_md::probe(&whole) {
        Ok(Some(superblock)) => superblock,
        Ok(None) => return Ok(false),
        // A member all the same, of which the other half would not know of an edit.
        Err(error) => {
            obstacles.push(format!("disk {index}: {error}"));
            return Ok(true);
        }
    };
    // Version 0.90 does not say where it lies: it is the last partition's as well.
    let at = superblock.offset();
    if partitions.iter().any(|partition| (partition.start..partition.start + partition.size).contains(&at)) {
        return Ok(false);
    }
    obstacles.push(format!(
        "disk {index}: the whole disk is a member of md array {}, and it has a partition table; partitions in arrays are \
         not mapped here, and a leftover superblock has to be removed with mdadm --zero-superblock in the guest before \
         exporting",
        superblock.name()
    ));
    Ok(true)
}

/// Members that `probe` finds, with what it found, and what is left. A member that is damaged is neither.
pub(crate) fn take<T>(
    guest: &mut Guest,
    candidates: Vec<Candidate>,
    kind: &str,
    probe: impl Fn(&dyn Volume) -> Result<Option<T>>,
) -> (Vec<(T, Candidate)>, Vec<Candidate>) {
    let (mut members, mut others) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let place = guest.place_name(candidate.id);
        match probe(candidate.volume.as_ref()) {
            Ok(None) => others.push(candidate),
            Ok(Some(_)) if members.len() >= MAX_MEMBERS => {
                guest.obstacles.push(format!("{place}: {kind}, of which {MAX_MEMBERS} are looked at"));
            }
            Ok(Some(found)) => members.push((found, candidate)),
            Err(error) => {
                mark(guest, candidate.id, FsFacts { state: Some("damaged".into()), ..member(kind, None) });
                guest.obstacles.push(format!("{place}: {error}"));
            }
        }
    }
    (members, others)
}

pub(crate) fn member(kind: &str, uuid: Option<String>) -> FsFacts {
    let not_editable = Some("it is part of an array or volume group".into());
    FsFacts { kind: kind.into(), uuid, not_editable, ..FsFacts::default() }
}

/// Says what was found at `id`.
pub(crate) fn mark(guest: &mut Guest, id: VolumeId, facts: FsFacts) {
    match id {
        VolumeId::Partition { disk, partition } => {
            let partitions = guest.disks.get_mut(disk).map(|disk| &mut disk.partitions).into_iter().flatten();
            partitions
                .filter(|found| found.number == partition)
                .for_each(|found| found.file_system = Some(facts.clone()));
        }
        VolumeId::Mapped { volume } => {
            guest
                .volumes
                .get_mut(volume)
                .into_iter()
                .for_each(|found| found.file_system = Some(facts.clone()));
        }
    }
}

/// The reason of the first member that must not be written.
fn read_only<'a>(members: impl Iterator<Item = &'a Candidate>) -> Option<String> {
    members.filter_map(|member| member.read_only.clone()).next()
}

/// The content of a volume: what is mapped here, or else what the micro-VM's kernel makes of it. Without one it is noted that one
/// might.
fn by_kernel(
    content: Result<Arc<dyn Volume>, String>,
    device: Option<&Arc<BlockDevice>>,
    name: &str,
    opening: &Opening,
    notes: &mut Notes,
) -> Result<Result<Arc<dyn Volume>, String>> {
    match (content, device, &opening.microvm) {
        (Err(_), Some(device), Some(microvm)) => microvm.volume(device),
        (Err(reason), Some(_), None) => {
            notes.for_microvm.push(format!("{name}: {reason}"));
            Ok(Err(reason))
        }
        (content, ..) => Ok(content),
    }
}

/// What to do when parts are on none of the disks that were given.
fn lacking(parts: &[GroupPart]) -> Option<String> {
    let count = parts.iter().filter(|part| part.place.is_none()).count();
    let are = if count == 1 { "is" } else { "are" };
    (count > 0).then(|| {
        format!(
            "{count} of its {} parts {are} on none of these disks; if the machine has other disks, give their images too, \
             the boot disk first",
            parts.len()
        )
    })
}

/// A member's state stands where a file system's would.
pub(crate) fn tell_state(guest: &mut Guest, part: &GroupPart) {
    let Some(place) = part.place else { return };
    if let Some(facts) = guest.file_system(place).cloned() {
        mark(guest, place, FsFacts { state: Some(part.state.clone()), ..facts });
    }
}
