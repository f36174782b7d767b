//! What only the running Windows can do is done once, by a service that removes itself.
//!
//! ```text
//!  fixups ──plan_step──▶ Windows\rehome\firstboot\NN-name.cmd ◀─in order, each once── Windows\rehome\firstboot.cmd
//!                                                                                          ▲ started by
//!                                                                       service rehome-firstboot (cmd.exe /c start)
//! ```
//!
//! Why a service. virt-v2v and others do the same, with a helper program that answers the service control manager (rhsrvany); nothing
//! is needed from third parties here. The alternatives: `SYSTEM\Setup` with SetupType 2 and CmdLine (Windows waits for the command
//! before anybody can log on: a step that hangs would lock everybody out); SetupComplete.cmd (run by Windows Setup
//! alone); RunOnce (waits for somebody to log on); a start-up script of the local group policy (other policies decide
//! whether it runs, and its files may be in use); a scheduled task (its registry part is not documented, and old versions check a hash).
//!
//! What happens. The service control manager starts ImagePath and waits for it to connect as a service, 30 seconds at most (Microsoft,
//! "StartServiceCtrlDispatcher", "Service startup time-out", ServicesPipeTimeout). `cmd.exe /c start` ends at once and never connects:
//! events 7009 and 7000 are written to the system's log, and ErrorControl 0 makes nothing more of them (Microsoft, "CreateService",
//! SERVICE_ERROR_IGNORE). What it started is a process of its own and goes on; penetration testers have relied on that for years
//! (smbexec and its like run commands by services that "fail"). Not verified here: whether the manager gives up as soon as the
//! process is gone or after the 30 seconds; others start later by that at most. Watchful endpoint protection may report a service whose
//! image is cmd.exe: its description says what it is for.
//!
//! Nothing waits for the steps, so that none can hold up the start. RpcSs is the only service that must be there before: a longer list
//! would be a longer list of reasons not to start at all; steps wait for what they need.
//!
//! The runner is a plain batch file: PowerShell's execution policy and constrained language mode do not matter, and it needs nothing
//! that Server Core does not have. While Windows Setup runs, as after sysprep, it waits: services are started then, too, and a restart in the midst
//! leaves a machine that does not finish its set-up. It counts its starts (6 at most) and its restarts (3 at most), and stops when it cannot count.

mod steps;
#[cfg(test)]
mod wine;

pub(crate) use steps::{
    AGAIN, FOLDER, FOLDER_IN_GUEST, RESTART, RESTART_AND_AGAIN, plain, plan_file, plan_step,
};

use crate::services::service_key;
use driver_core::{Applies, Context, Draft, Fixup};
use driver_registry::Value;
use format_core::Result;

const SERVICE: &str = "rehome-firstboot";
const RUNNER: &str = include_str!("runner.cmd");
const RUNNER_FILE: &str = "/Windows/rehome/firstboot.cmd";
/// The first cmd.exe ends at once; the second does the work. Registry strings of this type are expanded by the manager.
const IMAGE: &str = r#"%SystemRoot%\System32\cmd.exe /d /c start "rehome" /b %SystemRoot%\System32\cmd.exe /d /c "%SystemRoot%\rehome\firstboot.cmd""#;

/// Type: a process of its own.
const OWN_PROCESS: u32 = 0x10;
/// Start: by the service control manager, at every start.
const AUTOMATIC: u32 = 2;
/// ErrorControl: a failed start is none of anybody's business.
const IGNORE: u32 = 0;

pub(super) struct FirstBoot;

impl Fixup for FirstBoot {
    fn id(&self) -> &'static str {
        "windows-first-boot"
    }

    fn title(&self) -> &'static str {
        "what only the running Windows can do is done once when it starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        Ok(match context.guest.windows {
            None => Applies::no("no Windows"),
            Some(_) if steps::steps(draft)?.is_empty() => {
                Applies::no("nothing is left to the running Windows")
            }
            Some(_) => match steps::strangers(draft)?.as_slice() {
                [] => Applies::Yes,
                [first, ..] => Applies::cannot(
                    format!(
                        r"\Windows\rehome\firstboot holds {first:?}, which this program did not put there, and the system would run it"
                    ),
                    r"look at C:\Windows\rehome in the running guest and remove it, then export it again",
                ),
            },
        })
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some(r"run the files in C:\Windows\rehome\firstboot as an administrator, in the order of their names")
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        let reason = "runs what is left to the running Windows once, then removes itself";
        plan_file(draft, RUNNER_FILE, steps::crlf(RUNNER), reason)?;
        for set in &windows.control_sets {
            let key = service_key(set, SERVICE);
            for (name, value) in service() {
                draft.set_value(&key, name, value, reason)?;
            }
        }
        Ok(())
    }
}

