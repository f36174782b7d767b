//! Progress on stderr: a bar for people, lines of JSON for programs.

use crate::args::ProgressKind;
use crate::output::{json_to_stderr, safe};
use convert_engine::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of JSON come at most this often.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches a run in the way that was asked for.
pub(crate) enum Progress {
    Bar(Mutex<Option<ProgressBar>>),
    Json(Mutex<Option<Stage>>),
    None,
}

pub(crate) struct Stage {
    name: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    said: Instant,
}

impl Progress {
    pub(crate) fn new(kind: ProgressKind, bar_wanted: bool) -> Self {
        let bar = || Self::Bar(Mutex::default());
        match kind {
            ProgressKind::Bar => bar(),
            ProgressKind::Auto if bar_wanted || std::io::stderr().is_terminal() => bar(),
            ProgressKind::Json => Self::Json(Mutex::default()),
            ProgressKind::Auto | ProgressKind::None => Self::None,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn say(&mut self, event: &str) {
        self.said = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let line = serde_json::json!({
            "event": event, "stage": self.name, "bytes": self.done, "total": self.total, "seconds": seconds,
        });
        json_to_stderr(&line.to_string());
    }
}

fn new_bar(stage: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    let template = "{msg:14} {bar:30} {bytes}/{total_bytes} data, {binary_bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(stage);
    bar
}

impl Progress {
    /// Shows how long something is watched already, and what it said last. Called about every second.
    pub(crate) fn watch(&self, stage: &'static str, elapsed: Duration, limit: Duration, line: &str) {
        match self {
            Self::Bar(bar) => {
                let mut bar = locked(bar);
                let bar = bar.get_or_insert_with(|| new_watch(stage));
                let line: String = safe(line).chars().take(90).collect();
                bar.set_message(format!("{} of {} s  {line}", elapsed.as_secs(), limit.as_secs()));
            }
            Self::Json(_) => {
                let line = serde_json::json!({
                    "event": "watch", "stage": stage, "seconds": elapsed.as_secs_f64(), "limit": limit.as_secs(), "line": line,
                });
                json_to_stderr(&line.to_string());
            }
            Self::None => {}
        }
    }

    /// What was watched came to its end.
    pub(crate) fn watched(&self) {
        if let Self::Bar(bar) = self
            && let Some(bar) = locked(bar).take()
        {
            bar.finish_and_clear();
        }
    }
}

fn new_watch(stage: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template("{prefix:14} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(stage);
    bar
}

/// Several runs that are shown as one. The stage begins with the first of them, and grows with the others.
pub(crate) struct Together<'a> {
    observer: &'a dyn Observer,
    has_begun: Mutex<bool>,
}

impl<'a> Together<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, has_begun: Mutex::new(false) }
    }

    /// All of them ended.
    pub(crate) fn all_ended(&self) {
        if *locked(&self.has_begun) {
            self.observer.end();
        }
    }
}

impl Observer for Together<'_> {
    fn begin(&self, stage: &'static str, total: u64) {
        let mut has_begun = locked(&self.has_begun);
        if std::mem::replace(&mut has_begun, true) {
            self.observer.grow(total);
        } else {
            self.observer.begin(stage, total);
        }
    }

    fn grow(&self, bytes: u64) {
        self.observer.grow(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.observer.advance(bytes);
    }

    fn pass(&self, bytes: u64) {
        self.observer.pass(bytes);
    }

    fn end(&self) {}
}

impl Observer for Progress {
    fn begin(&self, stage: &'static str, total: u64) {
        match self {
            Self::Bar(bar) => *locked(bar) = Some(new_bar(stage, total)),
            Self::Json(current) => {
                let now = Instant::now();
                let mut stage = Stage { name: stage, total, done: 0, started: now, said: now };
                stage.say("begin");
                *locked(current) = Some(stage);
            }
            Self::None => {}
        }
    }

    fn grow(&self, bytes: u64) {
        match self {
            Self::Bar(bar) => {
                if let Some(bar) = locked(bar).as_ref() {
                    bar.inc_length(bytes);
                }
            }
            Self::Json(current) => {
                if let Some(stage) = locked(current).as_mut() {
                    stage.total = stage.total.saturating_add(bytes);
                }
            }
            Self::None => {}
        }
    }

    fn advance(&self, bytes: u64) {
        match self {
            Self::Bar(bar) => {
                if let Some(bar) = locked(bar).as_ref() {
                    bar.inc(bytes);
                }
            }
            Self::Json(current) => {
                if let Some(stage) = locked(current).as_mut() {
                    stage.done = stage.done.saturating_add(bytes);
                    if stage.said.elapsed() >= INTERVAL {
                        stage.say("progress");
                    }
                }
            }
            Self::None => {}
        }
    }

    fn end(&self) {
        match self {
            Self::Bar(bar) => {
                if let Some(bar) = locked(bar).take() {
                    bar.finish_and_clear();
                }
            }
            Self::Json(current) => {
                if let Some(mut stage) = locked(current).take() {
                    stage.say("end");
                }
            }
            Self::None => {}
        }
    }
}
