//! A boot test from its first step to its last.

use crate::choose::{Choice, Chosen, choose};
use crate::command;
use crate::controllers::adapter;
use crate::firmware::Uefi;
use crate::qemu::{Accelerator, Qemu};
use crate::report::{MachineReport, Outcome, Report, Verdict};
use crate::rules;
use crate::watch::{Seen, Watch};
use convert_nbd::{Address, Exports, Limits, Listener, OverlayExport, Server};
use driver_core::{Firmware, Guest, Target};
use driver_machine::MacAddress;
use format_core::{Disk, Error, ErrorKind, Overlay, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A machine to start, and for how long.
///
/// Tests are independent of each other and can run at once; each takes [`BootTest::memory_mib`] for its guest and about 200 MiB for QEMU
/// and what the guest writes.
pub struct BootTest {
    /// The disks, the boot disk first. What the guest writes goes into overlays that are dropped.
    pub disks: Vec<Disk>,
    /// What is known of the guest: where the target's controller cannot be emulated, its drivers decide what stands in.
    pub guest: Option<Guest>,
    /// What the guest was made ready for.
    pub target: &'static Target,
    /// Hardware address of its first adapter; `None` is one of QEMU's choice.
    pub mac: Option<MacAddress>,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The time limit; `None` is [`LIMIT`], and twice that where instructions are emulated.
    pub limit: Option<Duration>,
}

/// How long a guest may take to come up.
pub const LIMIT: Duration = Duration::from_secs(300);

/// What can be shown while a guest starts.
pub struct Sight {
    /// Since the start.
    pub elapsed: Duration,
    /// The time limit.
    pub limit: Duration,
    /// The last line of console or screen.
    pub line: String,
}

/// How often a guest is started when the host, not the guest, was why it stopped.
const MOST_STARTS: u32 = 3;

const ABOUT_NOTHING: &str = "neither success nor failure was seen in time";

impl BootTest {
    /// Starts the machine and watches it until something decides, the time has passed, or `interrupted` is set. `see` is called about every
    /// second. QEMU never outlives this call.
    ///
    /// # Errors
    /// `NeedsPerson` when QEMU or its firmware is missing, or nothing that QEMU has fits the guest; `Unsupported` for targets without
    /// firmware; `Temporary` when interrupted; `Io` when QEMU ends before its time; what reading the disks reports.
    pub fn run(&self, see: &dyn Fn(&Sight), interrupted: &AtomicBool) -> Result<Outcome> {
        if self.disks.is_empty() {
            return Err(Error::usage("a machine without disks starts nothing"));
        }
        let choice = match choose(self.target, self.guest.as_ref(), self.disks.len())? {
            Chosen::Devices(choice) => choice,
            Chosen::NoDriver(line) => return Ok(self.not_started(line)),
        };
        let folder = tempfile::Builder::new().prefix("rehome-").tempdir();
        let folder = folder.map_err(|e| Error::io("cannot make a folder for sockets", e))?;
        let mut qemu = Qemu::find(folder.path())?;
        let uefi = match self.target.firmware {
            Firmware::Uefi => Some(Uefi::find(folder.path())?),
            Firmware::Bios | Firmware::Host => None,
        };
        let mut again = MOST_STARTS;
        let (arguments, limit, (seen, serial, screen)) = loop {
            again = again.saturating_sub(1);
            let arguments = command::arguments(&qemu, self, &choice, uefi.as_ref());
            let limit = self.limit.unwrap_or(match qemu.accelerator {
                Accelerator::Kvm => LIMIT,
                Accelerator::Tcg => LIMIT * 2,
            });
            let found = self.serve(folder.path(), |trouble| {
                let mut watch = Watch::start(&qemu.program, &arguments, folder.path(), limit)?;
                let seen = watch.until_decided(see, interrupted, trouble)?;
                let (serial, screen) = watch.evidence()?;
                Ok((seen, serial, screen))
            })?;
            let rule = found.0.decision.as_ref().map(|decision| decision.rule.id);
            if rule == Some(rules::KVM_FAULT) && qemu.accelerator == Accelerator::Kvm {
                qemu.accelerator = Accelerator::Tcg;
                continue;
            }
            if again == 0 || rule != Some(rules::EMULATED_TIMER) {
                break (arguments, limit, found);
            }
        };
        let machine = self.machine(qemu, &choice, arguments);
        let report = Report { machine: Some(machine), ..self.report(seen, choice.differences, limit) };
        Ok(Outcome { report, serial, screen })
    }

    /// Serves the disks below `folder` for as long as `work` lasts, which is given what reading them could not do.
    fn serve<T>(&self, folder: &Path, work: impl FnOnce(&Mutex<Option<Error>>) -> Result<T>) -> Result<T> {
        let mut exports = Exports::default();
        for (number, disk) in self.disks.iter().enumerate() {
            let export = OverlayExport::new(Overlay::new(disk.clone()));
            exports.add(&number.to_string(), "", Arc::new(export))?;
        }
        let listener = Listener::bind(&Address::Unix(folder.join(command::DISKS)))?;
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let server = Server::new(exports, Limits::default(), move |error| {
            let mut first = told.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() {
                *first = Some(Error::new(error.kind(), error.to_string()));
            }
        });
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // However the work ends, the server does not wait for ever.
            let _end = SetAtEnd(&stop);
            let serving = scope.spawn(|| server.run(&listener, &stop, false));
            let result = work(&trouble);
            stop.store(true, Ordering::Relaxed);
            match serving.join() {
                Ok(served) => served.and(result),
                Err(_) => Err(Error::contract("the server of the disks ended in a panic")),
            }
        })
    }

    fn machine(&self, qemu: Qemu, choice: &Choice, arguments: Vec<String>) -> MachineReport {
        MachineReport {
            command_line: std::iter::once(qemu.program.display().to_string()).chain(arguments).collect(),
            qemu: qemu.version,
            accelerator: qemu.accelerator,
            board: choice.controller.board,
            controller: choice.controller.name,
            is_targets_own: choice.is_own,
            adapter: adapter(self.target),
            screen: "standard VGA",
        }
    }

    fn report(&self, seen: Seen, differences: Vec<String>, limit: Duration) -> Report {
        let decision = seen.decision;
        Report {
            tool: concat!("rehome ", env!("CARGO_PKG_VERSION")),
            verdict: decision.as_ref().map_or(Verdict::Undecided, |found| found.rule.verdict),
            rule: decision.as_ref().map(|found| found.rule.id),
            about: decision.as_ref().map_or(ABOUT_NOTHING, |found| found.rule.about),
            place: decision.as_ref().map(|found| found.place),
            line: decision.map(|found| found.line),
            seconds: seen.elapsed.as_secs_f64(),
            limit_seconds: limit.as_secs(),
            target: self.target.id,
            target_name: self.target.name,
            firmware: self.target.firmware,
            memory_mib: self.memory_mib,
            machine: None,
            differences,
            reboots: seen.reboots,
            observations: seen.observations,
            console: seen.console,
            screen: seen.screen,
            files: Vec::new(),
        }
    }

    /// A failure that needs no start.
    fn not_started(&self, line: String) -> Outcome {
        let decision =
            rules::named("no-driver").map(|rule| crate::watch::Decision { rule, place: "guest", line });
        let seen = Seen { decision, ..Seen::default() };
        Outcome { report: self.report(seen, Vec::new(), Duration::ZERO), serial: Vec::new(), screen: None }
    }
}

struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An error that a guest's disk met while it was served.
pub(crate) fn trouble_of(trouble: &Mutex<Option<Error>>) -> Result<()> {
    match trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) if error.kind() == ErrorKind::Contract => Err(error),
        Some(error) => Err(error.context("while the guest ran")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_can_run_on_threads_of_their_own() {
        fn is_send<T: Send>() {}
        is_send::<BootTest>();
        is_send::<Outcome>();
    }
}
