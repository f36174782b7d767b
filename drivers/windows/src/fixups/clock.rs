//! What the machine's real-time clock says is told to Windows, where the platform leaves no choice.
//!
//! Facts: Windows takes the clock for local time unless `RealTimeIsUniversal` is 1. Hyper-V's machines have the host's local
//! time; Azure wants the value (Microsoft, "Prepare a Windows VHD or VHDX to upload to Azure"), Google's import sets it
//! (compute-image-tools, translate.ps1). Amazon's images have it ("Set the time for a Windows instance"; Server 2008 R2 needs
//! KB2922223 for it). KubeVirt: see its target. Elsewhere the machine's definition says which it is, and is written to suit the
//! guest.

use crate::edited::edited_sets;
use driver_core::{Applies, Clock, Context, Draft, Fixup, Target};
use driver_registry::Value;
use format_core::Result;

const NAME: &str = "RealTimeIsUniversal";

pub(super) struct RealTimeClock;

impl Fixup for RealTimeClock {
    fn id(&self) -> &'static str {
        "windows-clock"
    }

    fn title(&self) -> &'static str {
        "Windows reads the real-time clock as the platform sets it"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(if context.guest.windows.is_none() {
            Applies::no("it is no Windows")
        } else if fixed_clock(context.target).is_none() {
            Applies::no("the machine's definition says what its clock shows")
        } else {
            Applies::Yes
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(clock) = fixed_clock(context.target) else { return Ok(()) };
        for set in edited_sets(context) {
            let key = format!(r"SYSTEM\{set}\Control\TimeZoneInformation");
            let universal =
                draft.value(&key, NAME)?.as_ref().and_then(Value::as_u64).unwrap_or_default() != 0;
            match clock {
                Clock::Local if universal => {
                    let reason = format!("the clock of {} shows local time", context.target.name);
                    draft.delete_value(&key, NAME, &reason)?;
                }
                Clock::Utc if !universal => {
                    let reason = format!("the clock of {} shows UTC", context.target.name);
                    draft.set_value(&key, NAME, Value::dword(1), &reason)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the clock shows however the machine is described, if that is the same.
fn fixed_clock(target: &Target) -> Option<Clock> {
    let clock = target.definitions.first()?.clock;
    let same = target.definitions.iter().all(|definition| definition.clock == clock);
    (same && clock != Clock::Either).then_some(clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};

    #[test]
    fn the_value_follows_the_platform_and_is_left_where_a_definition_can_say_it() {
        let key = format!(r"{SET}\Control\TimeZoneInformation");
        let zero = || Some(Value::dword(0));
        let one = || Some(Value::dword(1));
        for (before, target, after) in [
            (one(), "hyperv-gen1", None),
            (Some(Value::qword(1)), "hyperv-gen2", None),
            (zero(), "hyperv-gen2", zero()),
            (None, "hyperv-gen2", None),
            (None, "azure-gen1", one()),
            (zero(), "gcp-bios", one()),
            (Some(Value::qword(1)), "aws-bios", Some(Value::qword(1))),
        ] {
            let phony = Phony::windows_2016().key(&key);
            let phony = before.clone().into_iter().fold(phony, |phony, value| phony.value(&key, NAME, value));
            let (tree, edits) = carried_out(phony, target, &Wishes::NONE, &RealTimeClock);
            assert_eq!(tree.registry_value(&key, NAME).unwrap(), after, "{target} {before:?}");
            assert_eq!(edits.len(), usize::from(before != after), "{edits:?}");
        }
        let (tree, guest) = Phony::windows_2016().value(&key, NAME, Value::dword(1)).build();
        for target in ["kvm-bios", "vmware-bios", "xen-bios", "proxmox-bios", "virtualbox-bios"] {
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &RealTimeClock);
            assert_eq!(planned.fixups[0].status, Status::NotApplicable, "{target}");
        }
    }
}
