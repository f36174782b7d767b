//! The partitions that the default entry starts from.
//!
//! A loader's `device` and `osdevice` name a partition by the disk's MBR signature and an offset, or by GUIDs. A copy
//! of a disk that was brought online beside its original was given another identity by Windows, and its boot manager
//! stops with 0xc000000e (Microsoft, Mark Russinovich, "Fixing Disk Signature Collisions"). The remedy there is the
//! old identity, and it is the right one wherever the drive letters go by the old identity, too (`MountedDevices`):
//! with another letter than its own a Windows starts to an empty desktop (Microsoft, KB 947288). Identities of disks
//! are not changed here, so that is for a person. Where the letters go by the disk's present identity, only the boot
//! configuration is stale: then it is mended in place, when there is no doubt which partition is meant.

use super::{BOOT_MANAGER, Device, ELEMENT, Place, Store, element_key, find, has_letter, place_of};
use super::{DEVICE, OS_DEVICE, SYSTEM_ROOT};
use crate::BOOT_VOLUME;
use driver_core::{Context, Draft, PartitionId, VolumeId};
use driver_registry::Value;
use format_core::{Error, Result};

/// Plans what the devices of the default loader and of the boot manager need.
///
/// # Errors
/// `NeedsPerson` when the loader starts from no partition of the guest's disks, and it is not certain which
/// one is meant.
pub(crate) fn mend(context: &Context<'_>, draft: &mut Draft<'_>, loader: &str) -> Result<()> {
    let system = partition_at(context, "/");
    for element in [DEVICE, OS_DEVICE] {
        if let Some(fault) = mend_element(context, draft, (loader, element), system)? {
            return Err(Error::needs_person(format!("the default boot entry {loader} {}", fault.text))
                .hint(by_hand(fault.old)));
        }
    }
    // The firmware has started it by then.
    let boot = partition_at(context, BOOT_VOLUME).or(system);
    if let Some(fault) = mend_element(context, draft, (BOOT_MANAGER, DEVICE), boot)? {
        draft.note(format!("the boot manager {}", fault.text));
    }
    Ok(())
}

/// What is wrong with an element that cannot be mended.
struct Fault {
    text: String,
    /// What it names.
    old: Option<Place>,
}

fn by_hand(old: Option<Place>) -> String {
    let bcdboot = "start a recovery environment on the target and run bcdboot C:\\Windows";
    let id = match old {
        Some(Place::Mbr { signature, .. }) => format!("{signature:08x}"),
        Some(Place::Gpt { disk, .. }) => disk.to_string(),
        None => return bcdboot.into(),
    };
    format!(
        "when the disk was given a new identity, give it the old one back (diskpart: uniqueid disk id={id}); else {bcdboot}"
    )
}

fn partition_at(context: &Context<'_>, point: &str) -> Option<PartitionId> {
    match context.guest.mounts.iter().find(|mount| mount.point == point)?.place {
        VolumeId::Partition { disk, partition } => Some((disk, partition)),
        VolumeId::Mapped { .. } => None,
    }
}

/// Mends an element that names no partition of the guest, where it is certain that `expected` is meant. What is wrong
/// with it, when that cannot be done.
fn mend_element(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    (object, element): (&str, u32),
    expected: Option<PartitionId>,
) -> Result<Option<Fault>> {
    let Some(data) = Store(draft).device_data(object, element)? else {
        return Ok(Some(Fault { text: format!("names no device (element {element:08x})"), old: None }));
    };
    let unknown = match Device::parse(&data) {
        Device::Boot | Device::Locate => return Ok(None),
        Device::Partition(old) => {
            return mend_partition(context, draft, (object, element), &data, old, expected);
        }
        Device::Inside(what) => what,
        Device::Unknown => "a device of an unknown kind",
    };
    draft.note(format!("{object} starts from {unknown} (element {element:08x}), which was not looked at"));
    Ok(None)
}

fn mend_partition(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    (object, element): (&str, u32),
    data: &[u8],
    old: Place,
    expected: Option<PartitionId>,
) -> Result<Option<Fault>> {
    if let Some((disk, number)) = find(context.guest, &old) {
        if expected.is_some_and(|expected| expected != (disk, number)) {
            draft.note(format!(
                "{object} starts from disk {disk}, partition {number} (element {element:08x})"
            ));
        }
        return Ok(None);
    }
    let new = expected.and_then(|id| place_of(context.guest, id));
    let written = match new {
        Some(new) if is_certain(context, draft, object, (&old, &new))? => {
            new.written_into(data).map(|data| (new, data))
        }
        _ => None,
    };
    let Some((new, data)) = written else {
        let text = format!("starts from {old}, which is on none of the disks (element {element:08x})");
        return Ok(Some(Fault { text, old: Some(old) }));
    };
    let reason = format!("the disk has another identity than the boot configuration knows: it is {new}");
    draft.set_value(&element_key(object, element), ELEMENT, Value::binary(data), &reason)?;
    Ok(None)
}

/// Whether `new` is meant by an object that names `old`.
fn is_certain(
    context: &Context<'_>,
    draft: &Draft<'_>,
    object: &str,
    (old, new): (&Place, &Place),
) -> Result<bool> {
    let system = partition_at(context, "/").and_then(|id| place_of(context.guest, id));
    match system {
        Some(system) if has_letter(draft, &system)? => {}
        _ => return Ok(false),
    }
    if old.differs_by_disk_only(new) {
        return Ok(true);
    }
    let own = context.guest.windows.as_ref().map(|windows| windows.system_root.as_str()).unwrap_or_default();
    let store = Store(draft);
    let root = store.text(object, SYSTEM_ROOT)?.unwrap_or_default().replace('\\', "/");
    Ok(root.trim_end_matches('/').eq_ignore_ascii_case(own) && store.has_one_system()?)
}

