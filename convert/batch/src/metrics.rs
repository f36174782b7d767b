//! Metrics for Prometheus, as a file that its node exporter reads.

use crate::state::{BatchState, Phase, files};
use crate::time::unix_seconds;
use format_core::{Result, steers};
use std::fmt::Write;
use std::path::Path;

/// What only a run knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFacts {
    /// Bytes of data that all jobs read since the run began.
    pub bytes: u64,
    /// The exit code, once the run ended.
    pub exit_code: Option<u8>,
}

/// The metrics of a batch in the text format of Prometheus.
#[must_use]
pub fn metrics_text(state: &BatchState, facts: RunFacts) -> String {
    let counts = Phase::ALL.map(|phase| (phase, state.count(phase)));
    let jobs = &state.jobs;
    let seconds: f64 = jobs.iter().map(|job| job.seconds).sum();
    let bytes: u64 = jobs.iter().filter_map(|job| job.bytes).sum();
    let attempts: u64 = jobs.iter().map(|job| u64::from(job.attempts)).sum();
    let last = jobs.iter().filter(|job| job.state == Phase::Done).filter_map(|job| job.ended.as_deref());
    let last = last.filter_map(unix_seconds).fold(0.0, f64::max);
    let batch = label(&state.batch.job_file);
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
        let _ = write!(text, "# HELP rehome_batch_{name} {help}\n# TYPE rehome_batch_{name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "rehome_batch_{name}{{batch=\"{batch}\"{labels}}} {value}");
        }
    };
    let one = |value: String| vec![(String::new(), value)];
    let by_phase = counts.map(|(phase, count)| (format!(",state=\"{}\"", phase.name()), count.to_string()));
    family("jobs", "gauge", "Jobs by state.", &by_phase);
    family("attempts", "gauge", "Attempts at all jobs.", &one(attempts.to_string()));
    family(
        "job_seconds",
        "gauge",
        "Time that the last attempts at all jobs took.",
        &one(seconds.to_string()),
    );
    family(
        "job_bytes",
        "gauge",
        "Bytes of data that were copied by jobs that ended.",
        &one(bytes.to_string()),
    );
    family(
        "read_bytes_total",
        "counter",
        "Bytes of data read since this run began.",
        &one(facts.bytes.to_string()),
    );
    family(
        "last_done_timestamp_seconds",
        "gauge",
        "When the last job was done, 0 for never.",
        &one(last.to_string()),
    );
    if let Some(code) = facts.exit_code {
        family("exit_code", "gauge", "The exit code of the last run that ended.", &one(code.to_string()));
    }
    text
}

fn label(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' | '"' => format!("\\{c}"),
        '\n' => "\\n".into(),
        c if steers(c) => '\u{fffd}'.into(),
        c => c.into(),
    };
    text.chars().map(escape).collect()
}

/// Writes the metrics, whole or not at all.
///
/// # Errors
/// `Destination`, `Io`.
pub fn write_metrics(path: &Path, state: &BatchState, facts: RunFacts) -> Result<()> {
    files::write(path, metrics_text(state, facts).as_bytes(), files::Durability::Fleeting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{BatchInfo, JobState};
    use crate::testing::task;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// What judges the text is Prometheus' own tool.
    #[test]
    fn promtool_takes_the_metrics() {
        let batch = BatchInfo {
            id: "b".into(),
            job_file: "odd\"\\\njobs.toml".into(),
            job_file_hash: String::new(),
            started: "2026-11-30T05:00:00.000Z".into(),
            version: "1".into(),
        };
        let mut job = JobState::new(&task("a"));
        (job.state, job.seconds, job.bytes) = (Phase::Done, 1.5, Some(1 << 40));
        job.ended = Some("2026-11-30T05:00:00.500Z".into());
        let jobs = vec![job, JobState::new(&task("b"))];
        let state = BatchState { batch, jobs, tasks: Vec::new(), warnings: Vec::new() };
        let text = metrics_text(&state, RunFacts { bytes: 7, exit_code: Some(65) });
        assert!(
            text.contains(r#"rehome_batch_jobs{batch="odd\"\\\njobs.toml",state="waiting"} 1"#),
            "{text}"
        );
        assert!(text.contains("_seconds{batch=\"odd\\\"\\\\\\njobs.toml\"} 1796014800.5"), "{text}");
        let spawned = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) => {
                assert!(std::env::var_os("CI").is_none(), "promtool is missing ({e}): install prometheus");
                eprintln!("NOT TESTED: promtool is missing, install prometheus");
                return;
            }
        };
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}{text}");
    }
}
