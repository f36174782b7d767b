//! Who does the work of a task.

use crate::child::ChildHandle;
use crate::state::{JobError, Progress, StateFolder};
use crate::task::Task;
use format_core::Result;
use std::path::Path;

/// One attempt at a task.
pub struct Attempt<'a> {
    /// The task.
    pub task: &'a Task,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// The file of the lease.
    pub lease: Option<&'a Path>,
    /// Whether files that another run left may still be written by it, and are not to be gone on with.
    pub is_fresh: bool,
    /// Whether what has the outputs' names may be replaced: the batch knows that it is its own.
    pub replace: bool,
    /// Where outcome and log go.
    pub state: &'a StateFolder,
    /// How the work is asked to end.
    pub handle: &'a ChildHandle,
    /// Who hears of progress.
    pub progress: &'a (dyn Fn(&Progress) + Sync),
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    /// What went wrong.
    pub error: Option<JobError>,
    /// Bytes of data that were copied.
    pub bytes: Option<u64>,
    /// The digest of the first disk.
    pub digest: Option<String>,
    /// How many warnings there were.
    pub warnings: u64,
    /// What was said last of the progress.
    pub progress: Option<Progress>,
}

impl Ending {
    /// It was asked to end before it began.
    pub(crate) fn not_started() -> Self {
        let message = "stopped before it began".into();
        let error = Some(JobError { code: None, kind: "temporary".into(), message, hint: None });
        Self { exit_code: Some(75), error, ..Self::default() }
    }
}

/// Who does the work: a child process, or in simulations nobody.
pub trait Runner: Sync {
    /// Does the work of a task and waits for its end.
    ///
    /// # Errors
    /// When it could not even be started.
    fn run(&self, attempt: &Attempt<'_>) -> Result<Ending>;
}

/// Connects and disconnects the destination of jobs, for destinations that are only there while they are written to.
pub trait Isolation: Sync {
    /// Whether the destination is there and the right one; before each attempt.
    ///
    /// # Errors
    /// `Destination` when it is not: the job ends before its first byte.
    fn check(&self, rule: &serde_json::Value) -> Result<()>;

    /// Connects it; before the first job with this rule.
    ///
    /// # Errors
    /// The job fails with it.
    fn enter(&self, rule: &serde_json::Value) -> Result<()>;

    /// Disconnects it, and proves that; after the last job with this rule.
    ///
    /// # Errors
    /// The batch tells of it and ends with its exit code.
    fn leave(&self, rule: &serde_json::Value) -> Result<()>;
}
