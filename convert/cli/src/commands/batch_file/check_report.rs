//! What `rehome batch check` says.

use crate::output::{counted, safe, table};
use format_core::units::format_size;
use serde::Serialize;

/// Notes of a job that people get to see; all are in JSON.
const MOST_NOTES: usize = 6;

/// The whole batch.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) exit_code: u8,
    pub(super) jobs: Vec<JobReport>,
    /// File systems of targets.
    pub(super) places: Vec<PlaceReport>,
    /// Bytes of data in all sources.
    pub(super) data: u64,
    /// Bytes a second.
    pub(super) rate: u64,
    /// `given`, `sampled` or `assumed`.
    pub(super) rate_from: &'static str,
    /// How long all jobs take one after another.
    pub(super) seconds: u64,
    pub(super) notes: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct JobReport {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) wave: u32,
    pub(super) sources: Vec<String>,
    pub(super) output: String,
    /// What does the job, for people to repeat.
    pub(super) command: Vec<String>,
    pub(super) exit_code: u8,
    pub(super) data: Option<u64>,
    pub(super) needs: Option<u64>,
    pub(super) needs_exact: bool,
    pub(super) notes: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct PlaceReport {
    pub(super) folder: String,
    pub(super) needs: u64,
    pub(super) free: u64,
    pub(super) enough: bool,
}

pub(super) fn human(report: &Report) -> String {
    let mut rows = vec![["Job", "Wave", "Data", "Needs", "Result"].map(str::to_owned).to_vec()];
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), format_size);
    for job in &report.jobs {
        let about = if job.needs_exact { "" } else { "~" };
        let result = if job.exit_code == 0 { "ok".to_owned() } else { format!("FAILS {}", job.exit_code) };
        rows.push(vec![
            job.id.clone(),
            job.wave.to_string(),
            size(job.data),
            format!("{about}{}", size(job.needs)),
            result,
        ]);
    }
    let mut text = table(&rows);
    for job in report.jobs.iter().filter(|job| !job.notes.is_empty()) {
        text.push_str(&format!("\n{}\n", job.id));
        job.notes.iter().take(MOST_NOTES).for_each(|note| text.push_str(&format!("  {}\n", safe(note))));
        let rest = job.notes.len().saturating_sub(MOST_NOTES);
        if rest > 0 {
            text.push_str(&format!("  … and {rest} more\n"));
        }
    }
    text.push('\n');
    for place in &report.places {
        let verdict = if place.enough { "enough" } else { "NOT ENOUGH" };
        let (needs, free) = (format_size(place.needs), format_size(place.free));
        text.push_str(&format!(
            "Room at {}: {needs} are needed, {free} are free: {verdict}\n",
            safe(&place.folder)
        ));
    }
    text.push_str(&format!(
        "Time: {} for {} of data at {}/s ({}), one job after another\n",
        time(report.seconds),
        format_size(report.data),
        format_size(report.rate),
        report.rate_from
    ));
    report.notes.iter().for_each(|note| text.push_str(&format!("{}\n", safe(note))));
    let bad = report.jobs.iter().filter(|job| job.exit_code != 0).count();
    let all = counted(report.jobs.len() as u64, "job");
    text.push_str(&match (bad, report.exit_code) {
        (0, 0) => format!("All well: {all} can run\n"),
        (0, code) => format!("Not ready: {all} could run, exit code {code}\n"),
        (bad, code) => format!("{bad} of {all} would fail, exit code {code}\n"),
    });
    text
}

fn time(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=5_999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
