//! What batch engines need to run a job file: their own specifications, one task for each job, one array for each wave.
//!
//! Tasks find their job by number (`--shard env`), so a specification belongs to one text of the job file: its digest goes along, and a task
//! of another text ends with a message.

mod awsbatch;
mod kubernetes;
mod quote;
mod slurm;

use crate::job_file::JobFile;
use crate::resolve::Resolved;
use format_core::{Error, Result};
use std::path::PathBuf;

/// What runs the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Kubernetes: an Indexed Job for each wave.
    Kubernetes,
    /// Slurm: a script that submits itself as arrays.
    Slurm,
    /// AWS Batch: a job definition and array jobs.
    AwsBatch,
}

/// How the tasks are run.
#[derive(Clone, Debug)]
pub struct Site {
    /// The job file, absolute, as tasks see it.
    pub job_file: PathBuf,
    /// The folder of the batch's state, if not the usual one.
    pub state: Option<PathBuf>,
    /// Kubernetes and AWS: the container's image.
    pub image: String,
    /// Kubernetes: claims of volumes, AWS: ids of EFS file systems, and where they are mounted. Paths are the same inside.
    pub mounts: Vec<(String, PathBuf)>,
    /// How many tasks run at once; by default what the job file says.
    pub parallel: Option<u32>,
    /// CPUs of a task.
    pub cpus: u32,
    /// Memory of a task, MiB.
    pub memory: u32,
    /// The most minutes that a task takes before it is asked to stop and go on later.
    pub minutes: Option<u32>,
    /// Slurm: the partition; AWS: the job queue; Kubernetes: the namespace.
    pub queue: Option<String>,
    /// Slurm: how `rehome` is called on the nodes.
    pub program: PathBuf,
    /// Slurm: tasks in one array, which is what the site's MaxArraySize is below.
    pub array: u32,
}

impl Site {
    /// A site with two CPUs and 1 GiB for a task.
    #[must_use]
    pub fn new(job_file: PathBuf) -> Self {
        Self {
            job_file,
            state: None,
            image: "rehome:latest".into(),
            mounts: Vec::new(),
            parallel: None,
            cpus: 2,
            memory: 1024,
            minutes: None,
            queue: None,
            program: "rehome".into(),
            array: 1000,
        }
    }
}

/// Some tasks of one wave, as one array of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Array {
    wave: u32,
    /// The number of the first job in the order of the batch.
    first: usize,
    jobs: usize,
    /// Of the arrays of the wave, from 0.
    part: usize,
}

impl Array {
    fn name(self) -> String {
        if self.part == 0 {
            format!("wave{}", self.wave)
        } else {
            format!("wave{}-part{}", self.wave, self.part + 1)
        }
    }
}

/// The engine's specification for the job file.
///
/// # Errors
/// `Usage` where the site does not fit the file or the engine.
pub fn emit(engine: Engine, file: &JobFile, resolved: &Resolved, site: &Site) -> Result<String> {
    let path = &site.job_file;
    if !path.is_absolute() || path.to_str().is_none() {
        return Err(Error::usage(format!(
            "the path {} of the job file cannot be told to tasks",
            path.display()
        ))
        .hint("put the job file where tasks can read it, under a name of plain letters"));
    }
    if site.array == 0 || site.cpus == 0 || site.memory == 0 {
        return Err(Error::usage("tasks need a CPU, memory, and an array that is not empty"));
    }
    match engine {
        Engine::Kubernetes => kubernetes::emit(file, resolved, site),
        Engine::Slurm => slurm::emit(file, resolved, site),
        Engine::AwsBatch => awsbatch::emit(file, resolved, site),
    }
}

/// The arrays of all waves, of at most `most` tasks each.
fn arrays(resolved: &Resolved, most: usize) -> Vec<Array> {
    let mut arrays: Vec<Array> = Vec::new();
    for (number, job) in resolved.jobs.iter().enumerate() {
        match arrays.last_mut() {
            Some(last) if last.wave == job.wave && last.jobs < most => last.jobs += 1,
            last => {
                let part = last.filter(|last| last.wave == job.wave).map_or(0, |last| last.part + 1);
                arrays.push(Array { wave: job.wave, first: number, jobs: 1, part });
            }
        }
    }
    arrays
}

/// The arguments of every task.
fn arguments(site: &Site) -> Vec<String> {
    let mut words = vec!["batch".into(), "run".into(), text(&site.job_file), "--shard".into(), "env".into()];
    if let Some(state) = &site.state {
        words.extend(["--state".into(), text(state)]);
    }
    words
}

/// The variables of a task, besides those that the job file uses.
fn variables(file: &JobFile, offset: usize) -> Vec<(String, String)> {
    let own = [("REHOME_JOB_FILE", file.digest()), ("REHOME_SHARD_OFFSET", offset.to_string())];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(file.variables.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

fn parallel(resolved: &Resolved, site: &Site) -> Option<u32> {
    site.parallel.or(resolved.batch.jobs)
}

/// `emit` checked what this would lose.
fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A name as engines take them: small letters, digits and dashes, at most 40.
fn label(name: &str) -> String {
    let mut label = String::new();
    for c in name.to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if !(c == '-' && (label.is_empty() || label.ends_with('-'))) {
            label.push(c);
        }
    }
    let label: String = label.chars().take(40).collect();
    let label = label.trim_end_matches('-');
    if label.is_empty() { "batch".to_owned() } else { label.to_owned() }
}

/// That the job file is the one which the engine's specification was written for.
///
/// # Errors
/// `Usage` when `REHOME_JOB_FILE` is set and is not `digest`: numbers of tasks would mean other jobs.
pub fn check_digest(digest: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    match environment("REHOME_JOB_FILE") {
        Some(expected) if expected != digest => Err(Error::usage(
            "the job file is not the one that this task was made for: its number would mean another job",
        )
        .hint("write the engine's specification again with 'rehome batch emit'")),
        _ => Ok(()),
    }
}
