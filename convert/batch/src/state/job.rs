//! The state of one job.

use format_core::{Error, PublishedFile};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It was not started yet, or was set back.
    Waiting,
    /// A child process works on it, or did when its batch was killed.
    Running,
    /// It ended well.
    Done,
    /// It ended, and not well. With exit code 74 or 75 a later run tries again, else only after a retry was asked for.
    Failed,
    /// A person has to act first (exit code 78).
    Held,
    /// It was stopped by a signal and goes on with the next run.
    Interrupted,
    /// It was not started because the batch ended early.
    Cancelled,
}

impl Phase {
    /// All of them, in the order in which tables list them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Running,
        Self::Waiting,
        Self::Interrupted,
        Self::Cancelled,
        Self::Held,
        Self::Failed,
    ];

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a child said went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct JobError {
    /// Its code, which `rehome explain` knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The stable name of its kind.
    pub kind: String,
    /// The sentence.
    pub message: String,
    /// The next step.
    #[serde(default)]
    pub hint: Option<String>,
}

impl From<&Error> for JobError {
    fn from(error: &Error) -> Self {
        Self {
            code: Some(error.code().id.into()),
            kind: error.kind().name().into(),
            message: error.to_string(),
            hint: error.hint_text().map(Into::into),
        }
    }
}

/// How far a stage is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Progress {
    /// What is being done: `copy`, `verify`.
    pub stage: String,
    /// Bytes of data that are done.
    pub bytes: u64,
    /// Bytes of data that there are.
    pub total: u64,
    /// Since the stage began.
    pub seconds: f64,
}

/// A file that was there when the job was done.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct OutputFile {
    /// Its path.
    #[serde(with = "crate::task::path")]
    pub path: PathBuf,
    /// What was known of it.
    pub file: PublishedFile,
}

/// Everything that is kept of one job, `jobs/ID.json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct JobState {
    /// Its name.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub title: String,
    /// Where it stands.
    pub state: Phase,
    /// How often it was started since it was last set back.
    pub attempts: u32,
    /// How the last attempt ended; `None` when a signal ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended the last attempt.
    #[serde(default)]
    pub signal: Option<i32>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<JobError>,
    /// When the last attempt began, in UTC (RFC 3339).
    #[serde(default)]
    pub started: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<String>,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
    /// That of the task that was run.
    pub fingerprint: String,
    /// Bytes of data that were copied.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The digest of the (first) disk that was written.
    #[serde(default)]
    pub digest: Option<String>,
    /// How many warnings the outcome has.
    #[serde(default)]
    pub warnings: u64,
    /// What it made.
    #[serde(default)]
    pub outputs: Vec<OutputFile>,
    /// What the child said last of its progress.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Who runs it, or did.
    #[serde(default)]
    pub owner: Option<crate::Owner>,
    /// Wave and priority, for tables.
    #[serde(default)]
    pub wave: u32,
}

impl JobState {
    /// A job that was not started yet.
    #[must_use]
    pub fn new(task: &crate::Task) -> Self {
        Self {
            id: task.id.clone(),
            title: task.title.clone(),
            state: Phase::Waiting,
            attempts: 0,
            exit_code: None,
            signal: None,
            error: None,
            started: None,
            ended: None,
            seconds: 0.0,
            fingerprint: task.fingerprint.clone(),
            bytes: None,
            digest: None,
            warnings: 0,
            outputs: Vec::new(),
            progress: None,
            owner: None,
            wave: task.wave,
        }
    }

    /// Whether a run may start it without being asked: what failed for good, and what waits for a person, is left.
    #[must_use]
    pub fn may_start(&self) -> bool {
        match self.state {
            Phase::Done | Phase::Held => false,
            Phase::Failed => self.is_retryable(),
            Phase::Waiting | Phase::Running | Phase::Interrupted | Phase::Cancelled => true,
        }
    }

    /// Whether the same command can end otherwise the next time.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.exit_code {
            Some(code) => matches!(code, 74 | 75),
            // KILL, TERM, INT, HUP: from outside, mostly for want of memory. Others are crashes.
            None => self.signal.is_some_and(|signal| matches!(signal, 1 | 2 | 9 | 15)),
        }
    }

    /// The exit code that counts for the batch: a crash is a bug.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.exit_code {
            Some(code) => u8::try_from(code).unwrap_or(70),
            None if self.is_retryable() => 75,
            None => 70,
        }
    }
}
