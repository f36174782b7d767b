//! Arrays of the md driver.

use super::{Candidate, by_kernel, lacking, mark, member, read_only, tell_state};
use crate::block_device::BlockDevice;
use crate::filesystems::Notes;
use crate::inspect::Opening;
use driver_core::{FsFacts, GroupFacts, GroupKind, GroupPart, Guest, VolumeFacts, VolumeId};
use driver_md::MemberState;
use format_core::Result;
use std::sync::Arc;

/// Puts arrays together and adds them to the facts.
pub(super) fn arrays(
    guest: &mut Guest,
    members: Vec<(driver_md::Superblock, Candidate)>,
    opening: &Opening,
    notes: &mut Notes,
) -> Result<Vec<Candidate>> {
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
        let own: Vec<_> = array.members.iter().filter_map(|m| Some(&members.get(m.member?)?.1)).collect();
        // Spares and what was left behind would be taken for members by a kernel, too.
        let in_use =
            |m: &&driver_md::Member| matches!(m.state, MemberState::InSync | MemberState::Recovering);
        let devices = array.members.iter().filter(in_use).map(|m| members.get(m.member?)?.1.device.clone());
        let devices: Option<Vec<_>> = devices.collect();
        let devices = devices.filter(|_| array.content.is_ok() || array.needs_kernel);
        let name = array.name.clone();
        let mirror = |&(index, start): &(usize, u64)| Some((members.get(index)?.1.device.clone()?, start));
        let mirrors: Option<Vec<_>> = array.mirrors.iter().map(mirror).collect();
        let mirrors = mirrors.unwrap_or_default();
        let device = devices.map(|members| Arc::new(BlockDevice::Array { name, members, mirrors }));
        let read_only = array.read_only.or_else(|| read_only(own.into_iter()));
        let content =
            by_kernel(array.content, device.as_ref(), &format!("md array {}", array.name), opening, notes)?;
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
        let obstacle = content.as_ref().err().cloned();
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
            size: content.as_ref().map_or(array.size, |content| content.size()),
            layout: array.level,
            file_system: None,
            obstacle,
        });
        found.extend(content.ok().map(|content| Candidate {
            id: VolumeId::Mapped { volume },
            volume: content,
            device,
            read_only,
        }));
    }
    Ok(found)
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
