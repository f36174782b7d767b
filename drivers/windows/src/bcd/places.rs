//! The guest's partitions as the boot configuration names them.

use super::{Place, guid::Guid};
use driver_core::{DiskFacts, Guest, PartitionFacts, PartitionId, TableKind};

/// How the boot configuration names a partition of the guest; `None` when the partition has no such name.
pub(crate) fn place_of(guest: &Guest, id: PartitionId) -> Option<Place> {
    place(guest.disks.get(id.0)?, guest.partition(id)?)
}

/// The guest's partition that has this name.
pub(crate) fn find(guest: &Guest, wanted: &Place) -> Option<PartitionId> {
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
