//! What a user can send after trying a migrated Windows: which Windows went where, and what was done to it. Nothing in it names the
//! machine, its owner, its addresses or its files.

use crate::report::MigrateReport;
use driver_core::Status;
use format_core::{Error, ErrorKind, Result};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

#[derive(Serialize)]
struct Feedback<'a> {
    tool: &'static str,
    /// What to do with the file.
    please: &'static str,
    outcome: &'static str,
    target: &'static str,
    definition: &'static str,
    secure_boot: bool,
    /// The platform that the guest came from, as far as it is known.
    source: Option<&'static str>,
    system: Option<System<'a>>,
    boot_drivers: &'a [String],
    fixups: Vec<Done>,
    warnings: Vec<&'static str>,
    result: Answers,
}

#[derive(Serialize)]
struct System<'a> {
    name: &'a str,
    version: &'a str,
    revision: Option<u32>,
    edition: Option<&'a str>,
    installation: Option<&'a str>,
    arch: Option<&'a str>,
}

#[derive(Serialize)]
struct Done {
    id: &'static str,
    status: Status,
    edits: usize,
}

/// For the user to fill in.
#[derive(Serialize)]
struct Answers {
    started: Option<bool>,
    stop_code: Option<String>,
    network: Option<bool>,
    first_boot_log: Option<String>,
    remarks: &'static str,
}

/// Writes the file for a report.
///
/// # Errors
/// `Destination` when there is such a file, or it cannot be written.
pub fn write_feedback(path: &Path, report: &MigrateReport) -> Result<()> {
    let os = report.guest.os.as_ref();
    let windows = report.guest.windows.as_ref();
    let system = os.map(|os| System {
        name: &os.name,
        version: &os.version,
        revision: windows.and_then(|windows| windows.revision),
        edition: windows.and_then(|windows| windows.edition.as_deref()),
        installation: windows.and_then(|windows| windows.installation.as_deref()),
        arch: os.arch.as_deref(),
    });
    let done =
        report.fixups.iter().map(|fixup| Done { id: fixup.id, status: fixup.status, edits: fixup.edits });
    let feedback = Feedback {
        tool: report.tool,
        please: "try the machine, fill in \"result\", read the file through, and attach it to an issue of the project",
        outcome: report.outcome,
        target: report.choice.target.id,
        definition: report.choice.definition.id,
        secure_boot: report.choice.secure_boot,
        source: report.guest.source.platform.map(driver_core::Platform::name),
        system,
        boot_drivers: windows.map(|windows| windows.boot_drivers.as_slice()).unwrap_or_default(),
        fixups: done.collect(),
        warnings: report.warnings.iter().map(|warning| warning.code).collect(),
        result: Answers { started: None, stop_code: None, network: None, first_boot_log: None, remarks: "" },
    };
    let text =
        serde_json::to_vec_pretty(&feedback).map_err(|e| Error::contract("feedback").with_source(e))?;
    let failed = |e: std::io::Error| {
        let text = format!("cannot write {}: {e}", path.display());
        Error::new(ErrorKind::Destination, text)
            .hint("name a new file in a folder that is there with --collect-feedback")
    };
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.write_all(b"\n")).map_err(failed)
}
