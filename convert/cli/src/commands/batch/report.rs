//! `rehome batch report`

use crate::args::BatchReportArgs;
use crate::commands::batch::status::status_text;
use crate::output::Printer;
use convert_batch::StateFolder;
use format_core::Result;
use std::process::ExitCode;

pub(super) fn run(args: &BatchReportArgs, printer: &Printer) -> Result<ExitCode> {
    let state = StateFolder::open(&args.state.state)?.load()?;
    printer.result(&state, status_text)?;
    Ok(ExitCode::SUCCESS)
}
