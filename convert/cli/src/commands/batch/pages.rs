//! The report of a batch, made from its state folder: `report.json`, `report.html`, `report.txt`.

use super::maps;
use convert_batch::{BatchState, JobState, Phase, StateFolder, Task};
use convert_destination::shell_word;
use convert_report::{
    Attempt, BatchReport, ErrorReport, Evidence, JobReport, Report, State, Totals, files_of_outcome, html,
    text,
};
use format_core::{Error, Result};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// More of a log's end is not looked at: samples of progress beyond that are left out of the page.
const LOG_TAIL: u64 = 4 << 20;
/// An outcome has a few KiB for each disk.
const MOST_OUTCOME: u64 = 64 << 20;

/// Writes the three files into the state folder.
///
/// # Errors
/// `Destination` and `Io` where they cannot be written.
pub(super) fn write(folder: &StateFolder, report: BatchReport) -> Result<PathBuf> {
    let path = folder.path();
    let page = html::batch(&report, path);
    let lines = text::batch(&report);
    let json = Report::Batch(Box::new(report)).to_json()?;
    for (name, content) in [("report.txt", lines), ("report.html", page), ("report.json", json)] {
        folder.write_file(name, content.as_bytes())?;
    }
    Ok(path.join("report.json"))
}

/// What became of the batch, with everything that its files tell.
pub(super) fn make(folder: &StateFolder, state: &BatchState) -> BatchReport {
    let jobs: Vec<_> =
        state.jobs.iter().zip(&state.tasks).map(|(job, task)| report_of(folder, job, task)).collect();
    let ended = state.jobs.iter().all(|job| !matches!(job.state, Phase::Running | Phase::Waiting));
    let last = state.jobs.iter().filter_map(|job| job.ended.clone()).max();
    let left = state.jobs.iter().any(|job| matches!(job.state, Phase::Failed | Phase::Held));
    let job_file = Path::new(&state.batch.job_file);
    BatchReport {
        id: state.batch.id.clone(),
        title: job_file.file_stem().map(|name| name.to_string_lossy().into_owned()),
        began: Some(state.batch.started.clone()),
        ended: last.filter(|_| ended),
        made: Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
        tool: format!("rehome {}", env!("CARGO_PKG_VERSION")),
        host: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
        retry: left.then(|| {
            let state = shell_word(folder.path());
            format!("rehome batch retry --failed --state {state}; then the same 'rehome batch run' again")
        }),
        totals: Totals::of(&jobs),
        jobs,
        evidence: Evidence::of(folder.path(), job_file).into_iter().collect(),
    }
}

fn report_of(folder: &StateFolder, job: &JobState, task: &Task) -> JobReport {
    let outcome_path = folder.job_file(&job.id, "outcome.json");
    let outcome = outcome_of(&outcome_path);
    let mut report = match &outcome {
        Some(outcome) => JobReport::from_outcome(&job.id, outcome),
        None => JobReport { id: job.id.clone(), ..JobReport::default() },
    };
    let words =
        |words: &[std::ffi::OsString]| words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    report.title = Some(job.title.clone()).filter(|title| !title.is_empty());
    report.wave = task.wave;
    report.state = state_of(job.state);
    report.exit_code = job.exit_code;
    report.command = words(&task.command);
    report.target = report.target.or_else(|| task.outputs.first().map(|path| path.display().to_string()));
    if report.action.is_empty() {
        report.action = report.command.first().cloned().unwrap_or_default();
    }
    if report.seconds.is_none() && job.seconds > 0.0 {
        report.seconds = Some(job.seconds);
    }
    if let (None, Some(error)) = (&report.error, &job.error) {
        report.error = Some(ErrorReport {
            code: error.code.clone(),
            kind: error.kind.clone(),
            message: error.message.clone(),
            hint: error.hint.clone(),
            ..ErrorReport::default()
        });
    }
    if job.attempts > 0 {
        report.attempts.push(Attempt {
            began: job.started.clone(),
            ended: job.ended.clone(),
            exit_code: job.exit_code,
            message: job.error.as_ref().map(|error| error.message.clone()),
        });
    }
    if let Some(log) = last_attempt(&folder.job_file(&job.id, "log")) {
        report.read_log(&log);
    }
    let files = outcome.as_ref().map(files_of_outcome).unwrap_or_default();
    let own = std::iter::once(outcome_path);
    report.evidence =
        files.into_iter().chain(own).filter_map(|file| Evidence::of(folder.path(), &file).ok()).collect();
    maps::add(&mut report);
    report
}

fn state_of(phase: Phase) -> State {
    match phase {
        Phase::Waiting => State::Waiting,
        Phase::Running => State::Running,
        Phase::Done => State::Done,
        Phase::Failed => State::Failed,
        Phase::Held => State::Held,
        Phase::Interrupted => State::Interrupted,
        Phase::Cancelled => State::Cancelled,
    }
}

/// What is no file would be waited for.
fn open_file(path: &Path) -> Option<File> {
    path.is_file().then(|| File::open(path).ok()).flatten()
}

fn outcome_of(path: &Path) -> Option<Value> {
    let mut text = Vec::new();
    open_file(path)?.take(MOST_OUTCOME).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What the log says of the last attempt.
fn last_attempt(path: &Path) -> Option<String> {
    let mut file = open_file(path)?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG_TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let begin = text.match_indices("=== ").filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let begin =
        begin.filter(|(at, _)| text[*at..].lines().next().is_some_and(|line| line.contains(": attempt ")));
    let at = begin.last().map_or(0, |(at, _)| at);
    Some(text[at..].to_owned())
}

/// Signs the report that lies in the state folder.
///
/// # Errors
/// As [`convert_report::signature::sign`].
pub(super) fn sign(report: &Path, key: &Path) -> Result<PathBuf> {
    let signed = convert_report::signature::sign(report, key, true);
    signed.map(|signed| signed.signature).map_err(|e: Error| e.context(format!("sign {}", report.display())))
}
