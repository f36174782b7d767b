//! `rehome batch`

mod report;
mod retry;
mod run;
mod show;
mod status;

use crate::args::{BatchArgs, BatchCommand, ProgressKind};
use crate::output::Printer;
use format_core::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) fn run(
    args: &BatchArgs,
    printer: &Printer,
    progress: ProgressKind,
    threads: Option<u8>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    match &args.command {
        BatchCommand::Run(args) => run::run(args, printer, progress, threads, interrupted),
        BatchCommand::Status(args) => status::run(args, printer),
        BatchCommand::Retry(args) => retry::run(args, printer),
        BatchCommand::Report(args) => report::run(args, printer),
    }
}