#[cfg(test)]
mod tests {
    use super::super::phony_store::*;
    use super::super::{BOOT_SEQUENCE, EMS, Guid, element};
    use super::*;
    use crate::phony::Phony;
    use driver_core::GuestTree;

    const NEW_DISK: Place = Place::Gpt { disk: Guid([0x44; 16]), partition: Guid(WINDOWS) };
    const NEW_BOTH: Place = Place::Gpt { disk: Guid([0x44; 16]), partition: Guid([0x55; 16]) };

    fn device_of(tree: &GuestTree, number: u32) -> Device {
        let value = tree.registry_value(&element_key(LOADER, number), ELEMENT).unwrap().unwrap();
        Device::parse(&value.data)
    }

    #[test]
    fn a_loader_that_starts_from_its_partition_is_left_alone() {
        for place in [ON_MBR, ON_GPT] {
            let (tree, guest) = on_disk(store(&place, &[], &[]), &place);
            let plan = planned(&tree, &guest, "hyperv-gen1");
            assert_eq!((plan.edits.len(), reason(&plan)), (0, ""), "{place}");
        }
    }

    #[test]
    fn a_store_that_alone_is_stale_is_mended() {
        let signed = Place::Mbr { signature: 0x0bad_cafe, offset: 350 << 20 };
        for (old, new) in [(signed, ON_MBR), (NEW_DISK, ON_GPT), (NEW_BOTH, ON_GPT)] {
            let (mut tree, guest) = on_disk(lettered(store(&old, &[], &[]), &new), &new);
            assert_eq!(edits(&mut tree, &guest, "hyperv-gen1").len(), 2);
            assert_eq!(device_of(&tree, DEVICE), Device::Partition(new));
            assert_eq!(device_of(&tree, OS_DEVICE), Device::Partition(new));
        }
    }

    #[test]
    fn a_disk_that_was_given_another_identity_is_for_a_person() {
        let signed = Place::Mbr { signature: 0x0bad_cafe, offset: 350 << 20 };
        for (old, new, id) in
            [(signed, ON_MBR, "id=0badcafe"), (NEW_BOTH, ON_GPT, "id=44444444-4444-4444-4444-444444444444")]
        {
            let (tree, guest) = on_disk(lettered(store(&old, &[], &[]), &old), &new);
            let plan = planned(&tree, &guest, "hyperv-gen1");
            assert!(plan.edits.is_empty());
            let step = plan.obstacles().next().unwrap().next_step.as_ref().unwrap();
            assert!(step.contains(id), "{step}");
        }
    }

    #[test]
    fn what_is_not_certain_is_for_a_person() {
        let second = Place::Gpt { disk: Guid([0x66; 16]), partition: Guid([0x77; 16]) };
        let device = [(OS_DEVICE, Value::binary(element(&second)))];
        let two_systems = object(store(&NEW_BOTH, &[], &[]), OTHER, 0x1020_0003, &device);
        let elsewhere = store(&NEW_BOTH, &[], &[(SYSTEM_ROOT, Value::string(r"\WINNT"))]);
        let other_table = store(&ON_MBR, &[], &[]);
        for phony in [two_systems, elsewhere, other_table] {
            let (tree, guest) = on_disk(lettered(phony, &ON_GPT), &ON_GPT);
            let plan = planned(&tree, &guest, "hyperv-gen1");
            assert!(reason(&plan).contains("which is on none of the disks"), "{:?}", plan.fixups);
            assert!(plan.obstacles().next().unwrap().next_step.as_ref().unwrap().contains("bcdboot"));
            assert!(plan.edits.is_empty());
        }
        // A recovery environment is no second system.
        let ramdisk = Value::binary([&[0; 0x20][..], &[3], &[0; 0x37]].concat());
        let recovery = object(store(&NEW_BOTH, &[], &[]), OTHER, 0x1020_0003, &[(OS_DEVICE, ramdisk)]);
        let (mut tree, guest) = on_disk(lettered(recovery, &ON_GPT), &ON_GPT);
        assert_eq!(edits(&mut tree, &guest, "hyperv-gen1").len(), 2);
    }

    #[test]
    fn the_boot_managers_own_device_stops_nothing() {
        let own = [(DEVICE, Value::binary(element(&NEW_BOTH)))];
        let (tree, guest) = on_disk(store(&ON_GPT, &own, &[]), &ON_GPT);
        let plan = planned(&tree, &guest, "hyperv-gen1");
        assert!(plan.obstacles().next().is_none() && plan.edits.is_empty());
        assert!(reason(&plan).starts_with("the boot manager starts from partition 55555555"), "{plan:?}");
    }

    #[test]
    fn hostile_elements_are_said_and_left() {
        let damaged = [(OS_DEVICE, Value::string("x")), (EMS, Value::multi_string(&["x"]))];
        let phony: Phony = store(&ON_MBR, &[(BOOT_SEQUENCE, Value::dword(1))], &damaged);
        let (tree, guest) = on_disk(phony, &ON_MBR);
        let plan = planned(&tree, &guest, "hyperv-gen1");
        assert!(
            plan.edits.is_empty() && reason(&plan).contains("device of an unknown kind"),
            "{:?}",
            plan.fixups
        );
    }
}
