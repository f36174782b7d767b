//! The boot configuration: the default entry starts from a partition that is there, and nothing in it counts on the old platform.
//!
//! - A loader's `device` and `osdevice` name a partition by the disk's MBR signature and an offset, or by GUIDs. A disk that was copied and then
//!   brought online beside its original got another identity, and its boot manager stops with 0xc000000e (AWS, "Disk signature collision"; Microsoft,
//!   "bcdboot", "bcdedit /set"). The element is mended where there is no doubt, in place; identities of disks are never changed.
//! - EMS, the emergency console on a serial port: Google's import turns it on (COM2), and on EC2 and Azure people do. It takes the port for itself: AWS,
//!   "Use SAC to troubleshoot", says that EC2Launch cannot use the port then. That EMS without a serial port does harm is documented nowhere. It is
//!   turned off in loaders and in the boot manager for guests of these clouds; `bootems` of {emssettings} stays, as Windows comes with it turned on.
//! - For Azure, what Microsoft documents ("Prepare a Windows VHD or VHDX to upload to Azure"): recoveryenabled off, bootstatuspolicy IgnoreAllFailures,
//!   bootems and EMS on, at COM1 with 115200 bits a second. The boot menu with its five seconds, which the page shows, too, is left as it is.
//!   Elsewhere repair after failed starts stays as it is.
//! - `graphicsmodedisabled` of the default loader goes for UEFI, as virt-v2v does.
//! - An attempt to resume from a hibernation is withdrawn: another machine cannot go on with the old one's memory. Guests that are hibernated are
//!   refused before, unless that memory is to be discarded.
//!
//! hypervisorlaunchtype, debugger and detecthal stay. No Windows was at hand to see it start.

use crate::BOOT_VOLUME;
use crate::bcd::{self, BOOT_MANAGER, Device, ELEMENT, EMS_SETTINGS, Store, element_key, number, switch};
use driver_core::{Applies, Context, Draft, Firmware, Fixup, PartitionId, Platform, VolumeId};
use driver_registry::Value;
use format_core::{Error, Result};

const BY_HAND: &str = "in the running source, run bcdedit /set {default} device partition=C: and bcdedit /set {default} osdevice \
                       partition=C:, and export it again; or start a recovery environment on the target and run bcdboot C:\\Windows";

/// What Microsoft documents for Azure's serial console.
const AZURE_BAUD_RATE: u64 = 115_200;

pub(super) struct BootConfiguration;

impl Fixup for BootConfiguration {
    fn id(&self) -> &'static str {
        "windows-boot-configuration"
    }

    fn title(&self) -> &'static str {
        "the boot configuration starts this Windows, and fits the platform"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("the guest is no Windows")) };
        if draft.has_key(r"BCD\Objects")? {
            return Ok(Applies::Yes);
        }
        if (1..6).contains(&windows.version.0) {
            return Ok(Applies::no("Windows before Vista starts by boot.ini"));
        }
        Ok(Applies::cannot(
            "no disk has a boot configuration (\\Boot\\BCD or \\EFI\\Microsoft\\Boot\\BCD)",
            "give the disk that the machine starts from, too; or start a recovery environment and run bcdboot C:\\Windows",
        ))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(loader) = Store(draft).default_loader()? else {
            return Err(Error::needs_person("the boot configuration has no entry that starts a Windows")
                .hint("start a recovery environment and run bcdboot C:\\Windows"));
        };
        other_firmware(context, draft);
        other_starts(draft, &loader)?;
        devices(context, draft, &loader)?;
        if context.target.firmware == Firmware::Uefi {
            let key = element_key(&loader, bcd::GRAPHICS_MODE_DISABLED);
            draft.delete_key(&key, "the machine has no text mode before Windows starts")?;
        }
        if Store(draft).is_on(BOOT_MANAGER, bcd::ATTEMPT_RESUME)? {
            let key = element_key(BOOT_MANAGER, bcd::ATTEMPT_RESUME);
            draft.set_value(&key, ELEMENT, switch(false), "there is no hibernation to go on from")?;
        }
        match context.target.platform {
            Platform::Azure => for_azure(draft, &loader),
            platform => emergency_console(context.guest.source.platform, platform, draft),
        }
    }
}

