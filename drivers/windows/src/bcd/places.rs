//! The guest's partitions as the boot configuration names them, and their drive letters.

use super::{Place, guid::Guid};
use driver_core::{DiskFacts, Draft, Guest, PartitionFacts, PartitionId, TableKind};
use format_core::Result;

/// How the boot configuration names a partition of the guest; `None` when the partition has no such name.
pub(super) fn place_of(guest: &Guest, id: PartitionId) -> Option<Place> {
    place(guest.disks.get(id.0)?, guest.partition(id)?)
}

/// The guest's partition that has this name.
pub(super) fn find(guest: &Guest, wanted: &Place) -> Option<PartitionId> {
    let all = guest.disks.iter().enumerate().flat_map(|(disk, facts)| {
        facts.partitions.iter().map(move |partition| ((disk, partition.number), place(facts, partition)))
    });
    all.into_iter().find(|(_, place)| place.as_ref() == Some(wanted)).map(|(id, _)| id)
}

fn place(disk: &DiskFacts, partition: &PartitionFacts) -> Option<Place> {
    let id = disk.id.as_deref()?;
    match disk.table {
        TableKind::None => None,
        TableKind::Mbr => Some(Place::Mbr {
            signature: u32::from_str_radix(id.strip_prefix("0x")?, 16).ok()?,
            offset: partition.start,
        }),
        TableKind::Gpt => Some(Place::Gpt {
            disk: id.parse::<Guid>().ok()?,
            partition: partition.part_uuid.as_deref()?.parse().ok()?,
        }),
    }
}

/// Whether Windows has a drive letter for a partition, by its present identity.
pub(super) fn has_letter(draft: &Draft<'_>, place: &Place) -> Result<bool> {
    let wanted = letter_data(place);
    let values = draft.values(r"SYSTEM\MountedDevices")?;
    let is_letter = |name: &str| name.to_ascii_lowercase().starts_with(r"\dosdevices\");
    Ok(values.iter().any(|(name, value)| is_letter(name) && value.data == wanted))
}

/// A partition as `MountedDevices` names it: the signature and the first byte, or the GUID behind eight letters (seen
/// in hives of Windows 7 and 8.1 for MBR disks; for GPT disks as plaso reads it).
pub(super) fn letter_data(place: &Place) -> Vec<u8> {
    match place {
        Place::Mbr { signature, offset } => [&signature.to_le_bytes()[..], &offset.to_le_bytes()].concat(),
        Place::Gpt { partition, .. } => [&b"DMIO:ID:"[..], &partition.0].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_found_by_the_bytes_that_windows_writes() {
        // What a Windows 8.1 has for C:.
        let seen = [0x67, 0xcf, 0xce, 0xd1, 0, 0, 0xf0, 0x15, 0, 0, 0, 0];
        assert_eq!(letter_data(&Place::Mbr { signature: 0xd1ce_cf67, offset: 0x15f0_0000 }), seen);
        let gpt = letter_data(&Place::Gpt { disk: Guid([1; 16]), partition: Guid([2; 16]) });
        assert_eq!(gpt, [&b"DMIO:ID:"[..], &[2; 16]].concat());
    }
}
