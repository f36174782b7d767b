//! `rehome report`

use crate::args::{ReportAction, ReportArgs, ReportFormat, ShowReportArgs, SignReportArgs, VerifyReportArgs};
use crate::output::{Printer, counted, safe, to_stdout};
use convert_report::signature::{SignatureState, Trust, Verification};
use convert_report::{Evidence, FileState, JobReport, MOST_CELLS, Report, allocation, files_of_outcome};
use format_core::{Error, ErrorKind, FileTarget, Result, TargetStorage, printable_lines};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Reports, logs and maps are small; what is larger is something else.
const MOST: u64 = 512 << 20;

pub(crate) fn run(args: &ReportArgs, printer: &Printer) -> Result<ExitCode> {
    match &args.action {
        ReportAction::Show(args) => show(args, printer),
        ReportAction::Sign(args) => sign(args, printer),
        ReportAction::Verify(args) => verify(args, printer),
        ReportAction::Schema => to_stdout(&format!("{:#}\n", Report::schema())).map(|()| ExitCode::SUCCESS),
    }
}

fn show(args: &ShowReportArgs, printer: &Printer) -> Result<ExitCode> {
    let json = read(&args.report)?;
    let name = args.report.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".report.json", ".outcome.json", ".json"].iter().find_map(|end| name.strip_suffix(end));
    let mut report = Report::parse(&json, stem.unwrap_or(&name))
        .map_err(|e| e.context(format!("read {}", args.report.display())))?;
    let beside = args.out.as_deref().unwrap_or(&args.report);
    match &mut report {
        Report::Job(job) => {
            name_files(job, &args.report, &json, folder_of(beside), printer)?;
            add_records(job, args)?;
        }
        Report::Batch(_)
            if args.log.is_some() || !args.map_before.is_empty() || !args.map_after.is_empty() =>
        {
            return Err(Error::usage("--log and maps belong to the report of one job"));
        }
        Report::Batch(_) => {}
    }
    let format =
        args.format.unwrap_or(if printer.is_json() { ReportFormat::Json } else { ReportFormat::Text });
    let folder = folder_of(&args.report);
    let text = match (format, &report) {
        (ReportFormat::Json, report) => report.to_json()?,
        (ReportFormat::Html, Report::Job(job)) => convert_report::html::job(job, folder),
        (ReportFormat::Html, Report::Batch(batch)) => convert_report::html::batch(batch, folder),
        (ReportFormat::Text, Report::Job(job)) => convert_report::text::job(job),
        (ReportFormat::Text, Report::Batch(batch)) => convert_report::text::batch(batch),
    };
    match &args.out {
        Some(path) => write(path, args.force, text.as_bytes())?,
        None => to_stdout(&printable_lines(&text))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A report that is made of an outcome names the outcome and the files that it tells of, as seen from its own folder.
fn name_files(job: &mut JobReport, path: &Path, json: &[u8], folder: &Path, printer: &Printer) -> Result<()> {
    let outcome: Value = serde_json::from_slice(json)
        .map_err(|e| Error::corrupt(format!("{} is no JSON document", path.display())).with_source(e))?;
    if outcome.get("report").is_some() {
        return Ok(());
    }
    let mut files = files_of_outcome(&outcome);
    let same =
        |other: &PathBuf| matches!((other.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if !files.iter().any(same) {
        files.push(path.to_owned());
    }
    for file in files {
        match Evidence::of(folder, &file) {
            Ok(found) => job.evidence.push(found),
            Err(error) if error.kind() == ErrorKind::SourceMissing => {
                printer.warning(
                    &format!("{} is not there, so the report does not cover it", file.display()),
                    "report-file-missing",
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the operator gives besides: the log, and the maps of the disks.
fn add_records(job: &mut JobReport, args: &ShowReportArgs) -> Result<()> {
    if let Some(path) = &args.log {
        job.read_log(&String::from_utf8_lossy(&read(path)?));
    }
    let most = args.map_before.len().max(args.map_after.len());
    if most > job.disks.len() {
        return Err(Error::usage(format!(
            "{most} maps are given, and the report has {}",
            counted(job.disks.len() as u64, "disk")
        )));
    }
    for (disk, path) in job.disks.iter_mut().zip(&args.map_before) {
        disk.before = Some(map(path)?);
    }
    for (disk, path) in job.disks.iter_mut().zip(&args.map_after) {
        disk.after = Some(map(path)?);
    }
    Ok(())
}

fn map(path: &Path) -> Result<convert_report::Allocation> {
    let not_one = || {
        Error::corrupt(format!("{} is not the map of a disk", path.display()))
            .hint("make one with 'rehome map IMAGE --output json'")
    };
    let map: Value = serde_json::from_slice(&read(path)?).map_err(|e| not_one().with_source(e))?;
    allocation(&map, MOST_CELLS).ok_or_else(not_one)
}

fn sign(args: &SignReportArgs, printer: &Printer) -> Result<ExitCode> {
    let signed = convert_report::signature::sign(&args.report, &args.key, args.force)?;
    printer.result(&signed, |signed| {
        let key = signed.key.as_ref().map(|key| format!(" with the key {}", safe(key))).unwrap_or_default();
        format!("signed{key}: {}\n", safe(&signed.signature.display().to_string()))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &VerifyReportArgs, printer: &Printer) -> Result<ExitCode> {
    let trust = match (&args.signers, &args.public_key) {
        (Some(signers), _) => Trust::Signers(signers),
        (None, Some(key)) => Trust::Key(key),
        (None, None) => Trust::Nobody,
    };
    let found = convert_report::signature::verify(&args.report, args.signature.as_deref(), trust)?;
    printer.result(&found, human)?;
    Ok(ExitCode::from(u8::from(!found.ok)))
}

fn human(found: &Verification) -> String {
    let word = match (found.ok, found.signature) {
        (true, SignatureState::IntegrityOnly) => "UNCHANGED, signer not checked",
        (true, _) => "GOOD",
        (false, _) => "NOT GOOD",
    };
    let mut text = format!("{word}: {}\n", safe(&found.says));
    let same = found.files.iter().filter(|file| file.state == FileState::Same).count();
    if same > 0 {
        text.push_str(&format!("  {} as the report says\n", counted(same as u64, "file")));
    }
    for file in found.files.iter().filter(|file| file.state != FileState::Same) {
        let what = match file.state {
            FileState::Missing => "is missing",
            FileState::Unreadable => "cannot be read",
            FileState::Changed | FileState::Same => "is not what the report says",
        };
        text.push_str(&format!("  {} {what}\n", safe(&file.path)));
    }
    text
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    format_core::read_small_file(path, MOST)
}

fn write(path: &Path, replace: bool, content: &[u8]) -> Result<()> {
    let named = |e: Error| e.context(format!("write {}", path.display()));
    let file = Box::new(FileTarget::create(path, replace).map_err(named)?);
    file.write_all_at(0, content)?;
    file.commit()
}
