//! Disks that Windows meets for the first time are brought online: on another platform all of them are new to it.
//!
//! Facts: `partmgr\Parameters\SanPolicy` is the policy of `diskpart san`, 1 is OnlineAll (Microsoft, VDS_SAN_POLICY;
//! "SanPolicy" of the component PartitionManager); servers come with OfflineShared, which leaves data disks on SCSI buses
//! offline. Azure and Google ask for OnlineAll, and Azure's hydration sets it. Microsoft warns of it where servers share disks:
//! a node of a failover cluster is left alone.
//!
//! `Attributes` of `Device Parameters\Partmgr` is what is kept of a disk, 0 when it is online and writable (Pure Storage's
//! guide for Windows sets it so; the bits are not documented). It belongs to the old device, so a disk that somebody took
//! offline comes online: that is said.

use crate::devices::devices;
use crate::edited::edited_sets;
use crate::services::{DISABLED, number, service_key};
use driver_core::{Applies, Context, Draft, Fixup, GuestTree};
use driver_registry::Value;
use format_core::Result;

const ONLINE_ALL: u32 = 1;
/// Buses of disks that a machine is built with.
const BUSES: [&str; 3] = ["SCSI", "IDE", "NVME"];
/// As many are named.
const MOST_NAMED: usize = 8;

pub(super) struct SanPolicy;

impl Fixup for SanPolicy {
    fn id(&self) -> &'static str {
        "windows-san-policy"
    }

    fn title(&self) -> &'static str {
        "new disks are brought online"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(set) = edited_sets(context).first() else { return Ok(Applies::no("it is no Windows")) };
        let start = number(draft, &service_key(set, "ClusSvc"), "Start")?;
        Ok(if start.is_some_and(|start| start != DISABLED) {
            Applies::no(
                "it is a node of a failover cluster: whether its disks come online is for a person to decide",
            )
        } else {
            Applies::Yes
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for set in edited_sets(context) {
            let key = format!(r"{}\Parameters", service_key(set, "partmgr"));
            let reason = "all disks are new on another platform, and none shall stay offline";
            draft.set_value(&key, "SanPolicy", Value::dword(ONLINE_ALL), reason)?;
        }
        if let Some(set) = edited_sets(context).first() {
            for disk in offline_disks(draft.tree(), set)? {
                draft.note(format!("{disk} was offline or read-only at some time: it comes online now"));
            }
        }
        Ok(())
    }
}

/// Models of the disks that were taken offline or made read-only.
fn offline_disks(tree: &GuestTree, set: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let is_wanted = |bus: &str| BUSES.iter().any(|known| known.eq_ignore_ascii_case(bus));
    devices(tree, set, is_wanted, |path, key| {
        let Some(parameters) = key.subkey("Device Parameters")? else { return Ok(()) };
        let Some(partmgr) = parameters.subkey("Partmgr")? else { return Ok(()) };
        let attributes = partmgr.value("Attributes")?.as_ref().and_then(Value::as_u32);
        if attributes.is_some_and(|attributes| attributes != 0) && found.len() < MOST_NAMED {
            let device = path.rsplit('\\').nth(1).unwrap_or(path);
            found.push(format!("the disk {device}"));
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};

    #[test]
    fn disks_come_online_and_the_key_is_made_where_it_is_missing() {
        let key = format!(r"{SET}\Services\partmgr\Parameters");
        let server = Phony::windows_2016().value(&key, "SanPolicy", Value::dword(2));
        for (phony, edits) in [(server, 1), (Phony::windows_2016(), 2)] {
            let (tree, words) = carried_out(phony, "hyperv-gen1", &Wishes::NONE, &SanPolicy);
            assert_eq!(tree.registry_value(&key, "SanPolicy").unwrap(), Some(Value::dword(1)));
            assert_eq!(words.len(), edits, "{words:?}");
        }
    }

    #[test]
    fn a_cluster_is_left_alone_and_disks_that_were_offline_are_named() {
        let cluster = |start| Phony::windows_2016().service("ClusSvc", 0x10, start);
        for (start, status) in [(2, Status::NotApplicable), (4, Status::Planned)] {
            let (tree, guest) = cluster(start).build();
            let planned = plan(&tree, &guest, "kvm-bios", &Wishes::NONE, &SanPolicy);
            assert_eq!(planned.fixups[0].status, status);
        }
        let device = |bus, name, attributes| {
            let key = format!(r"{SET}\Enum\{bus}\{name}\1\Device Parameters\Partmgr");
            (key, Value::dword(attributes))
        };
        let mut phony = Phony::windows_2016();
        for (key, value) in
            [device("SCSI", "Disk&A", 0), device("SCSI", "Disk&B", 1), device("USBSTOR", "C", 1)]
        {
            phony = phony.value(&key, "Attributes", value);
        }
        let (tree, guest) = phony.build();
        let planned = plan(&tree, &guest, "kvm-bios", &Wishes::NONE, &SanPolicy);
        let said = planned.fixups[0].reason.as_deref().unwrap();
        assert!(said.starts_with("the disk Disk&B was") && !said.contains("; "), "{said}");
    }
}
