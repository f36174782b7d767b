//! Agents and tools of other platforms: their services do not start by themselves any more. Nothing is removed.
//!
//! Facts: off their platform they retry, fill the event log and delay the start, and an agent with copied credentials would
//! still speak for the old machine. Azure's hydration disables VMware's service, virt-v2v Parallels' drivers. Only services
//! that start on their own are touched: one on demand, as a provider of snapshots, is asked for by others, who may fail without
//! it. Drivers stay, because they wait for devices that are not there; Parallels' filter disks (virt-v2v). Hyper-V's
//! integration services are part of Windows and start only there.
//!
//! Scheduled tasks stay: a task's file is guarded by a hash in the registry (`Schedule\TaskCache`), and one that does not fit
//! is an error to Windows; what the task is called is said instead.

mod table;

use crate::edited::edited_sets;
use crate::filters::retire_drivers;
use crate::services::{disable, number, service_key};
use driver_core::{Applies, Context, Draft, Fixup, SourceFacts, Strength};
use format_core::Result;
use table::Maker;

pub(super) struct Agents(&'static Maker);

pub(super) const EC2: Agents = Agents(&table::AWS);
pub(super) const AZURE: Agents = Agents(&table::AZURE);
pub(super) const GCP: Agents = Agents(&table::GCP);
pub(super) const VMWARE: Agents = Agents(&table::VMWARE);
pub(super) const VIRTUALBOX: Agents = Agents(&table::VIRTUALBOX);
pub(super) const PARALLELS: Agents = Agents(&table::PARALLELS);
pub(super) const XEN: Agents = Agents(&table::XEN);
pub(super) const KVM: Agents = Agents(&table::KVM);

/// Start: when Windows starts.
const AUTOMATIC: u32 = 2;
/// Bits of Type: a process of its own, or one with others.
const USER_MODE: u32 = 0x30;

impl Fixup for Agents {
    fn id(&self) -> &'static str {
        self.0.id
    }

    fn title(&self) -> &'static str {
        self.0.title
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some("disable the agents' services with sc.exe config NAME start= disabled")
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let maker = self.0;
        if maker.platforms.contains(&context.target.platform) {
            return Ok(Applies::no(format!("{} is where they are of use", context.target.name)));
        }
        if maker.portable
            && let Some(where_else) = maker.ran_elsewhere(&context.guest.source)
        {
            return Ok(Applies::no(format!(
                "the guest ran elsewhere ({where_else}): whatever of {} is in it was set up on purpose",
                maker.name
            )));
        }
        let found = maker.is_installed(context, draft)?;
        Ok(if found { Applies::Yes } else { Applies::no(format!("nothing of {} is installed", maker.name)) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let maker = self.0;
        let reason = format!("it serves {} only", maker.name);
        for set in edited_sets(context) {
            if !maker.drivers.is_empty() {
                retire_drivers(draft, set, maker.drivers, &reason)?;
            }
            for service in maker.services {
                let key = service_key(set, service);
                let kind = number(draft, &key, "Type")?.unwrap_or_default();
                if kind & USER_MODE != 0 && number(draft, &key, "Start")? == Some(AUTOMATIC) {
                    disable(draft, set, service, &reason)?;
                }
            }
        }
        for task in maker.tasks {
            if draft.exists(&task_file(task))? {
                draft.note(format!("the scheduled task {task:?} stays: delete it in the running guest"));
            }
        }
        draft.note(maker.later.to_owned());
        Ok(())
    }
}

impl Maker {
    /// What shows that the guest ran on another platform, if nothing shows that it ran on the maker's.
    fn ran_elsewhere(&self, source: &SourceFacts) -> Option<String> {
        let mut recorded = source.signs.iter().filter(|sign| sign.strength == Strength::Recorded);
        let first = recorded.clone().next()?;
        let here = recorded.any(|sign| sign.platforms.iter().any(|from| self.platforms.contains(from)));
        (!here).then(|| first.found.clone())
    }

    fn is_installed(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<bool> {
        for set in edited_sets(context) {
            for name in self.services.iter().chain(self.drivers) {
                if draft.has_key(&service_key(set, name))? {
                    return Ok(true);
                }
            }
        }
        for task in self.tasks {
            if draft.exists(&task_file(task))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn task_file(task: &str) -> String {
    format!("/Windows/System32/Tasks/{task}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};
    use driver_registry::Value;

    const HYPERV: &str = "hyperv-gen1";

    fn start(tree: &driver_core::GuestTree, name: &str) -> Option<u32> {
        let value = tree.registry_value(&format!(r"{SET}\Services\{name}"), "Start").unwrap();
        value.as_ref().and_then(Value::as_u32)
    }

    #[test]
    fn only_services_that_start_by_themselves_are_disabled() {
        let phony = Phony::windows_2016()
            .service("VMTools", 0x110, 2)
            .service("VGAuthService", 0x10, 2)
            .service("VMwareCAFCommAmqpListener", 0x10, 3)
            .service("VMUpgradeHelper", 1, 2)
            .service("vmci", 1, 0)
            .service("vmvss", 0x10, 3)
            .service("Spooler", 0x110, 2);
        let (tree, edits) = carried_out(phony, HYPERV, &Wishes::NONE, &VMWARE);
        assert_eq!(edits.len(), 2, "{edits:?}");
        for (name, expected) in [
            ("VMTools", 4),
            ("VGAuthService", 4),
            ("VMwareCAFCommAmqpListener", 3),
            ("VMUpgradeHelper", 2),
            ("vmci", 0),
            ("vmvss", 3),
            ("Spooler", 2),
        ] {
            assert_eq!(start(&tree, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_driver_is_disabled_after_it_was_taken_out_of_the_filters() {
        let disks = format!(r"{SET}\Control\Class\{{4d36e967-e325-11ce-bfc1-08002be10318}}");
        let phony = Phony::windows_2016()
            .service("prl_strg", 1, 0)
            .service("Parallels Tools Service", 0x10, 2)
            .value(&disks, "LowerFilters", Value::multi_string(&["prl_strg"]))
            .value(&disks, "UpperFilters", Value::multi_string(&["partmgr"]));
        let (tree, edits) = carried_out(phony, "kvm-bios-sata", &Wishes::NONE, &PARALLELS);
        assert_eq!(edits.len(), 3, "{edits:?}");
        assert!(edits[0].starts_with("delete-value") && edits[0].contains("LowerFilters"), "{edits:?}");
        let upper = tree.registry_value(&disks, "UpperFilters").unwrap();
        assert_eq!(upper, Some(Value::multi_string(&["partmgr"])));
        assert_eq!((start(&tree, "prl_strg"), start(&tree, "Parallels Tools Service")), (Some(4), Some(4)));
    }

    #[test]
    fn agents_stay_where_they_are_of_use_or_were_set_up_on_purpose() {
        let agent = || Phony::windows_2016().service("AmazonSSMAgent", 0x10, 2);
        let on = |phony: Phony, maker: &str| {
            let key = format!(r"{SET}\Control\SystemInformation");
            phony.value(&key, "SystemManufacturer", Value::string(maker))
        };
        for (phony, target, status) in [
            (agent(), HYPERV, Status::Planned),
            (agent(), "aws-bios", Status::NotApplicable),
            (on(agent(), "Amazon EC2"), HYPERV, Status::Planned),
            (on(agent(), "Xen"), HYPERV, Status::Planned),
            (on(agent(), "QEMU"), HYPERV, Status::NotApplicable),
            (Phony::windows_2016(), HYPERV, Status::NotApplicable),
        ] {
            let (tree, guest) = phony.build();
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &EC2);
            assert_eq!(planned.fixups[0].status, status, "{target} {:?}", planned.fixups);
        }
    }

    #[test]
    fn a_scheduled_task_is_named() {
        let task = "/Windows/System32/Tasks/Amazon Ec2 Launch - Instance Initialization";
        let (tree, guest) = Phony::windows_2016().file(task, "<Task/>").build();
        let planned = plan(&tree, &guest, HYPERV, &Wishes::NONE, &EC2);
        let said = planned.fixups[0].reason.as_deref().unwrap_or_default();
        assert!(planned.edits.is_empty() && said.contains("Instance Initialization\" stays"), "{said}");
    }
}