fn service() -> [(&'static str, Value); 8] {
    [
        ("Type", Value::dword(OWN_PROCESS)),
        ("Start", Value::dword(AUTOMATIC)),
        ("ErrorControl", Value::dword(IGNORE)),
        ("ImagePath", Value::expand_string(IMAGE)),
        ("DisplayName", Value::string("rehome: first start in the new place")),
        (
            "Description",
            Value::string(
                "Finishes the move of this machine, writes Windows\\Logs\\rehome\\firstboot.log, and removes itself.",
            ),
        ),
        ("ObjectName", Value::string("LocalSystem")),
        ("DependOnService", Value::multi_string(&["RpcSs"])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Action, Wishes};

    #[test]
    fn a_step_of_somebody_else_is_not_run() {
        let phony = Phony::windows_2016().file("/Windows/rehome/firstboot/00-evil.cmd", "net user");
        let (tree, guest) = phony.build();
        let planned = plan(&tree, &guest, "kvm-uefi", &Wishes::NONE, &FirstBoot);
        assert_eq!((planned.edits.len(), planned.obstacles().count()), (0, 1));
    }

    #[test]
    fn without_a_step_there_is_nothing_to_start() {
        let (tree, guest) = Phony::windows_2016().build();
        let planned = plan(&tree, &guest, "kvm-uefi", &Wishes::NONE, &FirstBoot);
        assert!(planned.edits.is_empty());
        assert_eq!(planned.fixups[0].reason.as_deref(), Some("nothing is left to the running Windows"));
    }

    #[test]
    fn with_a_step_there_is_a_service_in_every_control_set_that_ends_at_once() {
        let phony = Phony::windows_2016()
            .value(r"SYSTEM\Select", "LastKnownGood", Value::dword(2))
            .key(r"SYSTEM\ControlSet002\Services")
            .file("/Windows/rehome/firstboot/10-drivers-x.cmd", "rem");
        let (tree, _) = carried_out(phony, "kvm-uefi", &Wishes::NONE, &FirstBoot);
        for set in [SET, r"SYSTEM\ControlSet002"] {
            let key = format!(r"{set}\Services\{SERVICE}");
            let number = |name: &str| tree.registry_value(&key, name).unwrap().unwrap().as_u32().unwrap();
            assert_eq!((number("Type"), number("Start"), number("ErrorControl")), (16, 2, 0));
            let image = tree.registry_value(&key, "ImagePath").unwrap().unwrap();
            assert_eq!(image, Value::expand_string(IMAGE));
        }
        let runner = tree.read_file(RUNNER_FILE, 1 << 20).unwrap().unwrap();
        assert!(runner.is_ascii() && !RUNNER.contains('\r'));
        let text = String::from_utf8(runner).unwrap();
        assert_eq!(text.matches("\r\n").count(), text.matches('\n').count());
        assert_eq!(text.replace("\r\n", "\n"), RUNNER);
    }

    #[test]
    fn the_folder_is_for_the_system_alone() {
        struct OneStep;
        impl Fixup for OneStep {
            fn id(&self) -> &'static str {
                "one-step"
            }
            fn title(&self) -> &'static str {
                "one step"
            }
            fn applies(&self, _: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
                Ok(Applies::Yes)
            }
            fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
                plan_step(draft, "10-drivers-x", "rem\n", "a test")
            }
        }
        let (tree, guest) = Phony::windows_2016().build();
        let context = Context::new(&guest, crate::phony::target("kvm-uefi"));
        let planned = driver_core::make_plan(&context, &tree, &[&OneStep, &FirstBoot]).unwrap();
        let folder = planned.edits.iter().find(|edit| edit.path == FOLDER).unwrap();
        assert!(matches!(folder.action, Action::CreateFolder { ownership } if ownership.mode == 0o700));
        assert!(planned.edits.iter().any(|edit| edit.path == RUNNER_FILE), "{:?}", planned.edits);
    }

    #[test]
    fn labels_that_are_called_are_there() {
        let labels: Vec<&str> = RUNNER.lines().filter_map(|line| line.strip_prefix(':')).collect();
        let words: Vec<&str> = RUNNER.split_whitespace().collect();
        let called = words.windows(2).filter_map(|pair| match pair {
            ["call", label] => label.strip_prefix(':'),
            ["goto", label] => Some(*label),
            _ => None,
        });
        for label in called {
            assert!(labels.contains(&label), "{label}");
        }
    }
}
