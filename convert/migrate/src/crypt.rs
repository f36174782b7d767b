//! Encrypted volumes of LUKS, opened by the passphrases that the operator gave.

use crate::block_device::BlockDevice;
use crate::inspect::Opening;
use crate::stack::{Candidate, mark, member, take, tell_state};
use driver_core::{GroupFacts, GroupKind, GroupPart, Guest, VolumeFacts, VolumeId};
use driver_luks::Header;
use format_core::{ErrorKind, Result};
use std::sync::Arc;

/// Opens the containers among `candidates` and adds them to the facts. What is left may hold file systems.
///
/// # Errors
/// What is no matter of the container: the host's memory, a bug.
pub(crate) fn unlock(
    guest: &mut Guest,
    candidates: Vec<Candidate>,
    opening: &Opening,
) -> Result<Vec<Candidate>> {
    let (containers, mut free) = take(guest, candidates, "crypto_LUKS", driver_luks::probe);
    for (header, candidate) in containers {
        mark(guest, candidate.id, member("crypto_LUKS", Some(header.uuid().to_owned())));
        let place = guest.place_name(candidate.id);
        let unlocked = match driver_luks::unlock(&header, Arc::clone(&candidate.volume), &opening.passphrases)
        {
            Ok(Some(unlocked)) => Ok(unlocked),
            Ok(None) => Err(locked(opening)),
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Contract) => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        let name = name_of(&header, opening);
        let obstacle = unlocked.as_ref().err().cloned();
        guest
            .obstacles
            .extend(obstacle.as_ref().map(|reason| format!("{place}: {}: {reason}", header.describe())));
        let state = if unlocked.is_ok() { "open" } else { "locked" }.to_owned();
        let part = GroupPart { place: Some(candidate.id), uuid: Some(header.uuid().to_owned()), state };
        tell_state(guest, &part);
        let (group, volume) = (guest.groups.len(), guest.volumes.len());
        guest.groups.push(GroupFacts {
            kind: GroupKind::Luks,
            name: name.clone(),
            uuid: header.uuid().to_owned(),
            layout: header.describe(),
            parts: vec![part],
            warnings: Vec::new(),
            obstacle: obstacle.clone(),
        });
        let content = unlocked.as_ref().ok().map(driver_luks::Unlocked::volume);
        guest.volumes.push(VolumeFacts {
            group,
            devices: device_names(&header, &name),
            size: content.as_ref().map_or(0, |content| content.size()),
            layout: "crypt".into(),
            file_system: None,
            obstacle,
        });
        let Ok(unlocked) = unlocked else { continue };
        let mapping = Arc::new(unlocked.mapping(&name));
        let device = candidate.device.map(|device| BlockDevice::Mapped {
            mapping,
            members: [device].into(),
            beside: Vec::new(),
        });
        free.push(Candidate {
            id: VolumeId::Mapped { volume },
            volume: unlocked.volume(),
            device: device.map(Arc::new),
            read_only: candidate.read_only,
        });
    }
    Ok(free)
}

/// Why it is locked, and what to do.
fn locked(opening: &Opening) -> String {
    match opening.passphrases.is_empty() {
        true => "it is encrypted; name a file with its key or passphrase with --key-file".into(),
        false => {
            "no key that was given opens it; name a file with its key or passphrase with --key-file".into()
        }
    }
}

/// The name that the guest's crypttab gives it, as far as that is known already; else what systemd calls it.
fn name_of(header: &Header, opening: &Opening) -> String {
    let given = opening.crypt_names.get(header.uuid()).cloned();
    given.unwrap_or_else(|| format!("luks-{}", header.uuid()))
}

/// Names of the device mapper and udev (`13-dm-disk.rules`).
fn device_names(header: &Header, name: &str) -> Vec<String> {
    let uuid = header.uuid().replace('-', "");
    vec![
        format!("/dev/mapper/{name}"),
        format!("/dev/disk/by-id/dm-name-{name}"),
        format!("/dev/disk/by-id/dm-uuid-CRYPT-LUKS{}-{uuid}-{name}", header.version()),
    ]
}

/// Adds the names that the guest's crypttab gives its containers.
pub(crate) fn name_containers(guest: &mut Guest, crypttab: &str) {
    for line in driver_linux::read_crypttab(crypttab) {
        let Some(place) = guest.resolve_device(&line.device) else { continue };
        let is_it = |group: &GroupFacts| {
            group.kind == GroupKind::Luks && group.parts.iter().any(|part| part.place == Some(place))
        };
        let Some(found) = guest.groups.iter().position(is_it) else { continue };
        if let Some(group) = guest.groups.get_mut(found) {
            group.name.clone_from(&line.name);
        }
        let device = format!("/dev/mapper/{}", line.name);
        for volume in guest.volumes.iter_mut().filter(|volume| volume.group == found) {
            volume.devices.retain(|known| *known != device);
            volume.devices.insert(0, device.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, PartitionFacts};

    #[test]
    fn crypttab_names_a_container() {
        let uuid = "0e1f2a3b-1111-2222-3333-444455556666";
        let luks = member("crypto_LUKS", Some(uuid.into()));
        let partition = PartitionFacts { number: 3, file_system: Some(luks), ..PartitionFacts::default() };
        let mut guest = Guest::default();
        guest.disks.push(DiskFacts { partitions: vec![partition], ..DiskFacts::default() });
        guest.groups.push(GroupFacts {
            kind: GroupKind::Luks,
            name: format!("luks-{uuid}"),
            uuid: uuid.into(),
            layout: String::new(),
            parts: vec![GroupPart { place: Some((0, 3).into()), uuid: None, state: String::new() }],
            warnings: Vec::new(),
            obstacle: None,
        });
        guest.volumes.push(VolumeFacts {
            group: 0,
            devices: vec![format!("/dev/mapper/luks-{uuid}")],
            size: 1,
            layout: "crypt".into(),
            file_system: Some(FsFacts::default()),
            obstacle: None,
        });
        name_containers(&mut guest, &format!("# x\nvda3_crypt UUID={uuid} none luks\nother UUID=x none\n"));
        assert_eq!(guest.groups[0].name, "vda3_crypt");
        let expected = Some(VolumeId::Mapped { volume: 0 });
        assert_eq!(guest.resolve_device("/dev/mapper/vda3_crypt"), expected);
        assert_eq!(guest.resolve_device(&format!("/dev/mapper/luks-{uuid}")), expected);
    }
}
