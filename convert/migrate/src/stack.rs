//! From partitions to what file systems lie on: md arrays first, arrays of arrays, then volume groups over all of it.
//!
//! What belongs to a group is never looked into by itself: a mirror's half looks like a file system and would be changed
//! without the other half.

use crate::windows;
use driver_core::{
    FsFacts, GroupFacts, GroupKind, GroupPart, Guest, PartitionFacts, TableKind, Volume, VolumeFacts,
    VolumeId,
};
use driver_partitions::Window;
use format_core::{Overlay, Result};
use std::sync::Arc;

/// Members of groups of one kind at most: a machine has fewer, and each can be made to take its time.
const MAX_MEMBERS: usize = 256;
/// Arrays of arrays of arrays.
const MAX_ARRAY_DEPTH: usize = 3;

/// Something that may hold a file system.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) id: VolumeId,
    pub(crate) volume: Arc<dyn Volume>,
    /// Why it must not be written.
    pub(crate) read_only: Option<String>,
}

/// Puts arrays and volume groups together and adds them to the facts. What is left may hold file systems.
///
/// # Errors
/// What the disks report while their windows are made.
pub(crate) fn stack(guest: &mut Guest, overlays: &[Arc<Overlay>]) -> Result<Vec<Candidate>> {
    let mut fresh = partitions(guest, overlays)?;
    let mut free = Vec::new();
    for _ in 0..MAX_ARRAY_DEPTH {
        let (members, others) = take(guest, fresh, "linux_raid_member", driver_md::probe);
        free.extend(others);
        fresh = arrays(guest, members);
    }
    let (deeper, others) = take(guest, fresh, "linux_raid_member", driver_md::probe);
    free.extend(others);
    for (superblock, candidate) in deeper {
        let place = guest.place_name(candidate.id);
        guest.obstacles.push(format!("{place}: md array {} lies too deep in others", superblock.name()));
    }
    let (members, mut free) = take(guest, free, "LVM2_member", driver_lvm::probe);
    free.extend(groups(guest, members));
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
        for partition in &facts.partitions {
            match Window::of_partition(overlay, partition) {
                Ok(window) => found.push(Candidate {
                    id: (index, partition.number).into(),
                    volume: Arc::new(window),
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
fn take<T>(
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

fn member(kind: &str, uuid: Option<String>) -> FsFacts {
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

fn arrays(guest: &mut Guest, members: Vec<(driver_md::Superblock, Candidate)>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (superblock, candidate) in &members {
        let facts = FsFacts { label: Some(superblock.name()), ..member("linux_raid_member", None) };
        let uuid = superblock.uuid().replace(':', "");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| uuid.get(range).unwrap_or_default());
        mark(guest, candidate.id, FsFacts { uuid: Some(parts.join("-")), ..facts });
    }
    let given: Vec<_> =
        members.iter().map(|(sb, candidate)| (sb.clone(), Arc::clone(&candidate.volume))).collect();
    for array in driver_md::assemble(&given) {
        let own = array.members.iter().filter_map(|m| Some(&members.get(m.member?)?.1));
        let read_only = array.read_only.or_else(|| read_only(own));
        let parts = array.members.iter().map(|m| GroupPart {
            place: m.member.and_then(|index| Some(members.get(index)?.1.id)),
            uuid: m.uuid.clone(),
            state: m.state.words().into(),
        });
        let parts: Vec<_> = parts.collect();
        for part in &parts {
            tell_state(guest, part);
        }
        let (group, volume) = (guest.groups.len(), guest.volumes.len());
        let obstacle = array.content.as_ref().err().cloned();
        guest.obstacles.extend(obstacle.as_ref().map(|reason| format!("md array {}: {reason}", array.name)));
        guest.groups.push(GroupFacts {
            kind: GroupKind::Md,
            name: array.name,
            uuid: array.uuid,
            layout: format!("{}, metadata {}", array.level, array.metadata),
            warnings: array.warnings.into_iter().chain(lacking(&parts)).collect(),
            parts,
            obstacle: obstacle.clone(),
        });
        guest.volumes.push(VolumeFacts {
            group,
            devices: array.devices,
            size: array.size,
            layout: array.level,
            file_system: None,
            obstacle,
        });
        found.extend(array.content.ok().map(|content| Candidate {
            id: VolumeId::Mapped { volume },
            volume: content,
            read_only,
        }));
    }
    found
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
fn tell_state(guest: &mut Guest, part: &GroupPart) {
    let Some(place) = part.place else { return };
    if let Some(facts) = guest.file_system(place).cloned() {
        mark(guest, place, FsFacts { state: Some(part.state.clone()), ..facts });
    }
}

fn groups(guest: &mut Guest, members: Vec<(driver_lvm::PhysicalVolume, Candidate)>) -> Vec<Candidate> {
    for (found, candidate) in &members {
        mark(guest, candidate.id, member("LVM2_member", Some(found.uuid())));
    }
    let place = |index: usize| members.get(index).map(|(_, candidate)| candidate.id);
    let given: Vec<_> =
        members.iter().map(|(pv, candidate)| (pv.clone(), Arc::clone(&candidate.volume))).collect();
    let (groups, strays) = driver_lvm::assemble(&given);
    for (index, reason) in strays {
        let name = place(index).map(|id| guest.place_name(id)).unwrap_or_default();
        guest.obstacles.push(format!("{name}: LVM physical volume: {reason}"));
    }
    let mut free = Vec::new();
    for group in groups {
        let own = group.parts.iter().filter_map(|part| Some(&members.get(part.member?)?.1));
        let read_only = read_only(own);
        let parts = group.parts.iter().map(|part| GroupPart {
            place: part.member.and_then(place),
            uuid: Some(part.uuid.clone()),
            state: if part.member.is_some() { format!("in use by {}", group.name) } else { "missing".into() },
        });
        let parts: Vec<_> = parts.collect();
        for part in &parts {
            tell_state(guest, part);
        }
        let number = guest.groups.len();
        let reason = group.obstacle.as_ref().map(|reason| format!("volume group {}: {reason}", group.name));
        guest.obstacles.extend(reason);
        for volume in group.volumes {
            let id = VolumeId::Mapped { volume: guest.volumes.len() };
            let obstacle = volume.content.as_ref().err().cloned();
            if let (None, Some(reason)) = (&group.obstacle, &obstacle) {
                guest.obstacles.push(format!("logical volume {}/{}: {reason}", group.name, volume.name));
            }
            guest.volumes.push(VolumeFacts {
                group: number,
                devices: device_names(&group.name, &group.uuid, &volume),
                size: volume.size,
                layout: volume.layout,
                file_system: None,
                obstacle,
            });
            let read_only = volume.read_only.or_else(|| read_only.clone());
            free.extend(volume.content.ok().map(|content| Candidate { id, volume: content, read_only }));
        }
        guest.groups.push(GroupFacts {
            kind: GroupKind::Lvm,
            name: group.name,
            uuid: group.uuid,
            layout: format!("lvm2, metadata {}", group.seqno),
            warnings: group.warnings.into_iter().chain(lacking(&parts)).collect(),
            parts,
            obstacle: group.obstacle,
        });
    }
    free
}

/// The names that the device mapper, LVM and udev give (lvm(8), "VALID NAMES"; `13-dm-disk.rules`): a hyphen within a name
/// is doubled, because one stands between the names.
fn device_names(group: &str, group_uuid: &str, volume: &driver_lvm::LogicalVolume) -> Vec<String> {
    let mapper = format!("{}-{}", group.replace('-', "--"), volume.name.replace('-', "--"));
    vec![
        format!("/dev/mapper/{mapper}"),
        format!("/dev/{group}/{}", volume.name),
        format!("/dev/disk/by-id/dm-name-{mapper}"),
        format!(
            "/dev/disk/by-id/dm-uuid-LVM-{}{}",
            group_uuid.replace('-', ""),
            volume.uuid.replace('-', "")
        ),
    ]
}

/// Adds the names that the guest's mdadm.conf gives its arrays.
pub(crate) fn name_arrays(guest: &mut Guest, mdadm_conf: &str) {
    let plain = |uuid: &str| uuid.replace([':', '-', '.', ' '], "").to_ascii_lowercase();
    for line in driver_linux::read_mdadm_conf(mdadm_conf) {
        let fits = |group: &GroupFacts| {
            group.kind == GroupKind::Md
                && match (&line.uuid, &line.name) {
                    (Some(uuid), _) => plain(uuid) == plain(&group.uuid),
                    (None, Some(name)) => *name == group.name,
                    (None, None) => false,
                }
        };
        let groups: Vec<usize> =
            (0..guest.groups.len()).filter(|&i| guest.groups.get(i).is_some_and(fits)).collect();
        for volume in guest.volumes.iter_mut().filter(|volume| groups.contains(&volume.group)) {
            for (at, name) in line.devices().into_iter().enumerate() {
                volume.devices.retain(|device| *device != name);
                volume.devices.insert(at, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mdadm_conf_names_an_array() {
        let mut guest = Guest::default();
        guest.groups.push(GroupFacts {
            kind: GroupKind::Md,
            name: "old:7".into(),
            uuid: "01234567:89abcdef:01234567:89abcdef".into(),
            layout: String::new(),
            parts: Vec::new(),
            warnings: Vec::new(),
            obstacle: None,
        });
        guest.volumes.push(VolumeFacts {
            group: 0,
            devices: vec!["/dev/md7".into()],
            size: 1,
            layout: "raid1".into(),
            file_system: None,
            obstacle: None,
        });
        name_arrays(
            &mut guest,
            "ARRAY /dev/md/0 metadata=1.2 UUID=01234567:89ABCDEF:01234567:89abcdef name=x:0\n",
        );
        assert_eq!(guest.volumes[0].devices, ["/dev/md/0", "/dev/md0", "/dev/md7"]);
        assert_eq!(guest.resolve_device("/dev/md0"), Some(VolumeId::Mapped { volume: 0 }));
    }
}
