//! `rehome batch report`

use super::pages;
use crate::args::BatchReportArgs;
use crate::output::{Printer, safe};
use convert_batch::StateFolder;
use convert_report::{Report, text};
use format_core::Result;
use std::process::ExitCode;

pub(super) fn run(args: &BatchReportArgs, printer: &Printer) -> Result<ExitCode> {
    let folder = StateFolder::open(&args.state.state)?;
    let report = pages::make(&folder, &folder.load()?);
    let shown = Report::Batch(Box::new(report.clone()));
    let path = pages::write(&folder, report)?;
    let signature = args.sign.as_deref().map(|key| pages::sign(&path, key)).transpose()?;
    printer.result(&shown, |report| {
        let mut lines = match report {
            Report::Batch(batch) => text::batch(batch),
            Report::Job(job) => text::job(job),
        };
        let page = path.with_extension("html");
        lines.push_str(&format!("\nreport: {}\n", safe(&page.display().to_string())));
        if let Some(signature) = &signature {
            lines.push_str(&format!("signature: {}\n", safe(&signature.display().to_string())));
        }
        lines
    })?;
    Ok(ExitCode::SUCCESS)
}
