//! What a batch looks like from outside: for people, for monitoring, for engines.

use crate::state::{BatchState, JobState, Phase, files};
use crate::time::unix_seconds;
use crate::verdict::exit_code;
use format_core::{Error, ErrorKind, Result, printable_json};
use rustix::fs::OFlags;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

/// Engines take no more as a message of a task that ended.
const MAX_STATUS: usize = 4096;
/// So long a message of a job stays readable in a line.
const MAX_MESSAGE: usize = 160;

/// A batch in a few numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The batch's own name.
    pub batch: String,
    /// How many jobs there are.
    pub jobs: usize,
    /// How many are in each phase, by its name.
    pub counts: BTreeMap<&'static str, usize>,
    /// With which exit code a run would end if it ended now.
    pub exit_code: u8,
    /// Whether jobs can be run without a person doing something first.
    pub unfinished: bool,
    /// Jobs that failed or are held.
    pub problems: Vec<Problem>,
}

/// A job that needs to be looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// The job.
    pub job: String,
    /// Where it stands.
    pub state: Phase,
    /// Its exit code.
    pub exit_code: u8,
    /// What went wrong.
    pub message: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Status {
    /// The status of a batch.
    #[must_use]
    pub fn of(state: &BatchState) -> Self {
        let counts = Phase::ALL.map(|phase| (phase.name(), state.count(phase)));
        let left = |job: &JobState| job.may_start();
        Self {
            batch: state.batch.id.clone(),
            jobs: state.jobs.len(),
            counts: counts.into_iter().collect(),
            exit_code: exit_code(&state.jobs, false),
            unfinished: state.jobs.iter().any(left),
            problems: state.jobs.iter().filter_map(problem).collect(),
        }
    }

    fn count(&self, phase: Phase) -> usize {
        self.counts.get(phase.name()).copied().unwrap_or(0)
    }

    /// Exit code and line of a Nagios plugin: 0 all done, 1 jobs are left, 2 jobs failed or are held.
    #[must_use]
    pub fn nagios(&self) -> (u8, String) {
        let bad = self.count(Phase::Failed) + self.count(Phase::Held);
        let done = self.count(Phase::Done);
        let (code, word) = match (bad, self.jobs - done) {
            (0, 0) => (0, "OK"),
            (0, _) => (1, "WARNING"),
            _ => (2, "CRITICAL"),
        };
        let phases = Phase::ALL.iter().filter(|&&phase| self.count(phase) > 0);
        let said: Vec<_> = phases.map(|&phase| format!("{} {}", self.count(phase), phase.name())).collect();
        let first = self.problems.first().map(|problem| format!("; {}: {}", problem.job, problem.message));
        let data: Vec<_> = Phase::ALL
            .iter()
            .map(|&phase| format!("{}={};;;0;{}", phase.name(), self.count(phase), self.jobs))
            .collect();
        // A pipe would begin the numbers.
        let text =
            format!("{} of {} jobs: {}{}", done, self.jobs, said.join(", "), first.unwrap_or_default());
        (code, format!("REHOME {word} - {} | {}", text.replace('|', "/"), data.join(" ")))
    }
}

