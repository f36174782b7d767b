//! `rehome batch run`

use super::show::Show;
use super::status::status_text;
use crate::args::{BatchRunArgs, ProgressKind};
use crate::output::{Printer, to_stderr};
use convert_batch::{
    Batch, BatchInfo, Budget, ChildRunner, Limits, RunOptions, Shard, StateFolder, Status, Summary, Task,
    parse_tasks,
};
use convert_engine::Control;
use format_core::{Error, ErrorKind, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

/// A batch that was read: from a job file, or as resolved jobs.
pub(super) struct Resolved {
    pub(super) tasks: Vec<Task>,
    /// What the operator named.
    pub(super) name: PathBuf,
    /// BLAKE3 of it.
    pub(super) hash: String,
    /// Where the outputs go, if it says so.
    pub(super) output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    status: Status,
    already_done: usize,
    read_bytes: u64,
    seconds: f64,
    interrupted: bool,
    state: String,
}

pub(super) fn run(
    args: &BatchRunArgs,
    printer: &Printer,
    progress: ProgressKind,
    threads: Option<u8>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let resolved = resolve(args)?;
    let options = options(args, &resolved)?;
    let budget = Budget {
        memory: args.max_memory,
        rate: args.rate_limit,
        threads: Some(threads.map_or_else(Control::default_threads, usize::from)),
    };
    let runner = ChildRunner {
        program: std::env::current_exe().map_err(|e| Error::io("cannot find this program's own file", e))?,
        global: ["--output", "json", "--progress", "json"].map(Into::into).into(),
        share: budget.share(options.limits.jobs.min(resolved.tasks.len()))?,
    };
    let show = Show::new(if args.quiet { ProgressKind::None } else { progress }, resolved.tasks.len());
    let batch = Batch {
        info: info(&resolved),
        tasks: &resolved.tasks,
        options: &options,
        runner: &runner,
        isolation: None,
        watcher: &show,
        stop: interrupted,
    };
    let summary = batch.run();
    show.end();
    tell(&summary?, args, &options, printer)
}

fn tell(summary: &Summary, args: &BatchRunArgs, options: &RunOptions, printer: &Printer) -> Result<ExitCode> {
    let code = summary.exit_code;
    let outcome = Outcome {
        status: Status { exit_code: code, ..Status::of(&summary.state) },
        already_done: summary.already_done,
        read_bytes: summary.bytes,
        seconds: summary.seconds,
        interrupted: summary.interrupted,
        state: options.state.display().to_string(),
    };
    if code == 0 && args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    if args.quiet {
        to_stderr(status_text(&summary.state).trim_end());
    } else {
        printer.result(&outcome, |_| status_text(&summary.state))?;
    }
    Ok(ExitCode::from(code))
}

fn info(resolved: &Resolved) -> BatchInfo {
    let started = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    BatchInfo {
        id: format!("{}-{}", started.replace([':', '-', '.'], ""), std::process::id()),
        job_file: resolved.name.display().to_string(),
        job_file_hash: resolved.hash.clone(),
        started,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn resolve(args: &BatchRunArgs) -> Result<Resolved> {
    if let Some(path) = &args.source.tasks {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
        let tasks = parse_tasks(&text).map_err(|e| e.context(path.display().to_string()))?;
        let hash = convert_engine::digest_of_bytes(text.as_bytes()).to_hex().to_string();
        let output = common_folder(&tasks);
        return Ok(Resolved { tasks, name: path.clone(), hash, output });
    }
    Err(Error::unsupported("job files are not read by this build").hint("name resolved jobs with --tasks"))
}

/// The folder that all outputs share.
fn common_folder(tasks: &[Task]) -> Option<PathBuf> {
    let folders = tasks.iter().flat_map(|task| &task.outputs).filter_map(|path| path.parent());
    let common = |one: PathBuf, other: &Path| {
        let same = one.components().zip(other.components()).take_while(|(a, b)| a == b);
        same.map(|(a, _)| a).collect()
    };
    let mut folders = folders;
    let first = folders.next()?.to_owned();
    let found: PathBuf = folders.fold(first, common);
    Some(if found.as_os_str().is_empty() { ".".into() } else { found })
}

fn options(args: &BatchRunArgs, resolved: &Resolved) -> Result<RunOptions> {
    let output = args.output_dir.clone().or_else(|| resolved.output.clone());
    let output = output.ok_or_else(|| {
        Error::usage("nothing says where the outputs go").hint("name the folder with --output-dir")
    })?;
    if !output.is_dir() {
        let text = format!("the folder of the outputs, {}, is not there", output.display());
        return Err(
            Error::new(ErrorKind::Destination, text).hint("create the folder first, or mount its volume")
        );
    }
    // The children are told where their leases are; they have the same working directory.
    let state = args.state.clone().unwrap_or_else(|| output.join(StateFolder::NAME));
    let shard = args.shard.as_deref();
    let variable = |name: &str| std::env::var(name).ok();
    Ok(RunOptions {
        limits: Limits {
            jobs: usize::from(args.jobs),
            per_source: args.max_per_source.map(usize::from),
            per_target: args.max_per_target.map(usize::from),
        },
        retries: args.retries,
        backoff: Duration::from_secs_f64(args.retry_wait),
        max_failures: args.max_failures.map(|most| most as usize),
        shard: shard.map(|text| Shard::parse(text, variable)).transpose()?,
        lease_ttl: Duration::from_secs(args.takeover_after.into()),
        redo_changed: args.redo_changed,
        metrics: args.metrics.clone(),
        status_file: args.status_file.clone(),
        output,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_state_go_where_all_outputs_are() {
        let line = |outputs: &str| {
            format!(
                "{{\"id\":\"a{}\",\"command\":[\"c\"],\"outputs\":{outputs},\"fingerprint\":\"1\"}}\n",
                outputs.len()
            )
        };
        let folder = |text: &str| common_folder(&parse_tasks(text).unwrap()).unwrap();
        assert_eq!(folder(&line("[\"/o/a/x\",\"/o/a/y\"]")), Path::new("/o/a"));
        assert_eq!(folder(&(line("[\"/o/a/x\"]") + &line("[\"/o/bcd/x\"]"))), Path::new("/o"));
        assert_eq!(folder(&(line("[\"a/x\"]") + &line("[\"bcde/x\"]"))), Path::new("."));
        assert_eq!(folder(&line("[\"x\"]")), Path::new("."));
    }
}
