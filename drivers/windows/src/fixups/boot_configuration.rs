//! The boot configuration: the default entry starts from a partition that is there, and nothing in it counts on the
//! old platform.
//!
//! - The devices of the default entry are those of the guest's disks; `bcd/mend.rs` says what is done where they are
//!   not.
//! - EMS, the emergency console on a serial port: Google's import turns it on (COM2), and on EC2 and Azure people do.
//!   It takes the port for itself: AWS, "Use SAC to troubleshoot", says that EC2Launch cannot use the port then. That
//!   EMS without a serial port does harm is documented nowhere. It is turned off in loaders and in the boot manager
//!   for guests of these clouds; `bootems` of {emssettings} stays, as Windows comes with it turned on (seen for
//!   installation media; not verified for each version).
//! - For Azure, what Microsoft documents ("Prepare a Windows VHD or VHDX to upload to Azure"): recoveryenabled off,
//!   bootstatuspolicy IgnoreAllFailures, bootems and EMS on, at COM1 with 115200 bits a second. The boot menu with
//!   its five seconds, which the page shows, too, is left as it is. Elsewhere repair after failed starts stays as it
//!   is.
//! - `graphicsmodedisabled` of the default loader goes for UEFI, as virt-v2v does.
//! - An attempt to resume from a hibernation is withdrawn: another machine cannot go on with the old one's memory.
//!   Guests that are hibernated are refused before, unless that memory is to be discarded.
//!
//! hypervisorlaunchtype, debugger and detecthal stay. No Windows was at hand to see it start.

use crate::bcd::{self, BOOT_MANAGER, ELEMENT, EMS_SETTINGS, Store, element_key, number, switch};
use driver_core::{Applies, Context, Draft, Firmware, Fixup, Platform};
use format_core::{Error, Result};

/// What Microsoft documents for Azure's serial console.
const AZURE_BAUD_RATE: u64 = 115_200;

pub(crate) struct BootConfiguration;

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
        bcd::mend(context, draft, &loader)?;
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
    use crate::bcd::phony_store::{LOADER, ON_MBR, OTHER, edits, object, on_disk, planned, reason, store};
    use crate::phony::Phony;
    use driver_registry::Value;

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
