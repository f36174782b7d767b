//! The state folder: files only, each whole or not there, so that any run can be killed at any moment.
//!
//! ```text
//!  batch.json         which job file, when first begun, by which version
//!  tasks.ndjson       the jobs, as they were resolved
//!  jobs/ID.json       the state of a job; one that has none was never started
//!  jobs/ID.outcome.json   what the child printed in the last attempt
//!  jobs/ID.log        what it said in all attempts
//!  events.ndjson      what happened when
//! ```

pub(crate) mod files;
mod job;

pub use job::{JobError, JobState, OutputFile, Phase, Progress};

use crate::lease::Owner;
use crate::task::{Task, format_tasks, parse_tasks};
use files::{Durability, destination, read, read_json, write, write_json};
use format_core::{Error, ErrorKind, PublishedFile, Result, codes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which batch a state folder is of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct BatchInfo {
    /// The batch's own name, made when it first began.
    pub id: String,
    /// The job file, as the operator named it.
    pub job_file: String,
    /// BLAKE3 of the job file, as hex.
    #[serde(default)]
    pub job_file_hash: String,
    /// When it first began, in UTC (RFC 3339).
    pub started: String,
    /// The version of the program.
    pub version: String,
}

/// Everything that is known of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct BatchState {
    /// Which it is.
    pub batch: BatchInfo,
    /// Its jobs, in the job file's order; those that were never started, too.
    pub jobs: Vec<JobState>,
    /// The tasks of the jobs, in the same order.
    #[serde(skip)]
    pub tasks: Vec<Task>,
    /// Warnings about the state itself.
    pub warnings: Vec<String>,
}

impl BatchState {
    /// How many jobs are in that phase.
    #[must_use]
    pub fn count(&self, phase: Phase) -> usize {
        self.jobs.iter().filter(|job| job.state == phase).count()
    }
}

/// A state folder.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// The name that it has below the folder of the outputs.
    pub const NAME: &'static str = ".rehome-batch";

    /// Opens the folder of a batch, which is made where there is none.
    ///
    /// # Errors
    /// `Destination` where the folder above it is missing, `Io`.
    pub fn create(path: &Path) -> Result<Self> {
        // A link that the operator names is his own; one under a name of ours leads somewhere else.
        let is_planted = |path: &Path| {
            let is_ours = path.file_name().is_some_and(|name| name == "jobs" || name == Self::NAME);
            is_ours && path.symlink_metadata().is_ok_and(|found| !found.is_dir())
        };
        let made = |path: &Path| match std::fs::create_dir(path) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(destination(format!("cannot create the folder {}", path.display()), e)
                    .hint("create the folder above it first, or mount its volume"))
            }
            _ if is_planted(path) => {
                let text =
                    format!("{} is a link, or no folder: the state is not kept elsewhere", path.display());
                Err(Error::new(ErrorKind::Destination, text).hint("look who put it there, and move it away"))
            }
            _ => Ok(()),
        };
        made(path)?;
        made(&path.join("jobs"))?;
        files::sweep(path);
        files::sweep(&path.join("jobs"));
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the folder of a batch that has begun.
    ///
    /// # Errors
    /// `SourceMissing` when there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        if folder.batch_path().is_file() {
            return Ok(folder);
        }
        let text = format!("{} is no state folder of a batch", path.display());
        Err(Error::new(ErrorKind::SourceMissing, text)
            .hint("name the folder with --state; 'rehome batch run' makes it")
            .with_code(&codes::STATE_FOLDER))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn batch_path(&self) -> PathBuf {
        self.path.join("batch.json")
    }

    fn tasks_path(&self) -> PathBuf {
        self.path.join("tasks.ndjson")
    }

    /// Writes a file about the batch, such as its report, so that it is whole or the one before.
    ///
    /// # Errors
    /// `Destination`, `Io`.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write(&self.path.join(name), bytes, Durability::Whole)
    }

    /// A file of a job: its state, outcome or log.
    #[must_use]
    pub fn job_file(&self, id: &str, suffix: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{id}.{suffix}"))
    }

    /// Notes which batch this is, once, and its tasks, where they changed.
    ///
    /// # Errors
    /// `Io`, `Temporary`, `Destination` when it cannot be written.
    pub fn begin(&self, info: &BatchInfo, tasks: &[Task]) -> Result<BatchInfo> {
        let text = format_tasks(tasks)?;
        if read(&self.tasks_path())?.as_deref() != Some(text.as_bytes()) {
            write(&self.tasks_path(), text.as_bytes(), Durability::Durable)?;
        }
        let known = read_json::<BatchInfo>(&self.batch_path()).unwrap_or_default();
        let mut info = info.clone();
        if let Some(known) = known {
            (info.id, info.started) = (known.id.clone(), known.started.clone());
            if known == info {
                return Ok(info);
            }
        }
        write_json(&self.batch_path(), &info, Durability::Durable)?;
        Ok(info)
    }

    /// The state of a job; `None` when it was never started.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged, `Io`.
    pub fn job(&self, id: &str) -> Result<Option<JobState>> {
        read_json(&self.job_file(id, "json"))
    }

    /// Keeps the state of a job. That of one that ended is there when this returns; any other is the old or the new one.
    ///
    /// # Errors
    /// `Io`, `Temporary`, `Destination`.
    pub fn keep(&self, job: &JobState) -> Result<()> {
        let has_ended = !matches!(job.state, Phase::Running | Phase::Waiting | Phase::Cancelled);
        let durability = match job.state {
            _ if has_ended => Durability::Durable,
            Phase::Running => Durability::Whole,
            _ => Durability::Fleeting,
        };
        write_json(&self.job_file(&job.id, "json"), job, durability)
    }

    /// Which batch it is.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn load_batch(&self) -> Result<BatchInfo> {
        let missing = || Error::corrupt(format!("{} has no batch.json", self.path.display()));
        read_json::<BatchInfo>(&self.batch_path())?.ok_or_else(missing)
    }

    /// Everything that is known. A job that runs although its batch is known to be dead was interrupted. A damaged state counts as that of a job that was never started; a warning says so.
    ///
    /// # Errors
    /// `Io`, `Corrupt` when the batch's own files are damaged.
    pub fn load(&self) -> Result<BatchState> {
        let batch = self.load_batch()?;
        let text = read(&self.tasks_path())?.unwrap_or_default();
        let tasks = parse_tasks(&String::from_utf8_lossy(&text))
            .map_err(|e| e.context(self.tasks_path().display().to_string()).with_kind(ErrorKind::Corrupt))?;
        let mut warnings = Vec::new();
        let mut jobs = Vec::with_capacity(tasks.len());
        let here = Owner::this()?;
        for task in &tasks {
            let mut state = match self.job(&task.id) {
                Ok(state) => state,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    warnings.push(format!("{error}: the job counts as one that was never started"));
                    None
                }
                Err(error) => return Err(error),
            };
            if let Some(job) = &mut state
                && job.state == Phase::Running
                && job.owner.as_ref().is_some_and(|owner| owner.is_gone(&here))
            {
                job.state = Phase::Interrupted;
            }
            jobs.push(state.unwrap_or_else(|| JobState::new(task)));
        }
        Ok(BatchState { batch, jobs, tasks, warnings })
    }
}

/// What is there of the outputs of a task now.
#[must_use]
pub fn outputs_now(task: &Task) -> Vec<OutputFile> {
    let found = task.outputs.iter().filter_map(|path| {
        let found = path.symlink_metadata().ok()?;
        Some(OutputFile { path: path.clone(), file: PublishedFile::of(&found) })
    });
    found.collect()
}

#[cfg(test)]
mod tests;
