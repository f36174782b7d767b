//! The jobs of a batch: from a job file, or as a list of resolved jobs.

use super::destinations::rule_of;
use crate::args::{BatchRunArgs, JobFileArgs};
use crate::commands::batch_file;
use crate::output::Printer;
use convert_batch::{Task, parse_tasks};
use convert_job_file::{Batch, Resolved, ResolvedJob};
use format_core::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A batch that was read.
pub(super) struct Source {
    pub(super) tasks: Vec<Task>,
    /// What the operator named.
    pub(super) name: PathBuf,
    /// BLAKE3 of it.
    pub(super) hash: String,
    /// Where the outputs go, if it says so.
    pub(super) output: Option<PathBuf>,
    /// What the job file says of the batch as a whole.
    pub(super) batch: Batch,
    /// The folders that have to be there before a job runs, by the job's id; they are made below the outputs' folder only.
    pub(super) folders: HashMap<String, PathBuf>,
}

pub(super) fn read(args: &BatchRunArgs, printer: &Printer) -> Result<Source> {
    if let Some(path) = &args.source.tasks {
        return of_tasks(path);
    }
    let Some(path) = &args.source.job_file else {
        return Err(Error::usage("no job file is named"));
    };
    let (file, resolved) =
        batch_file::read(&JobFileArgs { job_file: path.clone(), format: args.source.format }, printer)?;
    convert_job_file::check_digest(&file.digest(), &|name: &str| std::env::var(name).ok())?;
    let name = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    of_job_file(resolved, name, file.digest())
}

fn of_job_file(resolved: Resolved, name: PathBuf, hash: String) -> Result<Source> {
    let tasks = resolved.jobs.iter().map(|job| task_of(job, &resolved.output)).collect::<Result<_>>()?;
    let below = |job: &&ResolvedJob| job.folder().starts_with(&resolved.output);
    let folders =
        resolved.jobs.iter().filter(below).map(|job| (job.id.clone(), job.folder().to_owned())).collect();
    Ok(Source { tasks, name, hash, output: Some(resolved.output), batch: resolved.batch, folders })
}

fn task_of(job: &ResolvedJob, output: &Path) -> Result<Task> {
    Ok(Task {
        id: job.id.clone(),
        title: job.title.clone(),
        command: job.command(),
        outputs: job.outputs(),
        source_key: job.source_key(),
        target_key: job.target_key(),
        wave: job.wave,
        priority: job.priority,
        timeout: job.job.timeout,
        fingerprint: job.fingerprint(),
        destination: rule_of(job, output)?,
    })
}

fn of_tasks(path: &Path) -> Result<Source> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
    let tasks = parse_tasks(&text).map_err(|e| e.context(path.display().to_string()))?;
    let hash = convert_engine::digest_of_bytes(text.as_bytes()).to_hex().to_string();
    let output = common_folder(&tasks);
    Ok(Source {
        tasks,
        name: path.to_owned(),
        hash,
        output,
        batch: Batch::default(),
        folders: HashMap::new(),
    })
}

/// The folder that all outputs share.
fn common_folder(tasks: &[Task]) -> Option<PathBuf> {
    let mut folders = tasks.iter().flat_map(|task| &task.outputs).filter_map(|path| path.parent());
    let common = |one: PathBuf, other: &Path| {
        let same = one.components().zip(other.components()).take_while(|(a, b)| a == b);
        same.map(|(a, _)| a).collect()
    };
    let first = folders.next()?.to_owned();
    let found: PathBuf = folders.fold(first, common);
    Some(if found.as_os_str().is_empty() { ".".into() } else { found })
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
