//! A job as a child process: a crash, a leak or a kill of one touches no other.

use crate::budget::Share;
use crate::deadline;
use crate::job_log::{Log, follow, quoted};
use crate::outcome::Outcome;
use crate::runner::{Attempt, Ending, Runner};
use crate::state::{JobError, files};
use crate::time::now_text;
use format_core::{Error, Fence, Result, codes, open_at_end};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// A child that can be signalled as long as it runs, and never another process that got its number.
#[derive(Debug, Default)]
pub struct ChildHandle {
    state: Mutex<HandleState>,
}

#[derive(Debug, Default)]
struct HandleState {
    pid: Option<Pid>,
    asked: Option<Signal>,
}

impl ChildHandle {
    /// Asks the child to come to its end at a checkpoint; one that has not begun is not started.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the child at once: it must not touch anything any more.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        self.locked().asked = Some(signal);
        self.send(signal);
    }

    /// Signals the child if it runs; nobody has asked the job to end.
    pub(crate) fn send(&self, signal: Signal) {
        let state = self.locked();
        if let Some(pid) = state.pid {
            // It may have ended, and waits to be waited for.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it was asked to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.locked().asked.is_some()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HandleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs tasks as children of this program.
#[derive(Clone, Debug)]
pub struct ChildRunner {
    /// The program.
    pub program: PathBuf,
    /// Its arguments before those of a task.
    pub global: Vec<OsString>,
    /// What a job may take.
    pub share: Share,
}

impl ChildRunner {
    /// The variable that tells a child whose child it is: it ends when that process does.
    pub const PARENT: &'static str = "REHOME_PARENT";

    /// The arguments that a task is run with.
    #[must_use]
    pub fn arguments(&self, attempt: &Attempt<'_>) -> Vec<OsString> {
        let mut args = self.global.clone();
        let own = self.share.apply(&attempt.task.command);
        args.extend(own);
        if attempt.replace && !attempt.task.command.iter().any(|arg| arg == "--force" || arg == "--sync") {
            // Behind the command's name: what comes last may be files.
            args.insert(self.global.len() + 1, "--force".into());
        }
        args
    }

    fn command(&self, attempt: &Attempt<'_>, outcome: File) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(attempt)).env(Self::PARENT, std::process::id().to_string());
        command.env_remove(Fence::LEASE).env_remove(Fence::FRESH);
        if let Some(lease) = attempt.lease {
            command.env(Fence::LEASE, lease);
            command.env(Fence::FRESH, if attempt.is_fresh { "1" } else { "0" });
        }
        // In a group of its own: Ctrl-C at the terminal reaches the batch alone, which asks its children once.
        command.process_group(0).stdin(Stdio::null()).stdout(outcome).stderr(Stdio::piped());
        command
    }
}

impl Runner for ChildRunner {
    fn run(&self, attempt: &Attempt<'_>) -> Result<Ending> {
        let outcome_path = attempt.state.job_file(&attempt.task.id, "outcome.json");
        let unfinished = attempt.state.job_file(&attempt.task.id, "outcome.json.partial");
        let failed = |path: &Path| {
            let text = format!("cannot write {}", path.display());
            move |e| files::destination(text, e)
        };
        // A new file: a child that was taken for dead may still write to the old one.
        let removed = std::fs::remove_file(&unfinished);
        removed
            .or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
            .map_err(failed(&unfinished))?;
        let outcome = File::create_new(&unfinished).map_err(failed(&unfinished))?;
        let log_path = attempt.state.job_file(&attempt.task.id, "log");
        let mut log = Log::new(open_at_end(&log_path)?);
        let mut command = self.command(attempt, outcome);
        log.line(&header(attempt, &command));
        let mut child = {
            // Held over the start, so that no signal is lost.
            let mut handle = attempt.handle.locked();
            if handle.asked.is_some() {
                return Ok(Ending::not_started());
            }
            let child = command
                .spawn()
                .map_err(|e| Error::io(format!("cannot start {}", self.program.display()), e))?;
            handle.pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            child
        };
        let stderr = child.stderr.take();
        let (status, progress, is_late) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| stderr.and_then(|stderr| follow(stderr, &mut log, attempt.progress)));
            let (running, ended) = mpsc::channel();
            let allowed = attempt.task.timeout.map(|seconds| Duration::from_secs(seconds.into()));
            let deadline =
                allowed.map(|time| scope.spawn(move || deadline::watch(&ended, attempt.handle, time)));
            let status = wait(&mut child, attempt.handle);
            drop(running);
            let is_late = deadline.is_some_and(|deadline| deadline.join().unwrap_or_default());
            (status, reader.join().unwrap_or_default(), is_late)
        });
        let status = status?;
        log.line(&format!("=== {}: {}", now_text(), said(status)));
        std::fs::rename(&unfinished, &outcome_path).map_err(failed(&outcome_path))?;
        let outcome = Outcome::read(&outcome_path);
        let error = outcome.error.or_else(|| error_of(status, log.last_error));
        let ending = Ending {
            exit_code: status.code(),
            signal: status.signal(),
            error: error.filter(|_| !status.success()),
            bytes: outcome.bytes,
            digest: outcome.digest,
            warnings: outcome.warnings,
            progress,
        };
        Ok(match attempt.task.timeout.filter(|_| is_late) {
            Some(seconds) => deadline::ending_of_late(ending, seconds),
            None => ending,
        })
    }
}

/// Waits for the child without giving its number free before nobody signals it any more.
fn wait(child: &mut std::process::Child, handle: &ChildHandle) -> Result<ExitStatus> {
    let pid = handle.locked().pid;
    if let Some(pid) = pid {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
        // What it started and left behind ends too, and with that what it says. Mostly there is nothing.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let mut state = handle.locked();
    state.pid = None;
    child.wait().map_err(|e| Error::io("cannot wait for a child process", e))
}

fn said(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// What is told of a child that printed no error.
fn error_of(status: ExitStatus, last: Option<String>) -> Option<JobError> {
    if status.success() {
        return None;
    }
    let kind = if status.signal().is_some() { "signal" } else { "unknown" };
    let message = last.unwrap_or_else(|| format!("the process {}", said(status)));
    // A run that ends with 1 has told in its result what is bad.
    let code = (status.code() != Some(1)).then(|| codes::JOB_CRASHED.id.into());
    Some(JobError { code, kind: kind.into(), message, hint: None })
}

fn header(attempt: &Attempt<'_>, command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(quoted).collect();
    format!("=== {}: attempt {}: {}", now_text(), attempt.number, line.join(" "))
}
