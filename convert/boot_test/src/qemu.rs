//! The QEMU of this host, and what it can do here.

use crate::child::Running;
use crate::firmware::Uefi;
use driver_core::Firmware;
use format_core::{Error, ErrorKind, Result, codes};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Names of the program; RHEL has it out of the way.
const PROGRAMS: [&str; 2] = ["qemu-system-x86_64", "/usr/libexec/qemu-kvm"];
/// How long a machine of one instruction may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// The same without KVM, where a loaded host may take its time.
const PATIENT_LIMIT: Duration = Duration::from_secs(20);
/// Keeps QEMU, should a guest take it over, from starting programs and from gaining rights.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Who runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, by KVM.
    Kvm,
    /// QEMU itself: ten times slower, and works everywhere.
    Tcg,
}

impl Accelerator {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// A QEMU that was tried.
pub(crate) struct Qemu {
    pub(crate) program: PathBuf,
    /// Such as `10.0.2`.
    pub(crate) version: String,
    pub(crate) accelerator: Accelerator,
    has_sandbox: bool,
}

impl Qemu {
    /// Finds QEMU and tries it with a machine of one instruction: KVM may be there and not work, as in a guest without nested
    /// virtualisation. `folder` is for the file that the try needs.
    ///
    /// # Errors
    /// `NeedsPerson` when QEMU is not installed; `Io` when it does not run.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let (program, version) = installed()?;
        let mut qemu = Self { program, version, accelerator: Accelerator::Tcg, has_sandbox: true };
        if qemu.try_out(folder, PATIENT_LIMIT).is_err() {
            // Built without seccomp.
            qemu.has_sandbox = false;
            qemu.try_out(folder, PATIENT_LIMIT)?;
        }
        if Path::new("/dev/kvm").exists() {
            let with_kvm = Self {
                accelerator: Accelerator::Kvm,
                program: qemu.program.clone(),
                version: qemu.version.clone(),
                ..qemu
            };
            if with_kvm.try_out(folder, PROBE_LIMIT).is_ok() {
                return Ok(with_kvm);
            }
        }
        Ok(qemu)
    }

    /// The arguments that every machine gets.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<&str> = vec!["-no-user-config", "-nodefaults", "-display", "none"];
        arguments.extend(self.accelerator.arguments());
        if self.has_sandbox {
            arguments.extend(["-sandbox", SANDBOX]);
        }
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// Starts a machine whose firmware does nothing but ask QEMU to end with a certain exit code.
    fn try_out(&self, folder: &Path, limit: Duration) -> Result<()> {
        let rom = folder.join("probe");
        std::fs::write(&rom, probe_rom())
            .map_err(|e| Error::io(format!("cannot write {}", rom.display()), e))?;
        let mut arguments = self.arguments();
        let machine =
            ["-machine", "pc", "-m", "16", "-bios", "probe", "-device", "isa-debug-exit,iobase=0x501"];
        arguments.extend(machine.iter().map(|word| (*word).to_owned()));
        let mut running = Running::start(&self.program, &arguments, folder)?;
        match running.ends_within(limit)? {
            // The device makes `value << 1 | 1` of what is written to it.
            Some(status) if status.code() == Some(i32::from(PROBE_VALUE) << 1 | 1) => Ok(()),
            Some(status) => Err(running.failure(status)),
            None => {
                Err(Error::new(ErrorKind::Io, format!("a machine of QEMU does not run within {limit:?}")))
            }
        }
    }
}

const PROBE_VALUE: u8 = 0x15;

/// A BIOS of 64 KiB, which a processor enters 16 bytes before its end (Intel SDM, volume 3, "First Instruction Executed").
fn probe_rom() -> Vec<u8> {
    let mut rom = vec![0xf4; 64 << 10];
    // mov al, VALUE; mov dx, 0x501; out dx, al; hlt
    let code = [0xb0, PROBE_VALUE, 0xba, 0x01, 0x05, 0xee, 0xf4];
    let entry = rom.len() - 16;
    rom.splice(entry..entry + code.len(), code);
    rom
}

/// Whether boot tests can be made on this host: QEMU is there and, for UEFI, its firmware.
///
/// # Errors
/// `NeedsPerson` with the names of the packages when something is missing.
pub fn check_host(firmware: Option<Firmware>) -> Result<()> {
    installed()?;
    if firmware == Some(Firmware::Uefi) {
        Uefi::is_installed()?;
    }
    Ok(())
}

fn installed() -> Result<(PathBuf, String)> {
    PROGRAMS.iter().find_map(|name| version_of(name)).ok_or_else(|| {
        Error::needs_person("QEMU is not installed on this host: there is no qemu-system-x86_64").with_code(&codes::HOST_QEMU).hint(
            "install it: the package is called qemu-system-x86 (Debian, Ubuntu, Fedora), qemu-kvm (RHEL), \
             qemu-x86 (SUSE), qemu-system-x86_64 (Alpine)",
        )
    })
}

/// The path and version of the program called `name`, if it is there.
fn version_of(name: &str) -> Option<(PathBuf, String)> {
    let output = Command::new(name).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.strip_prefix("QEMU emulator version ")?.split([' ', '\n', '(']).next()?.to_owned();
    Some((name.into(), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_qemu_of_this_host_runs_and_a_machine_that_hangs_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let qemu = Qemu::find(folder.path()).expect("install qemu-system-x86");
        assert!(qemu.version.starts_with(|c: char| c.is_ascii_digit()), "{}", qemu.version);
        assert!(qemu.has_sandbox, "Debian's QEMU has seccomp");
        // The same machine, stopped before its first instruction.
        let stopped = folder.path().join("stopped");
        std::fs::write(&stopped, format!("#!/bin/sh\nexec {} -S \"$@\"\n", qemu.program.display())).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&stopped, std::fs::Permissions::from_mode(0o755)).unwrap();
        let stopped = Qemu { program: stopped, ..qemu };
        assert!(stopped.try_out(folder.path(), Duration::from_millis(500)).is_err());
    }
}
