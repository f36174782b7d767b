//! Is Windows in a state that can be moved? Nothing is edited: what may matter is said.
//!
//! Facts: with `SYSTEM\Setup\SystemSetupInProgress` Windows starts its setup and not itself. Sysprep leaves that too, on
//! purpose: then `Setup\State` has one of the states IMAGE_STATE_…_RESEAL_TO_… (Microsoft, "Windows Setup states"). What waits
//! for a restart makes pnputil and servicing fail (virt-v2v looks before it installs drivers). Filters of virus scanners made
//! converted guests stop (virt-v2v warns). Policies below `DeviceInstall\Restrictions` keep new devices from being installed
//! (Microsoft, "Manage device installation with Group Policy"). A domain controller whose original and copy both run, or that goes back to an
//! older state, loses changes without a word (Microsoft, "USN rollback"; ProductType is LanmanNT on them). The other nodes of a cluster and
//! its shared disks are not on the disks of one node.

use crate::services::{DISABLED, number, service_key, text};
use driver_core::{Applies, Context, Draft, Fixup, WindowsFacts};
use format_core::Result;

const STATE: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State";
const RESTRICTIONS: &str = r"SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions";
const DENIALS: [&str; 4] = ["DenyUnspecified", "DenyDeviceIDs", "DenyDeviceClasses", "DenyInstanceIDs"];

pub(super) struct Warnings;

impl Fixup for Warnings {
    fn id(&self) -> &'static str {
        "windows-state"
    }

    fn title(&self) -> &'static str {
        "Windows is looked over for what may get in the way"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.guest.windows.is_none() {
            return Ok(Applies::no("it is no Windows"));
        }
        let in_setup = number(draft, r"SYSTEM\Setup", "SystemSetupInProgress")?.unwrap_or_default() != 0;
        if in_setup && !is_generalised(draft)? {
            return Ok(Applies::cannot(
                "Windows Setup was begun and not ended: it would go on at the next start, with the wrong machine",
                "start the guest where it is, let Setup end, shut it down cleanly, and export it again",
            ));
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        if is_generalised(draft)? {
            draft.note("it is prepared by sysprep and runs its set-up at the next start".into());
        } else if !windows.pending.is_empty() {
            let what = windows.pending.join(", ");
            draft.note(format!(
                "{what}: better restart the guest where it is, shut it down, and export it again"
            ));
        }
        if !windows.antivirus.is_empty() {
            let which = windows.antivirus.join(", ");
            draft.note(format!(
                "a virus scanner filters the file systems ({which}): if the guest stops at its first start, uninstall \
                 it at the source"
            ));
        }
        note_roles(windows, draft)?;
        let mut denials = Vec::new();
        for name in DENIALS {
            denials.extend(number(draft, RESTRICTIONS, name)?.filter(|value| *value != 0).map(|_| name));
        }
        if !denials.is_empty() {
            draft.note(format!(
                "a policy restricts the installation of devices ({}): the new platform's may be refused",
                denials.join(", ")
            ));
        }
        Ok(())
    }
}

/// What the machine is to others.
fn note_roles(windows: &WindowsFacts, draft: &mut Draft<'_>) -> Result<()> {
    let Some(set) = windows.control_sets.first() else { return Ok(()) };
    let kind = text(draft, &format!(r"SYSTEM\{set}\Control\ProductOptions"), "ProductType")?;
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("LanmanNT")) {
        draft.note(
            "it is a domain controller: shut the original down before this disk is read, never start it again once the copy \
             ran, and never go back to an older state of either"
                .into(),
        );
    }
    let cluster = number(draft, &service_key(set, "ClusSvc"), "Start")?;
    if cluster.is_some_and(|start| start != DISABLED) {
        draft.note(
            "it is a node of a failover cluster: shared disks and the other nodes do not come with it".into(),
        );
    }
    Ok(())
}

fn is_generalised(draft: &Draft<'_>) -> Result<bool> {
    Ok(text(draft, STATE, "ImageState")?.is_some_and(|state| state.contains("_RESEAL_TO_")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, plan};
    use driver_core::{Status, Wishes};
    use driver_registry::Value;

    fn looked_over(phony: Phony) -> (Status, String) {
        let (tree, guest) = phony.build();
        let plan = plan(&tree, &guest, "hyperv-gen1", &Wishes::NONE, &Warnings);
        assert!(plan.edits.is_empty());
        (plan.fixups[0].status, plan.fixups[0].reason.clone().unwrap_or_default())
    }

    #[test]
    fn what_may_get_in_the_way_is_said() {
        assert_eq!(looked_over(Phony::windows_2016()), (Status::NothingToDo, String::new()));
        let servicing = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending";
        let (status, said) = looked_over(
            Phony::windows_2016()
                .key(servicing)
                .service("EvilFilter", 2, 0)
                .value(&format!(r"{SET}\Services\EvilFilter"), "Group", Value::string("FSFilter Anti-Virus"))
                .value(RESTRICTIONS, "DenyUnspecified", Value::dword(1))
                .value(RESTRICTIONS, "DenyDeviceIDs", Value::dword(0)),
        );
        assert_eq!(status, Status::NothingToDo);
        for part in ["components wait for a restart: better restart", "(EvilFilter)", "(DenyUnspecified)"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn roles_that_forbid_two_of_a_machine_are_said() {
        let options = format!(r"{SET}\Control\ProductOptions");
        let server = |kind: &str| Phony::windows_2016().value(&options, "ProductType", Value::string(kind));
        let (_, said) = looked_over(server("LanmanNT").service("ClusSvc", 0x10, 2));
        assert!(said.contains("domain controller") && said.contains("failover cluster"), "{said}");
        assert_eq!(looked_over(server("ServerNT").service("ClusSvc", 0x10, 4)).1, "");
    }

    #[test]
    fn a_setup_that_was_begun_needs_a_person_unless_sysprep_left_it() {
        let begun = || Phony::windows_2016().value(r"SYSTEM\Setup", "SystemSetupInProgress", Value::dword(1));
        assert_eq!(looked_over(begun()).0, Status::Cannot);
        let state = Value::string("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE");
        let (status, said) = looked_over(begun().value(STATE, "ImageState", state));
        assert_eq!((status, said.contains("sysprep")), (Status::NothingToDo, true), "{said}");
        let complete = Value::string("IMAGE_STATE_COMPLETE");
        assert_eq!(looked_over(begun().value(STATE, "ImageState", complete)).0, Status::Cannot);
    }
}
