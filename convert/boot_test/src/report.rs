//! What came of a boot test, and the files that show it.

use crate::qemu::Accelerator;
use driver_core::Firmware;
use format_core::{Error, ErrorKind, FileTarget, Result, TargetStorage};
use serde::Serialize;
use std::path::Path;

/// What a boot test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The guest came up: it asks for a login, or says that it reached its usual state.
    Passed,
    /// Something shows that it will not.
    Failed,
    /// Neither was seen in time. A person has to look at the screen.
    Undecided,
}

/// The report, as it is saved as [`REPORT`].
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program and version.
    pub tool: &'static str,
    /// What was found.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: Option<&'static str>,
    /// What it means, for people.
    pub about: &'static str,
    /// Where it was seen: `serial`, `screen`, `events` or `guest`.
    pub place: Option<&'static str>,
    /// What was seen there.
    pub line: Option<String>,
    /// From the start to the verdict, in seconds.
    pub seconds: f64,
    /// The time limit, in seconds.
    pub limit_seconds: u64,
    /// The target's id.
    pub target: &'static str,
    /// For people.
    pub target_name: &'static str,
    /// How the guest was started.
    pub firmware: Firmware,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// What it was started on; absent when nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineReport>,
    /// How that differs from the target, a sentence each.
    pub differences: Vec<String>,
    /// How often the guest started over.
    pub reboots: u32,
    /// What else was seen, for verdicts that a person has to make.
    pub observations: Vec<String>,
    /// The last lines of the serial console.
    pub console: Vec<String>,
    /// The last lines on the screen, where it could be read.
    pub screen: Vec<String>,
    /// The files that show it, relative to their folder.
    pub files: Vec<String>,
}

/// What a guest was started on.
#[derive(Clone, Debug, Serialize)]
pub struct MachineReport {
    /// QEMU's version.
    pub qemu: String,
    /// Who ran its instructions.
    pub accelerator: Accelerator,
    /// QEMU's board: `pc` or `q35`.
    pub board: &'static str,
    /// The disks' controller.
    pub controller: &'static str,
    /// Whether it is the target's own kind of controller.
    pub is_targets_own: bool,
    /// The network adapter, where there is one.
    pub adapter: Option<&'static str>,
    /// The screen.
    pub screen: &'static str,
    /// QEMU's arguments; paths without a folder are of a private one that is gone.
    pub command_line: Vec<String>,
}

/// A report with its evidence.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was found.
    pub report: Report,
    /// What the guest wrote on its serial console, control sequences as they came; the first 4 MiB.
    pub serial: Vec<u8>,
    /// Its last screen as a PNG file.
    pub screen: Option<Vec<u8>>,
}

/// Name of the report in the folder of the evidence.
pub const REPORT: &str = "boot-test.json";
const SERIAL: &str = "serial.log";
const SCREEN: &str = "screen.png";

impl Outcome {
    /// Makes sure that [`Outcome::save`] will find a place, before a guest is started: `folder` is missing, empty, or may be replaced.
    ///
    /// # Errors
    /// `Destination` when it holds something.
    pub fn check_folder(folder: &Path, replace: bool) -> Result<()> {
        let mut taken = [REPORT, SERIAL, SCREEN].iter().map(|name| folder.join(name));
        match taken.find(|path| path.symlink_metadata().is_ok()) {
            Some(path) if !replace => {
                let text = format!("{} already exists", path.display());
                Err(Error::new(ErrorKind::Destination, text)
                    .hint("choose another --out, or --force to replace it"))
            }
            _ => Ok(()),
        }
    }

    /// Writes report, serial log and screen into `folder`, which is made when only its last part is missing; files of the same names are
    /// replaced.
    ///
    /// # Errors
    /// `Destination` when the folder cannot be made; what writing reports.
    pub fn save(&mut self, folder: &Path) -> Result<()> {
        if !folder.is_dir() {
            std::fs::create_dir(folder).map_err(|e| {
                let text = format!("cannot create the folder {}", folder.display());
                Error::io(text, e).with_kind(ErrorKind::Destination)
            })?;
        }
        let mut files: Vec<(&str, &[u8])> = vec![(SERIAL, &self.serial)];
        files.extend(self.screen.as_deref().map(|screen| (SCREEN, screen)));
        self.report.files =
            files.iter().map(|(name, _)| (*name).to_owned()).chain([REPORT.to_owned()]).collect();
        for (name, content) in &files {
            write(&folder.join(name), content)?;
        }
        if self.screen.is_none() {
            // A screen of an earlier test would be taken for this one's.
            let _ = std::fs::remove_file(folder.join(SCREEN));
        }
        let json = serde_json::to_string_pretty(&self.report)
            .map_err(|e| Error::contract("the report as JSON").with_source(e))?;
        write(&folder.join(REPORT), (format_core::printable_json(&json) + "\n").as_bytes())
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let file = Box::new(FileTarget::create(path, true)?);
    file.write_all_at(0, content)?;
    file.commit()
}
