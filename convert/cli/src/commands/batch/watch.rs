//! What a batch does beside running its jobs: it shows itself, makes a support bundle at the first failure, and the folders of jobs.

use super::show::Show;
use crate::output::{safe, to_stderr};
use convert_batch::{Attempt, ChildRunner, Ending, Event, JobState, Progress, Runner, Task, Watcher};
use convert_doctor::host;
use format_core::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The content of a bundle before it is packed.
const BUNDLE: u64 = 20 << 20;

/// Watches a run.
pub(super) struct Watch<'a> {
    pub(super) show: &'a Show,
    pub(super) state: &'a Path,
    pub(super) program: &'a Path,
    pub(super) bundle: Mutex<Option<JoinHandle<Result<()>>>>,
}

impl Watcher for Watch<'_> {
    fn event(&self, event: &Event) {
        self.show.event(event);
    }

    fn progress(&self, task: &Task, progress: &Progress) {
        self.show.progress(task, progress);
    }

    fn first_failure(&self, task: &Task, _: &JobState) {
        let request = self.bundle_request(task);
        // The batch does not wait for it, and goes on without it.
        let bundle = std::thread::spawn(move || convert_support::bundle(&request).map(drop));
        *self.bundle.lock().unwrap_or_else(PoisonError::into_inner) = Some(bundle);
    }
}

impl Watch<'_> {
    fn bundle_request(&self, task: &Task) -> convert_support::Request {
        let output = self.state.join("support.tar.gz");
        convert_support::Request {
            program: self.program.to_owned(),
            version: env!("CARGO_PKG_VERSION").into(),
            state: Some(self.state.to_owned()),
            job: Some(task.id.clone()),
            files: Vec::new(),
            images: Vec::new(),
            host: serde_json::to_value(host::examine(&host::Request::default())).unwrap_or_default(),
            output,
            max_size: BUNDLE,
            split: None,
            force: true,
        }
    }

    /// Waits for what is made beside the batch.
    pub(super) fn finish(&self) {
        let bundle = self.bundle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ok(Err(error))) = bundle.map(JoinHandle::join) {
            let text = safe(&error.to_string());
            to_stderr(&format!("warning: no support bundle was made: {text} [support-bundle]"));
        }
    }
}

/// Runs jobs as children, in folders that are there.
pub(super) struct InFolders<'a> {
    pub(super) children: ChildRunner,
    pub(super) folders: &'a HashMap<String, PathBuf>,
}

impl Runner for InFolders<'_> {
    fn run(&self, attempt: &Attempt<'_>) -> Result<Ending> {
        let folder = self.folders.get(&attempt.task.id);
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(|e| {
                let text = format!("cannot create {}", folder.display());
                Error::io(text, e).with_kind(ErrorKind::Destination)
            })?;
        }
        let ending = self.children.run(attempt)?;
        // A folder of a job that came to nothing would look like a result; it goes only when it is empty.
        if let Some(folder) = folder.filter(|_| ending.exit_code != Some(0)) {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(ending)
    }
}