/// Says when the store that was found is not the one that the target's firmware leads to.
fn other_firmware(context: &Context<'_>, draft: &mut Draft<'_>) {
    let path = context.guest.windows.as_ref().and_then(|windows| windows.boot_configuration.as_deref());
    let Some(path) = path else { return };
    let is_uefi = path.contains("/EFI/");
    if (context.target.firmware == Firmware::Uefi) != is_uefi {
        draft.note(format!(
            "{} does not start by {path}, the only boot configuration that was looked at",
            context.target.name
        ));
    }
}

/// Says what starts besides the default loader.
fn other_starts(draft: &mut Draft<'_>, loader: &str) -> Result<()> {
    let store = Store(draft);
    let default = store.text(BOOT_MANAGER, bcd::DEFAULT)?.filter(|other| !other.eq_ignore_ascii_case(loader));
    let default = match default {
        Some(default) if store.has(&default)? => Some(default),
        _ => None,
    };
    let next = store.list(BOOT_MANAGER, bcd::BOOT_SEQUENCE)?;
    if let Some(default) = default {
        draft.note(format!("the boot manager starts {default} by default, which is no loader of Windows"));
    }
    if !next.is_empty() {
        draft.note(format!("the next start is one of its own (bootsequence): {}", next.join(", ")));
    }
    Ok(())
}

/// The devices of the default loader, and that of the boot manager.
fn devices(context: &Context<'_>, draft: &mut Draft<'_>, loader: &str) -> Result<()> {
    let system = partition_at(context, "/");
    let boot = partition_at(context, BOOT_VOLUME).or(system);
    for element in [bcd::DEVICE, bcd::OS_DEVICE] {
        if let Some(fault) = mend(context, draft, loader, element, system)? {
            return Err(Error::needs_person(format!("the default boot entry {loader} {fault}")).hint(BY_HAND));
        }
    }
    // The firmware has started it by then.
    if let Some(fault) = mend(context, draft, BOOT_MANAGER, bcd::DEVICE, boot)? {
        draft.note(format!("the boot manager {fault}"));
    }
    Ok(())
}

fn partition_at(context: &Context<'_>, point: &str) -> Option<PartitionId> {
    match context.guest.mounts.iter().find(|mount| mount.point == point)?.place {
        VolumeId::Partition { disk, partition } => Some((disk, partition)),
        VolumeId::Mapped { .. } => None,
    }
}

/// Mends an element that names no partition of the guest, where it is certain that `expected` is meant. What is wrong
/// with it, when that cannot be done.
fn mend(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    object: &str,
    element: u32,
    expected: Option<PartitionId>,
) -> Result<Option<String>> {
    let store = Store(draft);
    let Some(data) = store.device_data(object, element)? else {
        return Ok(Some(format!("names no device (element {element:08x})")));
    };
    let old = match Device::parse(&data) {
        Device::Boot | Device::Locate => return Ok(None),
        Device::Partition(place) => place,
        Device::Inside(what) => {
            draft.note(format!("{object} starts from {what} (element {element:08x}): not looked at"));
            return Ok(None);
        }
        Device::Unknown => {
            draft.note(format!(
                "{object} names a device of an unknown kind (element {element:08x}): not looked at"
            ));
            return Ok(None);
        }
    };
    let guest = context.guest;
    if let Some(found) = bcd::find(guest, &old) {
        if expected.is_some_and(|expected| expected != found) {
            let (disk, number) = found;
            draft.note(format!(
                "{object} starts from disk {disk}, partition {number} (element {element:08x})"
            ));
        }
        return Ok(None);
    }
    let new = expected.and_then(|id| bcd::place_of(guest, id));
    let written = match new {
        Some(new) if old.differs_by_disk_only(&new) || is_only_system(context, &store, object)? => {
            new.written_into(&data).map(|data| (new, data))
        }
        _ => None,
    };
    let Some((new, data)) = written else {
        return Ok(Some(format!("starts from {old}, which is on none of the disks (element {element:08x})")));
    };
    let reason = format!("the disk has another identity than the boot configuration knows: it is {new}");
    draft.set_value(&element_key(object, element), ELEMENT, Value::binary(data), &reason)?;
    Ok(None)
}

/// Whether a loader can mean no other Windows than the one that was found.
fn is_only_system(context: &Context<'_>, store: &Store<'_, '_>, object: &str) -> Result<bool> {
    let own = context.guest.windows.as_ref().map(|windows| windows.system_root.as_str()).unwrap_or_default();
    let root = store.text(object, bcd::SYSTEM_ROOT)?.unwrap_or_default().replace('\\', "/");
    Ok(root.trim_end_matches('/').eq_ignore_ascii_case(own) && store.has_one_system()?)
}

