//! `rehome batch`

mod destinations;
mod log;
mod maps;
mod pages;
mod report;
mod retry;
mod run;
mod show;
mod source;
mod status;
mod watch;

use crate::args::{BatchArgs, BatchCommand, ProgressKind};
use crate::commands::batch_file::{check, emit, plan, schema};
use crate::output::Printer;
use convert_engine::{Control, Silent};
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
        BatchCommand::Schema => schema::run(),
        BatchCommand::Plan(args) => plan::run(args, printer),
        BatchCommand::Check(args) => {
            let threads = threads.map_or_else(Control::default_threads, usize::from);
            check::run(args, printer, Control { observer: &Silent, interrupted, threads })
        }
        BatchCommand::Emit(args) => emit::run(args),
    }
}
