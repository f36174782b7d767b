//! The command line: arguments become requests, outcomes become text or JSON and an exit code.
//!
//! stdout carries data (tables, JSON, digests), stderr everything else.

mod archive;
mod args;
mod claims;
mod commands;
mod container;
mod evidence;
mod extract;
mod limits;
mod output;
mod parent;
mod progress;
mod remotes;
mod rescue;
mod sandbox;
mod source;
mod spool;
mod stdin;
mod throttle;

use args::{Cli, Command};
use clap::Parser;
use output::Printer;
use progress::Progress;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The whole command line as a value, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::not_understood(&error, std::env::args_os()),
    };
    let mut printer = Printer::new(cli.output);
    if let Command::Convert(args) | Command::Flatten(args) = &cli.command
        && commands::convert::is_pipe(&args.target)
    {
        // The image has stdout for itself.
        printer = printer.on_stderr();
    }
    match run(cli, &printer) {
        Ok(code) => code,
        Err(error) => printer.error(&error),
    }
}

fn run(cli: Cli, printer: &Printer) -> format_core::Result<ExitCode> {
    parent::end_with_it()?;
    sandbox::enter(&cli);
    limits::watch(&cli, printer)?;
    // Whose job this is, before anything else can change it.
    format_core::Fence::of_process()?;
    let interrupted = stop_on_signals()?;
    if let Command::Batch(args) = &cli.command {
        return commands::batch::run(args, printer, cli.progress, cli.threads, &interrupted);
    }
    let bar_wanted =
        matches!(&cli.command, Command::Convert(args) | Command::Flatten(args) if args.progress_bar);
    let progress = Arc::new(Progress::new(cli.progress, bar_wanted));
    spool::watch(Arc::clone(&progress), Arc::clone(&interrupted));
    let speed = throttle::speed_of(&cli.command);
    let threads = throttle::threads(cli.threads)?;
    let throttled = throttle::Throttled::new(progress.as_ref(), speed, &interrupted);
    let control = convert_engine::Control { observer: &throttled, interrupted: &interrupted, threads };
    let evidence = evidence::Evidence::begin(&cli, control)?;
    let done = dispatch(cli.command, printer, control, &progress, &interrupted);
    match evidence {
        Some(evidence) => evidence.end(done),
        None => done,
    }
}

fn dispatch(
    command: Command,
    printer: &Printer,
    control: convert_engine::Control<'_>,
    progress: &Progress,
    interrupted: &Arc<AtomicBool>,
) -> format_core::Result<ExitCode> {
    match command {
        Command::Inspect(args) => commands::inspect::run(&args, printer),
        Command::Convert(args) => commands::convert::run(&args, printer, control, interrupted),
        Command::Migrate(args) => commands::migrate::run(&args, printer, control, progress),
        Command::Capture(args) => commands::capture::run(&args, printer, control, progress),
        Command::Cutover(args) => commands::cutover::run(&args, printer, control, progress),
        Command::Agent(args) => commands::agent::run(&args.command, interrupted),
        Command::BootTest(args) => commands::boot_test::run(&args, printer, progress, interrupted),
        // It has no progress and no evidence of its own: its jobs have.
        Command::Batch(_) => Err(format_core::Error::contract("a batch begins before all else")),
        Command::Flatten(args) => commands::convert::run(&args, printer, control, interrupted),
        Command::Delta(args) => commands::delta::run(&args, printer, control),
        Command::Create(args) => commands::create::run(&args, printer),
        Command::Info(args) => commands::info::run(&args, printer),
        Command::Chain(args) => commands::chain::run(&args, printer, control),
        Command::Consolidate(args) => commands::consolidate::run(&args, printer, control),
        Command::Map(args) => commands::map::run(&args, printer),
        Command::Measure(args) => commands::measure::run(&args, printer, control),
        Command::Check(args) => commands::check::run(&args, printer, control),
        Command::Verify(args) => commands::verify::run(&args, printer, control),
        Command::Compare(args) => commands::compare::run(&args, printer, control),
        Command::Diff(args) => commands::diff::run(&args, printer, control),
        Command::Digest(args) => commands::digest::run(&args, printer, control),
        Command::Serve(args) => commands::serve::run(&args, printer, interrupted),
        Command::Mount(args) => commands::mount::run(&args, printer, interrupted),
        Command::Ls(args) => commands::ls::run(&args, printer),
        Command::Cat(args) => commands::cat::run(&args, printer),
        Command::CpOut(args) => commands::cp_out::run(&args, printer, interrupted),
        Command::Destination(args) => commands::destination::run(&args, printer, interrupted),
        Command::Report(args) => commands::report::run(&args, printer),
        Command::Doctor(args) => commands::doctor::run(&args, printer),
        Command::Explain(args) => commands::explain::run(&args, printer),
        Command::SupportBundle(args) => commands::support::run(&args, printer),
        Command::Formats => commands::formats::run(printer),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

/// The first SIGINT or SIGTERM asks the work to stop cleanly, the second ends the process at once.
fn stop_on_signals() -> format_core::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let twice = signal_hook::flag::register_conditional_shutdown(signal, 75, Arc::clone(&interrupted));
        let once = signal_hook::flag::register(signal, Arc::clone(&interrupted));
        twice.and(once).map_err(|e| format_core::Error::io("cannot watch for signals", e))?;
    }
    // A limit on the size of files then fails the write, which says so; else it would kill the process without a word.
    let beyond = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, beyond)
        .map_err(|e| format_core::Error::io("cannot watch for signals", e))?;
    Ok(interrupted)
}
