//! One attempt at one job, from its lease to its state.

use super::{Shared, begin};
use crate::child::ChildHandle;
use crate::events::Event;
use crate::lease::{Asked, Lease, Leases, LocalLeases};
use crate::runner::{Attempt, Ending};
use crate::state::{JobState, OutputFile, Phase, Progress, outputs_now};
use crate::task::Task;
use crate::time::now_text;
use format_core::{Error, ErrorKind, Fence, PublishedFile, Result};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How an attempt ended, for the thread that decides.
pub(super) enum Ended {
    /// So; a job that waits is to be tried again.
    Job(Box<JobState>),
    /// Another run has the job; asked for again later where it may be dead.
    Elsewhere { again: bool },
}

/// What came of having the lease.
enum Worked {
    /// Another run had done the job.
    AlreadyDone(Box<JobState>),
    /// An attempt has ended; its state is not kept yet.
    Ended(Box<JobState>),
}

fn event_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Done => "job-done",
        Phase::Held => "job-held",
        Phase::Interrupted => "job-interrupted",
        Phase::Waiting => "job-retry",
        _ => "job-failed",
    }
}

/// Gives a lease that is held back. Of a job that is done nothing stays.
pub(super) fn give_back(leases: &Leases<LocalLeases>, lease: Lease, is_done: bool) -> Result<()> {
    if is_done {
        // Best effort: the state has the outputs.
        let _ = std::fs::remove_file(Fence::published_path(leases.store().folder(), &lease.job));
    }
    leases.release(lease, is_done)
}

/// The thread of one attempt.
pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) task: &'a Task,
    pub(super) handle: Arc<ChildHandle>,
    /// Whether the job may be tried again in this run after this attempt.
    pub(super) may_retry: bool,
}

impl Worker<'_> {
    /// # Errors
    /// When state or leases cannot be kept.
    pub(super) fn work(&self) -> Result<Ended> {
        let lease = match self.shared.leases.ask(&self.task.id, self.shared.now())? {
            Asked::Held(lease) => *lease,
            Asked::Busy(busy) => {
                if busy.is_alive {
                    let text = format!("{} is at work on it", busy.owner);
                    self.say(Event::of_job("job-elsewhere", self.task).saying(text));
                }
                return Ok(Ended::Elsewhere { again: !busy.is_alive });
            }
        };
        if let Some(owner) = &lease.taken_from {
            let silent = if lease.is_suspect() { "which is silent" } else { "which is dead" };
            let text = format!("from {owner}, {silent}");
            self.say(Event::of_job("job-taken-over", self.task).saying(text));
        }
        let (epoch, is_fresh) = (lease.epoch, lease.is_suspect());
        self.shared.keeper.add(lease, Arc::clone(&self.handle));
        let worked = self.under_lease(epoch, is_fresh);
        let Some(lease) = self.shared.keeper.take(&self.task.id) else {
            return Err(Error::contract("a lease that nobody keeps"));
        };
        match self.shared.leases.check(&lease) {
            Ok(()) => {}
            // What became of the job is for the run to tell that has it now.
            Err(error) if error.kind() == ErrorKind::Temporary => {
                self.say(Event::of_job("job-elsewhere", self.task).saying(error.to_string()));
                return Ok(Ended::Elsewhere { again: false });
            }
            Err(error) => return Err(error),
        }
        let job = match worked? {
            Worked::AlreadyDone(job) => {
                self.say(Event::of_job("job-already-done", self.task));
                job
            }
            Worked::Ended(job) => {
                self.shared.state.keep(&job)?;
                self.say(Event::of_ending(event_of(job.state), self.task, &job));
                job
            }
        };
        give_back(&self.shared.leases, lease, job.state == Phase::Done)?;
        Ok(Ended::Job(job))
    }

    fn under_lease(&self, epoch: u64, is_fresh: bool) -> Result<Worked> {
        let known = begin::known_job(&self.shared.state, self.task, &self.shared.teller)?;
        if let Some(job) = &known
            && begin::is_done(self.task, job)
        {
            return Ok(Worked::AlreadyDone(Box::new(job.clone())));
        }
        let replace = self.are_own_outputs(known.as_ref())?;
        let same = known.filter(|job| job.fingerprint == self.task.fingerprint);
        let attempts = same.map_or(0, |job| job.attempts) + 1;
        let mut job = JobState {
            state: Phase::Running,
            attempts,
            started: Some(now_text()),
            owner: Some(self.shared.leases.owner().clone()),
            ..JobState::new(self.task)
        };
        self.shared.state.keep(&job)?;
        self.say(Event { attempt: Some(attempts), ..Event::of_job("job-started", self.task) });
        let begun = Instant::now();
        let ending = self.run(&job, epoch, is_fresh, replace);
        job.seconds = begun.elapsed().as_secs_f64();
        job.ended = Some(now_text());
        self.take(&mut job, ending);
        Ok(Worked::Ended(Box::new(job)))
    }

    fn run(&self, job: &JobState, epoch: u64, is_fresh: bool, replace: bool) -> Ending {
        let lease = self.shared.leases.store().path(&self.task.id, epoch);
        let last = Mutex::new(Progress::default());
        let progress = |progress: &Progress| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let before = if last.stage == progress.stage { last.bytes } else { 0 };
            self.shared.read.fetch_add(progress.bytes.saturating_sub(before), Ordering::Relaxed);
            last.clone_from(progress);
            self.shared.teller.watcher.progress(self.task, progress);
        };
        let attempt = Attempt {
            task: self.task,
            number: job.attempts,
            lease: Some(&lease),
            is_fresh,
            replace,
            state: &self.shared.state,
            handle: &self.handle,
            progress: &progress,
        };
        let ran = self.shared.destinations.enter(self.task).and_then(|()| self.shared.runner.run(&attempt));
        ran.unwrap_or_else(|error| Ending {
            exit_code: Some(i32::from(error.kind().exit_code())),
            error: Some((&error).into()),
            ..Ending::default()
        })
    }

    /// Whether everything that has an output's name was made by this batch, and never acknowledged: a run that was killed
    /// between giving a file its name and telling so.
    fn are_own_outputs(&self, known: Option<&JobState>) -> Result<bool> {
        let now = outputs_now(self.task);
        if now.is_empty() {
            return Ok(false);
        }
        let folder = self.shared.leases.store().folder();
        let note = Fence::published_path(folder, &self.task.id);
        let bytes = crate::state::files::read(&note)?.unwrap_or_default();
        let lines = bytes.split(|&byte| byte == b'\n');
        let mut own: Vec<PublishedFile> =
            lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        own.extend(known.iter().flat_map(|job| &job.outputs).map(|output: &OutputFile| output.file));
        Ok(now.iter().all(|output| own.contains(&output.file)))
    }

    /// What the ending makes of the job.
    fn take(&self, job: &mut JobState, ending: Ending) {
        (job.exit_code, job.signal, job.error) = (ending.exit_code, ending.signal, ending.error);
        (job.bytes, job.digest, job.warnings) = (ending.bytes, ending.digest, ending.warnings);
        job.progress = ending.progress;
        job.state = match job.exit_code {
            Some(0) => Phase::Done,
            Some(78) => Phase::Held,
            _ if job.is_retryable() && (self.shared.is_stopping() || self.handle.is_stopped()) => {
                Phase::Interrupted
            }
            _ if job.is_retryable() && self.may_retry => Phase::Waiting,
            _ => Phase::Failed,
        };
        job.outputs = if job.state == Phase::Done { outputs_now(self.task) } else { Vec::new() };
    }

    fn say(&self, event: Event) {
        self.shared.teller.say(&event);
    }
}
