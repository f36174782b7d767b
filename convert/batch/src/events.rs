//! What happened when, for programs: a JSON object a line.

use crate::state::JobState;
use crate::task::Task;
use crate::time::now_text;
use format_core::{Error, Result, open_at_end, printable_json};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Something that happened. What does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Event {
    /// When, in UTC.
    pub time: String,
    /// What: `batch-started`, `job-started`, `job-done`, `job-already-done`, `job-retry`, `job-failed`, `job-held`,
    /// `job-interrupted`, `job-elsewhere`, `job-taken-over`, `job-output-gone`, `job-output-changed`, `job-state-damaged`, `destination-failed`,
    /// `throughput`, `batch-stopping`, `batch-ended`.
    pub event: &'static str,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Which attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Bytes of data: of the job, or read by all jobs since the batch began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many jobs run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<usize>,
    /// How many jobs there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// How many of them are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<usize>,
    /// A sentence. Text of images and guests may be in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Event {
    /// Something that happened now.
    #[must_use]
    pub fn new(event: &'static str) -> Self {
        Self { time: now_text(), event, ..Self::default() }
    }

    /// Something that happened to a job now.
    #[must_use]
    pub fn of_job(event: &'static str, task: &Task) -> Self {
        Self { job: Some(task.id.clone()), ..Self::new(event) }
    }

    /// How an attempt ended.
    pub(crate) fn of_ending(event: &'static str, task: &Task, job: &JobState) -> Self {
        Self {
            attempt: Some(job.attempts),
            exit_code: job.exit_code,
            seconds: Some(job.seconds),
            bytes: job.bytes,
            message: job.error.as_ref().map(|error| error.message.clone()),
            ..Self::of_job(event, task)
        }
    }

    pub(crate) fn saying(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }
}

/// The log of events. Each line is written at once, so that several runs can append to one file.
#[derive(Debug)]
pub(crate) struct EventLog {
    file: Mutex<File>,
}

impl EventLog {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: Mutex::new(open_at_end(path)?) })
    }

    /// Best effort: the states decide, events only tell.
    pub(crate) fn tell(&self, event: &Event) -> Result<()> {
        let line =
            serde_json::to_string(event).map_err(|e| Error::contract("an event as JSON").with_source(e))?;
        let line = printable_json(&line) + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(|e| Error::io("cannot write to the log of events", e))
    }
}
