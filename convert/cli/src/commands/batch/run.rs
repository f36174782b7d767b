//! `rehome batch run`

use super::destinations::Destinations;
use super::pages;
use super::show::Show;
use super::source::{self, Source};
use super::status::status_text;
use super::watch::{InFolders, Watch};
use crate::args::{BatchRunArgs, ProgressKind};
use crate::limits;
use crate::output::{Printer, safe, to_stderr};
use convert_batch::{
    Batch, BatchInfo, Budget, ChildRunner, Limits, RunOptions, Shard, StateFolder, Status, Summary,
};
use convert_engine::Control;
use format_core::{Error, ErrorKind, Result};
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    status: Status,
    already_done: usize,
    read_bytes: u64,
    seconds: f64,
    interrupted: bool,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

pub(super) fn run(
    args: &BatchRunArgs,
    printer: &Printer,
    progress: ProgressKind,
    threads: Option<u8>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let source = source::read(args, printer)?;
    let output = output_of(args, &source)?;
    // The children are told where their leases are; they have the same working directory.
    let state = args.state.clone().unwrap_or_else(|| output.join(StateFolder::NAME));
    let state = std::path::absolute(&state).unwrap_or(state);
    let destinations = Destinations::new(kept(&source, &state), interrupted);
    destinations.refuse_state(&source.tasks, &state)?;
    let run = Run { args, source: &source, output, state, threads, progress };
    let done = destinations
        .enter_all(&source.tasks)
        .and_then(|()| destinations.check_root(&source.tasks, &run.output))
        .and_then(|()| run_connected(&run, &destinations, interrupted));
    let disconnected = destinations.leave_all(&source.tasks);
    let code = tell(&done?, args, printer)?;
    disconnected.map(|()| code)
}

/// What has to stay within reach.
fn kept(source: &Source, state: &Path) -> Vec<PathBuf> {
    vec![source.name.clone(), state.to_owned()]
}

/// A batch whose destinations are there.
struct Run<'a> {
    args: &'a BatchRunArgs,
    source: &'a Source,
    output: PathBuf,
    state: PathBuf,
    threads: Option<u8>,
    progress: ProgressKind,
}

/// A file that is written again and again must not be somebody else's: neither a source nor the job file is meant.
fn own_or_new(path: Option<&Path>, begins: &[u8]) -> Result<()> {
    let Some(path) = path.filter(|path| path.metadata().is_ok_and(|found| found.is_file())) else {
        return Ok(());
    };
    let mut head = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut head));
    let read = read.map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
    if read == 0 || head.starts_with(begins) {
        return Ok(());
    }
    let text = format!("{} is no file that an earlier run wrote", path.display());
    Err(Error::new(ErrorKind::Destination, text).hint("choose another name: it would be replaced"))
}

/// What came of it, and where the report is.
struct Done {
    summary: Summary,
    state: PathBuf,
    report: Result<PathBuf>,
}

fn run_connected(
    run: &Run<'_>,
    destinations: &Destinations<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Done> {
    let (args, source) = (run.args, run.source);
    own_or_new(args.metrics.as_deref(), b"# HELP rehome_")?;
    own_or_new(args.status_file.as_deref(), b"{")?;
    let options = options(run)?;
    let of_file = &source.batch;
    let budget = Budget {
        memory: limits::max_memory().or(of_file.memory.map(|size| size.0)),
        rate: args.rate_limit.or(of_file.rate_limit.map(|size| size.0)),
        threads: Some(run.threads.map_or_else(Control::default_threads, usize::from)),
    };
    let program = std::env::current_exe().map_err(|e| Error::io("cannot find this program's own file", e))?;
    let children = ChildRunner {
        program: program.clone(),
        global: ["--output", "json", "--progress", "json"]
            .into_iter()
            .chain(crate::sandbox::for_children())
            .map(Into::into)
            .collect(),
        share: budget.share(options.limits.jobs.min(source.tasks.len()))?,
    };
    let show = Show::new(if args.quiet { ProgressKind::None } else { run.progress }, source.tasks.len());
    let watch = Watch { show: &show, state: &options.state, program: &program, bundle: Mutex::default() };
    let batch = Batch {
        info: info(source),
        tasks: &source.tasks,
        options: &options,
        runner: &InFolders { children, folders: &source.folders },
        isolation: Some(destinations),
        watcher: &watch,
        stop: interrupted,
    };
    let summary = batch.run();
    show.end();
    watch.finish();
    let summary = summary?;
    let report = StateFolder::open(&options.state)
        .and_then(|folder| pages::write(&folder, pages::make(&folder, &summary.state)));
    Ok(Done { summary, state: options.state, report })
}

fn tell(done: &Done, args: &BatchRunArgs, printer: &Printer) -> Result<ExitCode> {
    let summary = &done.summary;
    let code = summary.exit_code;
    let report = match &done.report {
        Ok(path) => Some(path.with_extension("html").display().to_string()),
        // The jobs are what counts.
        Err(error) => {
            printer.warning(&format!("no report was written: {error}"), "batch-report");
            None
        }
    };
    let outcome = Outcome {
        status: Status { exit_code: code, ..Status::of(&summary.state) },
        already_done: summary.already_done,
        read_bytes: summary.bytes,
        seconds: summary.seconds,
        interrupted: summary.interrupted,
        state: done.state.display().to_string(),
        report,
    };
    if code == 0 && args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = status_text(&summary.state);
    if let Some(report) = &outcome.report {
        text.push_str(&format!("\nreport: {}\n", safe(report)));
    }
    if args.quiet {
        to_stderr(text.trim_end());
    } else {
        printer.result(&outcome, |_| text)?;
    }
    Ok(ExitCode::from(code))
}

fn info(source: &Source) -> BatchInfo {
    let started = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    BatchInfo {
        id: format!("{}-{}", started.replace([':', '-', '.'], ""), std::process::id()),
        job_file: source.name.display().to_string(),
        job_file_hash: source.hash.clone(),
        started,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn output_of(args: &BatchRunArgs, source: &Source) -> Result<PathBuf> {
    args.output_dir.clone().or_else(|| source.output.clone()).ok_or_else(|| {
        Error::usage("nothing says where the outputs go").hint("name the folder with --output-dir")
    })
}

fn options(run: &Run<'_>) -> Result<RunOptions> {
    let (args, of_file, output) = (run.args, &run.source.batch, &run.output);
    if !output.is_dir() {
        let text = format!("the folder of the outputs, {}, is not there", output.display());
        return Err(
            Error::new(ErrorKind::Destination, text).hint("create the folder first, or mount its volume")
        );
    }
    let shard = args.shard.as_deref();
    let variable = |name: &str| std::env::var(name).ok();
    let most =
        |flag: Option<u16>, file: Option<u32>| flag.map(usize::from).or(file.map(|most| most as usize));
    Ok(RunOptions {
        limits: Limits {
            jobs: most(args.jobs, of_file.jobs).unwrap_or(2),
            per_source: most(args.max_per_source, of_file.max_per_source),
            per_target: most(args.max_per_target, of_file.max_per_target),
        },
        retries: args.retries.or(of_file.retries).unwrap_or(2),
        backoff: Duration::from_secs_f64(args.retry_wait),
        max_failures: args.max_failures.or(of_file.max_failures).map(|most| most as usize),
        shard: shard.map(|text| Shard::parse(text, variable)).transpose()?,
        lease_ttl: Duration::from_secs(args.takeover_after.into()),
        redo_changed: args.redo_changed,
        metrics: args.metrics.clone(),
        status_file: args.status_file.clone(),
        output: output.clone(),
        state: run.state.clone(),
    })
}
