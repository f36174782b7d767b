//! A batch while it runs: a line for each running job and one for all, or lines of JSON.

use crate::args::ProgressKind;
use crate::output::{json_to_stderr, safe};
use convert_batch::{Event, Progress, Task, Watcher};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of JSON about one job's progress come at most this often.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches a batch in the way that was asked for.
pub(super) enum Show {
    Bars(Bars),
    Json(Mutex<HashMap<String, Instant>>),
    None,
}

pub(super) struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    jobs: Mutex<HashMap<String, ProgressBar>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Show {
    pub(super) fn new(kind: ProgressKind, jobs: usize) -> Self {
        match kind {
            ProgressKind::Bar => Self::bars(jobs),
            ProgressKind::Auto if std::io::stderr().is_terminal() => Self::bars(jobs),
            ProgressKind::Json => Self::Json(Mutex::default()),
            ProgressKind::Auto | ProgressKind::None => Self::None,
        }
    }

    fn bars(jobs: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        let template = "{msg:24!} {bar:30} {pos} of {len} jobs, {elapsed} gone, {eta} left";
        let overall = styled(all.add(ProgressBar::new(jobs as u64)), template);
        overall.set_message("all");
        overall.enable_steady_tick(Duration::from_secs(1));
        Self::Bars(Bars { all, overall, jobs: Mutex::default() })
    }

    /// Nothing is shown any more.
    pub(super) fn end(&self) {
        if let Self::Bars(bars) = self {
            locked(&bars.jobs).drain().for_each(|(_, bar)| bar.finish_and_clear());
            bars.overall.finish_and_clear();
        }
    }
}

impl Bars {
    fn event(&self, event: &Event) {
        match (event.event, &event.job) {
            ("batch-started", _) => {
                self.overall.set_length(event.jobs.unwrap_or(0) as u64);
                self.overall.set_position(event.done.unwrap_or(0) as u64);
                // What was done before says nothing about the time that is left.
                self.overall.reset_eta();
            }
            ("job-started", Some(job)) => {
                let template = "{msg:24!} {bar:30} {prefix:10!} {bytes}/{total_bytes} data, {eta} left";
                let bar = styled(ProgressBar::new(0), template);
                let bar = self.all.insert_before(&self.overall, bar);
                bar.set_message(safe(job));
                locked(&self.jobs).insert(job.clone(), bar);
            }
            ("job-done" | "job-failed" | "job-held" | "job-interrupted" | "job-retry", Some(job)) => {
                if let Some(bar) = locked(&self.jobs).remove(job) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                if event.event != "job-retry" {
                    self.overall.inc(1);
                }
                if event.event != "job-done" {
                    let message = event.message.as_deref().unwrap_or_default();
                    let line = format!("{} {}: {}", event.event, safe(job), safe(message));
                    // The bars are drawn again below.
                    let _ = self.all.println(line);
                }
            }
            _ => {}
        }
    }

    fn progress(&self, task: &Task, progress: &Progress) {
        if let Some(bar) = locked(&self.jobs).get(&task.id) {
            bar.set_prefix(safe(&progress.stage));
            bar.set_length(progress.total);
            bar.set_position(progress.bytes);
        }
    }
}

impl Watcher for Show {
    fn event(&self, event: &Event) {
        match self {
            Self::Bars(bars) => bars.event(event),
            Self::Json(_) => {
                if let Ok(line) = serde_json::to_string(event) {
                    json_to_stderr(&line);
                }
            }
            Self::None => {}
        }
    }

    fn progress(&self, task: &Task, progress: &Progress) {
        match self {
            Self::Bars(bars) => bars.progress(task, progress),
            Self::Json(said) => {
                let mut said = locked(said);
                if said.get(&task.id).is_some_and(|at| at.elapsed() < INTERVAL) {
                    return;
                }
                said.insert(task.id.clone(), Instant::now());
                let line = serde_json::json!({
                    "event": "progress", "job": task.id, "stage": progress.stage, "bytes": progress.bytes,
                    "total": progress.total, "seconds": progress.seconds,
                });
                json_to_stderr(&line.to_string());
            }
            Self::None => {}
        }
    }
}
