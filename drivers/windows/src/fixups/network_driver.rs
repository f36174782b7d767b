//! Is the driver of the machine's network adapter there? Nothing is edited.
//!
//! Most platforms also have an adapter that Windows knows by itself, which the machine gets then. Google Cloud has virtio's alone (service
//! netkvm of virtio-win): Windows starts without its driver, but nobody reaches it.

use crate::storage::{Drivers, can_start_from, drivers_of, is_installed};
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;

pub(super) struct NetworkDriver;

/// The driver's service, where the machine's adapter needs one that is not part of Windows.
fn needed(context: &Context<'_>) -> Option<&'static str> {
    let (target, windows) = (context.target, context.guest.windows.as_ref()?);
    let added = matches!(drivers_of(target.disk_bus, target.platform, windows), Drivers::Added(_));
    (added && target.platform == Platform::Gcp).then_some("netkvm")
}

impl Fixup for NetworkDriver {
    fn id(&self) -> &'static str {
        "windows-network-driver"
    }

    fn title(&self) -> &'static str {
        "see that the driver of the target's network adapter is there"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("it is not Windows")) };
        let Some(service) = needed(context) else {
            return Ok(Applies::no("the target's adapter needs no driver that is added"));
        };
        let (target, packages) = (context.target, &context.wishes.drivers);
        if !can_start_from(draft, windows, target.platform, target.disk_bus, packages)? {
            return Ok(Applies::no("it does not start from the target's disks"));
        }
        let comes = packages.iter().any(|package| package.service(service).is_some());
        Ok(if comes || is_installed(draft, windows, service)? {
            Applies::no("it is there, or comes with a package")
        } else {
            Applies::Yes
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(service) = needed(context) else { return Ok(()) };
        draft.note(format!(
            "the driver of the target's network adapter ({service}) is neither installed nor among the packages: the guest has no \
             network until somebody installs it; give the whole of virtio-win"
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, plan};
    use driver_core::Wishes;

    #[test]
    fn a_machine_without_a_network_is_told_of() {
        let disks = || Phony::windows_2016().service("vioscsi", 1, 0);
        for (phony, target, said) in [
            (disks(), "gcp-bios", "(netkvm)"),
            (disks().service("netkvm", 1, 3), "gcp-bios", "it is there"),
            // Said by another fixup.
            (Phony::windows_2016(), "gcp-bios", "it does not start"),
            // There is an adapter that Windows knows.
            (disks(), "proxmox-bios", "needs no driver"),
            (disks(), "hyperv-gen1", "needs no driver"),
        ] {
            let (tree, guest) = phony.build();
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &NetworkDriver);
            assert!(planned.edits.is_empty());
            let reason = planned.fixups[0].reason.as_deref().unwrap();
            assert!(reason.contains(said), "{target}: {reason}");
        }
    }
}
