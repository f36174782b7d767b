//! Volume groups of LVM.

use super::{Candidate, by_kernel, lacking, mark, member, read_only, tell_state};
use crate::block_device::BlockDevice;
use crate::filesystems::Notes;
use crate::inspect::Opening;
use driver_core::{GroupFacts, GroupKind, GroupPart, Guest, VolumeFacts, VolumeId};
use format_core::Result;
use std::sync::Arc;

/// Puts volume groups together and adds them to the facts.
pub(super) fn groups(
    guest: &mut Guest,
    members: Vec<(driver_lvm::PhysicalVolume, Candidate)>,
    opening: &Opening,
    notes: &mut Notes,
) -> Result<Vec<Candidate>> {
    for (found, candidate) in &members {
        mark(guest, candidate.id, member("LVM2_member", Some(found.uuid())));
    }
    let place = |index: usize| members.get(index).map(|(_, candidate)| candidate.id);
    let given: Vec<_> =
        members.iter().map(|(pv, candidate)| (pv.clone(), Arc::clone(&candidate.volume))).collect();
    let devices: Option<Arc<[Arc<BlockDevice>]>> =
        members.iter().map(|(_, candidate)| candidate.device.clone()).collect();
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
        for part in &group.parts {
            let device = part.member.and_then(|index| members.get(index)?.1.device.clone());
            let unused =
                device.iter().flat_map(|device| part.unused.iter().map(move |range| (device, range)));
            notes.unused.extend(unused.map(|(device, range)| (Arc::clone(device), range.clone())));
        }
        let number = guest.groups.len();
        let reason = group.obstacle.as_ref().map(|reason| format!("volume group {}: {reason}", group.name));
        guest.obstacles.extend(reason);
        for volume in group.volumes {
            let id = VolumeId::Mapped { volume: guest.volumes.len() };
            let mapping = volume.mapping.clone().ok().filter(|_| group.obstacle.is_none());
            let device = mapping.zip(devices.clone());
            let locked = device.as_ref().is_some_and(|(mapping, _)| mapping.read_only);
            let beside = volume.beside.clone();
            let device =
                device.map(|(mapping, members)| Arc::new(BlockDevice::Mapped { mapping, members, beside }));
            let names = device_names(&group.name, &group.uuid, &volume);
            let name = format!("logical volume {}/{}", group.name, volume.name);
            let content = by_kernel(volume.content, device.as_ref(), &name, opening, notes)?;
            let obstacle = content.as_ref().err().cloned();
            if let (None, Some(reason)) = (&group.obstacle, &obstacle) {
                guest.obstacles.push(format!("logical volume {}/{}: {reason}", group.name, volume.name));
            }
            guest.volumes.push(VolumeFacts {
                group: number,
                devices: names,
                size: volume.size,
                layout: volume.layout,
                file_system: None,
                obstacle,
            });
            // A kernel can write more than is written here, such as the origin of a snapshot.
            let own = match (&device, &opening.microvm) {
                (Some(_), Some(_)) => locked.then(|| "it is read-only in its volume group".to_owned()),
                _ => volume.read_only,
            };
            let read_only = own.or_else(|| read_only.clone());
            free.extend(content.ok().map(|content| Candidate { id, volume: content, device, read_only }));
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
    Ok(free)
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
