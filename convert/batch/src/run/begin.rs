//! What a run finds, and what of it is left to do.

use super::RunOptions;
use super::tell::Teller;
use super::work::give_back;
use crate::events::Event;
use crate::lease::{Asked, Leases, LocalLeases};
use crate::state::{JobState, Phase, StateFolder};
use crate::task::Task;
use format_core::{Error, ErrorKind, PublishedFile, Result};
use std::time::Duration;

/// The jobs of a run as it finds them.
pub(super) struct Begun {
    /// The states of all jobs of the batch.
    pub(super) known: Vec<JobState>,
    /// The numbers of this run's jobs.
    pub(super) share: Vec<usize>,
    /// Of those, the ones that are to be run.
    pub(super) to_run: Vec<usize>,
    /// How many of the share are done.
    pub(super) already_done: usize,
}

/// What a run does with a job.
enum Verdict {
    Run,
    Leave,
    AlreadyDone,
    /// It is done, and it is another job now.
    Changed,
}

/// # Errors
/// `Usage` when jobs that are done were changed since and that was not meant.
pub(super) fn look(
    state: &StateFolder,
    tasks: &[Task],
    options: &RunOptions,
    leases: &Leases<LocalLeases>,
    teller: &Teller<'_>,
) -> Result<Begun> {
    let leased = leases.store().jobs()?;
    let share = match options.shard {
        Some(shard) => shard.pick(tasks)?,
        None => (0..tasks.len()).collect(),
    };
    let mut known: Vec<_> = tasks.iter().map(JobState::new).collect();
    let (mut to_run, mut changed, mut already_done) = (Vec::new(), Vec::new(), 0);
    for &number in &share {
        let task = &tasks[number];
        let Some(job) = known_job(state, task, teller)? else {
            to_run.push(number);
            continue;
        };
        match judge(task, &job, options, teller) {
            Verdict::Run => to_run.push(number),
            Verdict::Leave => {}
            Verdict::AlreadyDone => {
                already_done += 1;
                if leased.contains(&task.id) {
                    sweep(leases, &task.id)?;
                }
            }
            Verdict::Changed => changed.push(task.id.as_str()),
        }
        known[number] = job;
    }
    if let Some(first) = changed.first() {
        let text = match changed.len() {
            1 => format!("the job {first} is done and was changed since"),
            more => format!("{first} and {} more jobs are done and were changed since", more - 1),
        };
        return Err(Error::usage(text).hint(
            "give the changed job another id, or run the batch with --redo-changed to replace what it made",
        ));
    }
    Ok(Begun { known, share, to_run, already_done })
}

/// A run that was killed after it had told that the job is done left its lease.
fn sweep(leases: &Leases<LocalLeases>, job: &str) -> Result<()> {
    match leases.ask(job, Duration::ZERO)? {
        Asked::Held(lease) => give_back(leases, *lease, true),
        Asked::Busy(_) => Ok(()),
    }
}

/// The state of a job; one that is damaged counts as none.
pub(super) fn known_job(state: &StateFolder, task: &Task, teller: &Teller<'_>) -> Result<Option<JobState>> {
    match state.job(&task.id) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            teller.say(&Event::of_job("job-state-damaged", task).saying(error.to_string()));
            Ok(None)
        }
        other => other,
    }
}

fn judge(task: &Task, job: &JobState, options: &RunOptions, teller: &Teller<'_>) -> Verdict {
    let is_same = job.fingerprint == task.fingerprint;
    if job.state != Phase::Done {
        // Who changed a job that failed has mended it.
        return if job.may_start() || !is_same { Verdict::Run } else { Verdict::Leave };
    }
    if !is_same {
        return if options.redo_changed { Verdict::Run } else { Verdict::Changed };
    }
    match outputs_of(job) {
        Outputs::Same => {}
        // A machine that runs on it writes to it: what was made is no longer the batch's.
        Outputs::Changed(path) => {
            teller
                .say(&Event::of_job("job-output-changed", task).saying(format!("{path} was changed since")));
        }
        Outputs::Gone(path) => {
            teller.say(&Event::of_job("job-output-gone", task).saying(format!("{path} is gone: run again")));
            return Verdict::Run;
        }
    }
    teller.say(&Event::of_job("job-already-done", task));
    Verdict::AlreadyDone
}

enum Outputs {
    Same,
    Changed(String),
    Gone(String),
}

fn outputs_of(job: &JobState) -> Outputs {
    let mut changed = None;
    for output in &job.outputs {
        match output.path.symlink_metadata() {
            Err(_) => return Outputs::Gone(output.path.display().to_string()),
            // Copied back from elsewhere it is another file with the same content.
            Ok(found) if !is_like(PublishedFile::of(&found), output.file) => {
                changed = Some(output.path.display().to_string());
            }
            Ok(_) => {}
        }
    }
    changed.map_or(Outputs::Same, Outputs::Changed)
}

fn is_like(found: PublishedFile, known: PublishedFile) -> bool {
    (found.size, found.modified) == (known.size, known.modified)
}

/// Whether a job that is done under another run's hands meanwhile is to be left.
pub(super) fn is_done(task: &Task, job: &JobState) -> bool {
    let is_same = job.state == Phase::Done && job.fingerprint == task.fingerprint;
    is_same && !matches!(outputs_of(job), Outputs::Gone(_))
}
