//! The report: everything that was found, decided, done and proven.

use crate::choose::Choice;
use crate::editor::EditorReport;
use crate::network::AdapterReport;
use crate::wrap::Wrapping;
use driver_core::{Edit, Guest, PlannedFixup};
use driver_machine::{Machine, Warning};
use format_core::{Error, FileTarget, Result, TargetStorage, printable_json};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A migration as data; printed by the command line and saved as `NAME.report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct MigrateReport {
    /// The program and version.
    pub tool: &'static str,
    /// `planned` (dry run), `blocked` or `done`.
    pub outcome: &'static str,
    /// What stands in the way when it is blocked.
    pub obstacles: Vec<String>,
    /// The target and why.
    pub choice: Choice,
    /// The guest's facts.
    pub guest: Guest,
    /// Who edited the guest, and why.
    pub editor: EditorReport,
    /// What opening the file systems changed (journal replay), one sentence each.
    pub replays: Vec<String>,
    /// Every fixup that was considered.
    pub fixups: Vec<PlannedFixup>,
    /// Every edit, in order.
    pub edits: Vec<EditReport>,
    /// The machine that is defined on the target.
    pub machine: Machine,
    /// Its network adapters, before and after.
    pub adapters: Vec<AdapterReport>,
    /// The disks.
    pub disks: Vec<DiskReport>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// The file that holds definition and images, where they are in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The files that were written, relative to the output folder.
    pub files: Vec<String>,
    /// Where they are.
    #[serde(serialize_with = "as_text")]
    pub out: PathBuf,
    /// What was seen when the written images were booted, where that was asked for: the boot test's own report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_test: Option<serde_json::Value>,
    /// How the run was confined.
    pub sandbox: convert_sandbox::Sandbox,
    /// What to do next.
    pub next_step: String,
}

/// What the name of a saved report ends with.
const REPORT_SUFFIX: &str = ".report.json";

impl MigrateReport {
    /// What the names of the machine's files begin with, once they are written.
    #[must_use]
    pub fn file_stem(&self) -> &str {
        let mut stems = self.files.iter().filter_map(|file| file.strip_suffix(REPORT_SUFFIX));
        stems.next_back().unwrap_or(&self.machine.name)
    }

    /// Writes the report again, when something was added after the migration.
    ///
    /// # Errors
    /// What writing a file reports.
    pub fn save(&self) -> Result<()> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| Error::contract("the report as JSON").with_source(e))?;
        let json = printable_json(&json) + "\n";
        let path = self.out.join(format!("{}{REPORT_SUFFIX}", self.file_stem()));
        let file = Box::new(FileTarget::create(&path, true)?);
        file.write_all_at(0, json.as_bytes())?;
        file.commit()
    }
}

/// One edit, without the contents that it carries: an initramfs before and after is more than the report needs.
#[derive(Clone, Debug, Serialize)]
pub struct EditReport {
    /// The path in the guest.
    pub path: String,
    /// What happens to it, in a word ([`Edit::verb`]).
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// The change for people ([`Edit::describe`]).
    pub detail: String,
}

impl EditReport {
    pub(crate) fn of(edit: &Edit) -> Self {
        Self {
            path: edit.path.clone(),
            action: edit.verb(),
            reason: edit.reason.clone(),
            detail: edit.describe(),
        }
    }
}

/// One disk of the report.
#[derive(Clone, Debug, Serialize)]
pub struct DiskReport {
    /// The source's chain, top first.
    pub source: Vec<ChainFile>,
    /// Size of the target's disk in bytes.
    pub virtual_size: u64,
    /// How the source's disk was put behind a partition table, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<Wrapping>,
    /// File name of the image that is or will be written.
    pub file: String,
    /// Its format.
    pub format: &'static str,
    /// Digest of the written disk.
    pub digest: Option<String>,
    /// Digest of the source's disk.
    pub source_digest: Option<String>,
    /// Bytes of data that were read.
    pub data_bytes: Option<u64>,
    /// Size of the image file in bytes.
    pub file_size: Option<u64>,
    /// 4 MiB blocks that differ from the source; all of them were planned.
    pub differing_blocks: Option<u64>,
    /// Guest ranges that fixups wrote: offset and length in bytes.
    pub changed: Vec<(u64, u64)>,
}

/// Names that are no text are written with signs in the place of what is none: JSON has only text.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// One file of a source's chain.
#[derive(Clone, Debug, Serialize)]
pub struct ChainFile {
    /// Where it lies.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// Size of the file in bytes.
    pub file_size: u64,
}