fn for_azure(draft: &mut Draft<'_>, loader: &str) -> Result<()> {
    let settings = [
        (
            loader,
            bcd::RECOVERY_ENABLED,
            switch(false),
            "nobody could answer the recovery environment in Azure",
        ),
        (loader, bcd::BOOT_STATUS_POLICY, number(1), "nobody could answer the recovery environment in Azure"),
        (loader, bcd::EMS, switch(true), "Azure's serial console needs it"),
        (BOOT_MANAGER, bcd::BOOT_EMS, switch(true), "Azure's serial console needs it"),
        (EMS_SETTINGS, bcd::EMS_PORT, number(1), "Azure's serial console is COM1"),
        (
            EMS_SETTINGS,
            bcd::EMS_BAUD_RATE,
            number(AZURE_BAUD_RATE),
            "Azure's serial console runs at this rate",
        ),
    ];
    for (object, element, value, reason) in settings {
        if Store(draft).has(object)? {
            draft.set_value(&element_key(object, element), ELEMENT, value, reason)?;
        }
    }
    Ok(())
}

/// Turns the emergency console off that a cloud had use for.
fn emergency_console(source: Option<Platform>, target: Platform, draft: &mut Draft<'_>) -> Result<()> {
    let store = Store(draft);
    let loaders = store.loaders_and_settings()?.into_iter().map(|object| (object, bcd::EMS));
    let mut on = Vec::new();
    for (object, element) in loaders.chain([(BOOT_MANAGER.to_owned(), bcd::BOOT_EMS)]) {
        if store.is_on(&object, element)? {
            on.push((object, element));
        }
    }
    let cloud = source.filter(|from| matches!(from, Platform::Aws | Platform::Azure | Platform::Gcp));
    match cloud {
        _ if target == Platform::Gcp || on.is_empty() => {}
        Some(cloud) if cloud != target => {
            let reason = format!("it takes the serial port that {} has for it", cloud.name());
            for (object, element) in on {
                draft.set_value(&element_key(&object, element), ELEMENT, switch(false), &reason)?;
            }
        }
        _ => draft.note("EMS is on and takes a serial port for itself: it stays on".into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bcd::{Guid, Place, element};
    use crate::phony::{Phony, plan};
    use driver_core::{
        DiskFacts, Guest, GuestTree, MountFacts, PartitionFacts, Plan, TableKind, Wishes, apply,
    };

    const LOADER: &str = "{11111111-0000-0000-0000-000000000000}";
    const OTHER: &str = "{22222222-0000-0000-0000-000000000000}";
    const DISK: [u8; 16] = [0x11; 16];
    const WINDOWS: [u8; 16] = [0x33; 16];

    const ON_MBR: Place = Place::Mbr { signature: 0x1234_abcd, offset: 350 << 20 };
    const ON_GPT: Place = Place::Gpt { disk: Guid(DISK), partition: Guid(WINDOWS) };

    fn object(phony: Phony, object: &str, kind: u32, elements: &[(u32, Value)]) -> Phony {
        let key = format!(r"BCD\Objects\{object}\Description");
        let phony = phony.value(&key, "Type", Value::dword(kind));
        elements.iter().fold(phony, |phony, (number, value)| {
            phony.value(&element_key(object, *number), ELEMENT, value.clone())
        })
    }

    /// A store whose default loader starts from `place`, with more elements.
    fn store(place: &Place, manager: &[(u32, Value)], loader: &[(u32, Value)]) -> Phony {
        let device = || Value::binary(element(place));
        let mut elements = vec![
            (bcd::DEVICE, device()),
            (bcd::OS_DEVICE, device()),
            (bcd::SYSTEM_ROOT, Value::string(r"\Windows")),
        ];
        elements.extend_from_slice(loader);
        let locate = Value::binary([&[0; 0x10][..], &[8], &[0; 0x47]].concat());
        let mut own = vec![(bcd::DEFAULT, Value::string(LOADER)), (bcd::DEVICE, locate)];
        own.extend_from_slice(manager);
        let phony = object(Phony::windows_2016(), BOOT_MANAGER, 0x1010_0002, &own);
        let phony = object(phony, EMS_SETTINGS, 0x2010_0000, &[(bcd::BOOT_EMS, switch(true))]);
        object(phony, LOADER, 0x1020_0003, &elements)
    }

    /// The guest on a disk that has its Windows where `place` is.
    fn on_disk(phony: Phony, place: &Place) -> (GuestTree, Guest) {
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
        guest.mounts =
            vec![MountFacts { point: "/".into(), device: String::new(), place, kind: "ntfs".into() }];
        (tree, guest)
    }

    fn planned(tree: &GuestTree, guest: &Guest, target: &str) -> Plan {
        plan(tree, guest, target, &Wishes::NONE, &BootConfiguration)
    }

    /// Plans, applies, and shows that a second plan is empty. The edits in words, without the device's bytes.
    fn edits(tree: &mut GuestTree, guest: &Guest, target: &str) -> Vec<String> {
        let plan = planned(tree, guest, target);
        assert!(plan.obstacles().next().is_none(), "{:?}", plan.fixups);
        apply(tree, &plan.edits).unwrap();
        assert_eq!(planned(tree, guest, target).edits, []);
        plan.edits.iter().map(|edit| format!("{} {}", edit.verb(), edit.describe())).collect()
    }

    fn reason(plan: &Plan) -> &str {
        plan.fixups[0].reason.as_deref().unwrap_or_default()
    }

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
    fn a_disk_with_a_new_identity_is_named_by_it() {
        let signed = Place::Mbr { signature: 0x0bad_cafe, offset: 350 << 20 };
        let other_disk = Place::Gpt { disk: Guid([0x44; 16]), partition: Guid(WINDOWS) };
        let both = Place::Gpt { disk: Guid([0x44; 16]), partition: Guid([0x55; 16]) };
        for (old, new) in [(signed, ON_MBR), (other_disk, ON_GPT), (both, ON_GPT)] {
            let (mut tree, guest) = on_disk(store(&old, &[], &[]), &new);
            assert_eq!(edits(&mut tree, &guest, "hyperv-gen1").len(), 2);
            assert_eq!(device_of(&tree, bcd::DEVICE), Device::Partition(new));
            assert_eq!(device_of(&tree, bcd::OS_DEVICE), Device::Partition(new));
        }
    }

    #[test]
    fn what_is_not_certain_is_for_a_person() {
        let both = Place::Gpt { disk: Guid([0x44; 16]), partition: Guid([0x55; 16]) };
        let second = Place::Gpt { disk: Guid([0x66; 16]), partition: Guid([0x77; 16]) };
        let device = [(bcd::OS_DEVICE, Value::binary(element(&second)))];
        let two_systems = object(store(&both, &[], &[]), OTHER, 0x1020_0003, &device);
        let elsewhere = store(&both, &[], &[(bcd::SYSTEM_ROOT, Value::string(r"\WINNT"))]);
        let other_table = store(&ON_MBR, &[], &[]);
        for phony in [two_systems, elsewhere, other_table] {
            let (tree, guest) = on_disk(phony, &ON_GPT);
            let plan = planned(&tree, &guest, "hyperv-gen1");
            assert!(reason(&plan).contains("which is on none of the disks"), "{:?}", plan.fixups);
            assert!(plan.obstacles().next().unwrap().next_step.as_ref().unwrap().contains("bcdboot"));
            assert!(plan.edits.is_empty());
        }
        // A recovery environment is no second system.
        let ramdisk = Value::binary([&[0; 0x20][..], &[3], &[0; 0x37]].concat());
        let recovery = object(store(&both, &[], &[]), OTHER, 0x1020_0003, &[(bcd::OS_DEVICE, ramdisk)]);
        let (mut tree, guest) = on_disk(recovery, &ON_GPT);
        assert_eq!(edits(&mut tree, &guest, "hyperv-gen1").len(), 2);
    }

    #[test]
    fn a_store_without_an_entry_and_a_guest_without_a_store_are_for_a_person() {
        let (tree, guest) = on_disk(object(Phony::windows_2016(), OTHER, 0x1020_0004, &[]), &ON_MBR);
        assert!(reason(&planned(&tree, &guest, "hyperv-gen1")).contains("no entry that starts a Windows"));
        let (tree, mut guest) = on_disk(Phony::windows_2016(), &ON_MBR);
        assert!(reason(&planned(&tree, &guest, "hyperv-gen1")).contains("no disk has a boot configuration"));
        guest.windows.as_mut().unwrap().version = (5, 2);
        assert!(planned(&tree, &guest, "hyperv-gen1").obstacles().next().is_none());
    }

    #[test]
    fn hostile_elements_are_said_and_left() {
        let damaged = [(bcd::OS_DEVICE, Value::string("x")), (bcd::EMS, Value::multi_string(&["x"]))];
        let (tree, guest) =
            on_disk(store(&ON_MBR, &[(bcd::BOOT_SEQUENCE, Value::dword(1))], &damaged), &ON_MBR);
        let plan = planned(&tree, &guest, "hyperv-gen1");
        assert!(
            plan.edits.is_empty() && reason(&plan).contains("device of an unknown kind"),
            "{:?}",
            plan.fixups
        );
    }

    #[test]
    fn the_emergency_console_goes_with_the_cloud_that_used_it() {
        let console = || store(&ON_MBR, &[(bcd::BOOT_EMS, switch(true))], &[(bcd::EMS, switch(true))]);
        for (source, target, count, said) in [
            (Some(Platform::Aws), "hyperv-gen1", 2, ""),
            (Some(Platform::Gcp), "kvm-bios", 2, ""),
            (Some(Platform::Aws), "aws-bios", 0, "EMS is on"),
            (Some(Platform::Aws), "gcp-bios", 0, ""),
            (Some(Platform::Vmware), "hyperv-gen1", 0, "EMS is on"),
            (None, "hyperv-gen1", 0, "EMS is on"),
        ] {
            let (mut tree, mut guest) = on_disk(console(), &ON_MBR);
            guest.source.platform = source;
            let plan = planned(&tree, &guest, target);
            assert!(
                reason(&plan).starts_with(said) && reason(&plan).is_empty() == said.is_empty(),
                "{plan:?}"
            );
            assert_eq!(edits(&mut tree, &guest, target).len(), count, "{source:?} {target}");
            assert_eq!(Store(&Draft::new(&tree)).is_on(LOADER, bcd::EMS).unwrap(), count == 0);
        }
    }

    #[test]
    fn azure_gets_what_is_documented_for_it() {
        let (mut tree, guest) = on_disk(store(&ON_MBR, &[], &[(bcd::EMS, switch(true))]), &ON_MBR);
        let done = edits(&mut tree, &guest, "azure-gen1");
        let set: Vec<_> = done.iter().filter(|edit| edit.contains("\"Element\"=")).collect();
        assert_eq!(set.len(), 5, "{done:#?}");
        let value = |object, number| {
            tree.registry_value(&element_key(object, number), ELEMENT).unwrap().unwrap().data
        };
        assert_eq!(value(LOADER, bcd::RECOVERY_ENABLED), [0]);
        assert_eq!(value(LOADER, bcd::BOOT_STATUS_POLICY), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value(BOOT_MANAGER, bcd::BOOT_EMS), [1]);
        assert_eq!(value(EMS_SETTINGS, bcd::EMS_PORT), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value(EMS_SETTINGS, bcd::EMS_BAUD_RATE), [0x00, 0xc2, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn graphics_come_back_for_uefi_and_no_hibernation_is_resumed() {
        let old = || {
            store(
                &ON_MBR,
                &[(bcd::ATTEMPT_RESUME, switch(true))],
                &[(bcd::GRAPHICS_MODE_DISABLED, switch(true))],
            )
        };
        for (target, count) in [("hyperv-gen2", 2), ("hyperv-gen1", 1)] {
            let (mut tree, mut guest) = on_disk(old(), &ON_MBR);
            guest.windows.as_mut().unwrap().boot_configuration = None;
            assert_eq!(edits(&mut tree, &guest, target).len(), count, "{target}");
            assert!(!Store(&Draft::new(&tree)).is_on(BOOT_MANAGER, bcd::ATTEMPT_RESUME).unwrap());
            let graphics = tree.registry_key(&element_key(LOADER, bcd::GRAPHICS_MODE_DISABLED)).unwrap();
            assert_eq!(graphics.is_none(), target == "hyperv-gen2");
        }
    }

    #[test]
    fn what_starts_besides_is_said() {
        let sequence = Value::multi_string(&[OTHER]);
        let manager = [
            (bcd::BOOT_SEQUENCE, sequence),
            (bcd::DEFAULT, Value::string(OTHER)),
            (0x2400_0001, Value::multi_string(&[OTHER, LOADER])),
        ];
        let (tree, guest) = on_disk(object(store(&ON_MBR, &manager, &[]), OTHER, 0x1040_0008, &[]), &ON_MBR);
        let plan = planned(&tree, &guest, "hyperv-gen2");
        for said in ["does not start by /boot:/Boot/BCD", "which is no loader of Windows", "(bootsequence)"] {
            assert!(reason(&plan).contains(said), "{}", reason(&plan));
        }
    }
}
