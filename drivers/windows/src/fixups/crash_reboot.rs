//! Windows stays at its blue screen, so that a person sees what went wrong at the first start.
//!
//! Facts: `CrashControl\AutoReboot` (Microsoft, "Configure system failure and recovery options in Windows"); virt-v2v sets it
//! to 0, too.

use crate::edited::edited_sets;
use driver_core::{Applies, Context, Draft, Fixup};
use driver_registry::Value;
use format_core::Result;

pub(super) struct CrashReboot;

impl Fixup for CrashReboot {
    fn id(&self) -> &'static str {
        "windows-crash-reboot"
    }

    fn title(&self) -> &'static str {
        "Windows does not restart after a crash"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        let is_windows = context.guest.windows.is_some();
        Ok(if is_windows { Applies::Yes } else { Applies::no("it is no Windows") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let before = draft.planned_edits();
        for set in edited_sets(context) {
            let key = format!(r"SYSTEM\{set}\Control\CrashControl");
            if draft.has_key(&key)? {
                let reason = "a crash at the first start stays visible";
                draft.set_value(&key, "AutoReboot", Value::dword(0), reason)?;
            }
        }
        if draft.planned_edits() > before {
            draft.note("set CrashControl\\AutoReboot back to 1 when the guest runs well".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out};
    use driver_core::Wishes;

    #[test]
    fn a_crash_stays_visible_in_every_control_set() {
        let (one, two) =
            (format!(r"{SET}\Control\CrashControl"), r"SYSTEM\ControlSet002\Control\CrashControl");
        let phony = Phony::windows_2016()
            .value(r"SYSTEM\Select", "LastKnownGood", Value::dword(2))
            .value(&one, "AutoReboot", Value::dword(1))
            .value(two, "LogEvent", Value::dword(1));
        let (tree, edits) = carried_out(phony, "kvm-bios", &Wishes::NONE, &CrashReboot);
        assert_eq!(edits.len(), 2, "{edits:?}");
        for key in [one.as_str(), two] {
            assert_eq!(tree.registry_value(key, "AutoReboot").unwrap(), Some(Value::dword(0)), "{key}");
        }
    }

    #[test]
    fn nothing_is_made_up_where_there_are_no_settings() {
        let (_, edits) = carried_out(Phony::windows_2016(), "kvm-bios", &Wishes::NONE, &CrashReboot);
        assert!(edits.is_empty(), "{edits:?}");
    }
}
