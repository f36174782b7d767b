//! `rehome batch status`

use crate::args::BatchStatusArgs;
use crate::output::{Printer, more, safe, table, to_stdout};
use convert_batch::{BatchState, JobState, Phase, StateFolder, Status, seconds_left};
use format_core::units::format_size;
use format_core::{Error, Result};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// More jobs of one kind are counted.
const MOST_JOBS: usize = 50;

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: Status,
    seconds_left: Option<f64>,
    #[serde(rename = "states")]
    jobs: &'a [JobState],
    warnings: &'a [String],
}

pub(super) fn run(args: &BatchStatusArgs, printer: &Printer) -> Result<ExitCode> {
    let state = StateFolder::open(&args.state.state).and_then(|folder| folder.load());
    if args.nagios {
        return nagios(state);
    }
    let state = state?;
    let shown = Shown {
        status: Status::of(&state),
        seconds_left: seconds_left(&state, SystemTime::now()),
        jobs: &state.jobs,
        warnings: &state.warnings,
    };
    printer.result(&shown, |_| status_text(&state))?;
    Ok(ExitCode::SUCCESS)
}

fn nagios(state: Result<BatchState, Error>) -> Result<ExitCode> {
    let (code, line) = match state {
        Ok(state) => Status::of(&state).nagios(),
        Err(error) => (3, format!("REHOME UNKNOWN - {}", error.to_string().replace('|', "/"))),
    };
    to_stdout(&(safe(&line) + "\n"))?;
    Ok(ExitCode::from(code))
}

/// The batch as a table: what needs to be looked at first, then what runs and waits.
pub(super) fn status_text(state: &BatchState) -> String {
    let counts = Phase::ALL.map(|phase| (phase, state.count(phase)));
    let said: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    let said: Vec<_> = said.iter().map(|(phase, count)| format!("{count} {}", phase.name())).collect();
    let mut text = format!("{} jobs: {}\n", state.jobs.len(), said.join(", "));
    if let Some(left) = seconds_left(state, SystemTime::now()).filter(|left| *left > 0.0) {
        let left = Duration::from_secs(left as u64);
        text.push_str(&format!("about {} left\n", humantime::format_duration(left)));
    }
    for phase in [Phase::Failed, Phase::Held, Phase::Interrupted, Phase::Running, Phase::Waiting] {
        let jobs: Vec<_> = state.jobs.iter().filter(|job| job.state == phase).collect();
        if jobs.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{}\n", phase.name()));
        let rows: Vec<_> = jobs.iter().take(MOST_JOBS).map(|job| row(job)).collect();
        text.push_str(&table(&rows));
        text.push_str(&more(jobs.len() as u64, MOST_JOBS));
    }
    text
}

fn row(job: &JobState) -> Vec<String> {
    let said = match (&job.error, &job.progress) {
        (Some(error), _) => match &error.hint {
            Some(hint) => format!("{} ({})", safe(&error.message), safe(hint)),
            None => safe(&error.message),
        },
        (None, Some(progress)) => format!("{} {}", safe(&progress.stage), format_size(progress.bytes)),
        (None, None) => String::new(),
    };
    let code = match job.state {
        Phase::Failed | Phase::Held | Phase::Interrupted => format!("exit {}", job.code()),
        _ => String::new(),
    };
    let attempts = if job.attempts > 1 { format!("{} attempts", job.attempts) } else { String::new() };
    vec![safe(&job.id), code, attempts, said]
}