fn problem(job: &JobState) -> Option<Problem> {
    if !matches!(job.state, Phase::Failed | Phase::Held) {
        return None;
    }
    let error = job.error.clone();
    let message = error.as_ref().map_or_else(String::new, |error| shortened(&error.message));
    let hint = error.and_then(|error| error.hint).map(|hint| shortened(&hint));
    Some(Problem { job: job.id.clone(), state: job.state, exit_code: job.code(), message, hint })
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_MESSAGE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// When the jobs that are left will be done, in seconds from now, going by those that are done; `None` before there
/// are any, and when the run has ended.
#[must_use]
pub fn seconds_left(state: &BatchState, now: SystemTime) -> Option<f64> {
    let done: Vec<_> = state.jobs.iter().filter(|job| job.state == Phase::Done).collect();
    let begun = done.iter().filter_map(|job| unix_seconds(job.started.as_deref()?)).reduce(f64::min)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    // Nobody is at work, or about to be.
    if !state.jobs.iter().any(|job| matches!(job.state, Phase::Running | Phase::Waiting)) {
        return None;
    }
    let left = state.jobs.iter().filter(|job| job.may_start()).count();
    Some((now - begun).max(0.0) / done.len() as f64 * left as f64)
}

/// Writes the status as at most 4 KiB of JSON: problems that do not fit are left out and counted.
///
/// # Errors
/// `Destination`, `Io`.
pub fn write_status_file(path: &Path, state: &BatchState, exit_code: Option<u8>) -> Result<()> {
    let mut status = Status::of(state);
    if let Some(code) = exit_code {
        status.exit_code = code;
    }
    let all = status.problems.len();
    loop {
        let shown = status.problems.len();
        let value = serde_json::json!({ "status": &status, "more_problems": all - shown });
        let text =
            serde_json::to_string(&value).map_err(|e| Error::contract("a status as JSON").with_source(e))?;
        let text = printable_json(&text);
        if text.len() < MAX_STATUS || shown == 0 {
            return write_in_place(path, text + "\n");
        }
        status.problems.truncate(shown.min(40) - 1);
    }
}

/// A termination log is a file that is mounted: it cannot be replaced. One with other names is: whoever linked it wants to keep what
/// it holds.
fn write_in_place(path: &Path, text: String) -> Result<()> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            let text = format!("{} is a link, or no file: it is not written", path.display());
            return Err(Error::new(ErrorKind::Destination, text));
        }
        Ok(found) if found.nlink() == 1 => {}
        _ => return files::write(path, text.as_bytes(), files::Durability::Fleeting),
    }
    let failed = |e| files::destination(format!("cannot write {}", path.display()), e);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut file = File::options().write(true).custom_flags(flags).open(path).map_err(failed)?;
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{BatchInfo, JobError};
    use crate::testing::task;

    fn state(phases: &[(Phase, i32)]) -> BatchState {
        let batch = BatchInfo {
            id: "b".into(),
            job_file: "jobs.toml".into(),
            job_file_hash: String::new(),
            started: "2026-11-30T05:00:00.000Z".into(),
            version: "1".into(),
        };
        let jobs = phases.iter().enumerate().map(|(i, &(state, code))| JobState {
            state,
            exit_code: Some(code),
            error: Some(JobError { code: None, kind: "io".into(), message: "a | b ".repeat(90), hint: None }),
            started: Some("2026-11-30T05:00:00.000Z".into()),
            ..JobState::new(&task(&format!("job{i}")))
        });
        BatchState { batch, jobs: jobs.collect(), tasks: Vec::new(), warnings: Vec::new() }
    }

    #[test]
    fn monitoring_gets_a_line_and_a_code() {
        let of = |phases: &[(Phase, i32)]| Status::of(&state(phases)).nagios();
        assert_eq!(of(&[(Phase::Done, 0)]).0, 0);
        assert_eq!(of(&[(Phase::Done, 0), (Phase::Running, 0)]).0, 1);
        let (code, line) = of(&[(Phase::Done, 0), (Phase::Held, 78), (Phase::Waiting, 0)]);
        assert_eq!(code, 2);
        assert!(
            line.starts_with("REHOME CRITICAL - 1 of 3 jobs: 1 done, 1 waiting, 1 held; job1: a / b"),
            "{line}"
        );
        assert!(line.contains(" | done=1;;;0;3 running=0;;;0;3 "), "{line}");
        assert_eq!(line.matches('|').count(), 1);
    }

    #[test]
    fn the_summary_for_engines_is_never_longer_than_they_take() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for count in [0, 1, 5, 300] {
            write_status_file(&path, &state(&vec![(Phase::Failed, 65); count]), Some(65)).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.len() <= MAX_STATUS, "{count}: {}", text.len());
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let shown = value["status"]["problems"].as_array().unwrap().len();
            assert_eq!(shown + value["more_problems"].as_u64().unwrap() as usize, count);
            assert!(shown >= count.min(5));
        }
    }

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done() {
        let begun = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_796_014_800);
        let now = begun + std::time::Duration::from_secs(60);
        let state = state(&[(Phase::Done, 0), (Phase::Done, 0), (Phase::Waiting, 0), (Phase::Failed, 65)]);
        assert_eq!(seconds_left(&state, now), Some(30.0));
    }
}
