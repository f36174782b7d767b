//! Small boot configurations in phony guests, for tests.

use super::guid::Guid;
use super::{BOOT_EMS, BOOT_MANAGER, DEFAULT, DEVICE, ELEMENT, EMS_SETTINGS, OS_DEVICE, Place, SYSTEM_ROOT};
use super::{element, element_key, letter_data, switch};
use crate::fixups::BootConfiguration;
use crate::phony::{Phony, plan};
use driver_core::{
    DiskFacts, Guest, GuestTree, MountFacts, PartitionFacts, Plan, TableKind, VolumeId, Wishes, apply,
};
use driver_registry::Value;

/// The default loader.
pub(crate) const LOADER: &str = "{11111111-0000-0000-0000-000000000000}";
/// Another object.
pub(crate) const OTHER: &str = "{22222222-0000-0000-0000-000000000000}";
/// GUID of the partition of [`ON_GPT`].
pub(crate) const WINDOWS: [u8; 16] = [0x33; 16];

pub(crate) const ON_MBR: Place = Place::Mbr { signature: 0x1234_abcd, offset: 350 << 20 };
pub(crate) const ON_GPT: Place = Place::Gpt { disk: Guid([0x11; 16]), partition: Guid(WINDOWS) };

/// The guest with one more object.
pub(crate) fn object(phony: Phony, object: &str, kind: u32, elements: &[(u32, Value)]) -> Phony {
    let key = format!(r"BCD\Objects\{object}\Description");
    let phony = phony.value(&key, "Type", Value::dword(kind));
    elements.iter().fold(phony, |phony, (number, value)| {
        phony.value(&element_key(object, *number), ELEMENT, value.clone())
    })
}

/// A store whose default loader starts from `place`, with more elements.
pub(crate) fn store(place: &Place, manager: &[(u32, Value)], loader: &[(u32, Value)]) -> Phony {
    let device = || Value::binary(element(place));
    let mut elements =
        vec![(DEVICE, device()), (OS_DEVICE, device()), (SYSTEM_ROOT, Value::string(r"\Windows"))];
    elements.extend_from_slice(loader);
    let locate = Value::binary([&[0; 0x10][..], &[8], &[0; 0x47]].concat());
    let mut own = vec![(DEFAULT, Value::string(LOADER)), (DEVICE, locate)];
    own.extend_from_slice(manager);
    let phony = object(Phony::windows_2016(), BOOT_MANAGER, 0x1010_0002, &own);
    let phony = object(phony, EMS_SETTINGS, 0x2010_0000, &[(BOOT_EMS, switch(true))]);
    object(phony, LOADER, 0x1020_0003, &elements)
}

/// The guest with the letter C: for `place`.
pub(crate) fn lettered(phony: Phony, place: &Place) -> Phony {
    phony.value(r"SYSTEM\MountedDevices", r"\DosDevices\C:", Value::binary(letter_data(place)))
}

/// The guest on a disk that has its Windows where `place` is.
pub(crate) fn on_disk(phony: Phony, place: &Place) -> (GuestTree, Guest) {
    let (tree, mut guest) = phony.build();
    let (table, id, start, part_uuid) = match place {
        Place::Mbr { signature, offset } => (TableKind::Mbr, format!("{signature:#010x}"), *offset, None),
        Place::Gpt { disk, partition } => {
            (TableKind::Gpt, disk.to_string(), 1 << 20, Some(partition.to_string()))
        }
    };
    let windows = PartitionFacts { number: 2, start, part_uuid, ..Default::default() };
    let partitions = vec![PartitionFacts { number: 1, ..Default::default() }, windows];
    guest.disks = vec![DiskFacts { table, id: Some(id), partitions, ..Default::default() }];
    let place = VolumeId::Partition { disk: 0, partition: 2 };
    guest.mounts = vec![MountFacts { point: "/".into(), device: String::new(), place, kind: "ntfs".into() }];
    (tree, guest)
}

pub(crate) fn planned(tree: &GuestTree, guest: &Guest, target: &str) -> Plan {
    plan(tree, guest, target, &Wishes::NONE, &BootConfiguration)
}

/// Plans, applies, and shows that a second plan is empty. The edits in words.
pub(crate) fn edits(tree: &mut GuestTree, guest: &Guest, target: &str) -> Vec<String> {
    let plan = planned(tree, guest, target);
    assert!(plan.obstacles().next().is_none(), "{:?}", plan.fixups);
    apply(tree, &plan.edits).unwrap();
    assert_eq!(planned(tree, guest, target).edits, []);
    plan.edits.iter().map(|edit| format!("{} {}", edit.verb(), edit.describe())).collect()
}

/// What the plan says of the fixup.
pub(crate) fn reason(plan: &Plan) -> &str {
    plan.fixups[0].reason.as_deref().unwrap_or_default()
}
