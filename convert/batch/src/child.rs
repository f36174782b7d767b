//! A job as a child process: a crash, a leak or a kill of one touches no other.

use crate::budget::Share;
use crate::deadline;
use crate::outcome::Outcome;
use crate::runner::{Attempt, Ending, Runner};
use crate::state::{JobError, Progress, files};
use crate::time::now_text;
use format_core::{Error, Fence, Result, codes, open_at_end, steers};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// A longer line of a child is cut into several.
const MAX_LINE: u64 = 16 << 10;
/// What stands in the log of one attempt at most; what follows is left away.
const MAX_LOG: u64 = 8 << 20;

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
        let mut log = Log { file: open_at_end(&log_path)?, left: MAX_LOG, last_error: None };
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

/// A word as bash takes it, on one line and without anything that steers a terminal.
fn quoted(word: &OsStr) -> String {
    let by_number = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let Some(text) = word.to_str() else {
        return format!("$'{}'", by_number(word.as_bytes()));
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let needs_number = |c: char| steers(c) || c == '\t';
    if text.contains(needs_number) {
        let escape = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if needs_number(c) => by_number(c.to_string().as_bytes()),
            c => c.to_string(),
        };
        return format!("$'{}'", text.chars().map(escape).collect::<String>());
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The log of a job.
struct Log {
    file: File,
    left: u64,
    /// The last line that told of an error.
    last_error: Option<String>,
}

impl Log {
    fn line(&mut self, line: &str) {
        let len = line.len() as u64 + 1;
        if self.left >= len {
            self.left -= len;
            // A full disk is told by the child; the log only helps to see why.
            let _ = self.file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// One line of progress as a child prints it.
#[derive(serde::Deserialize)]
struct ProgressLine {
    event: String,
    stage: String,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    seconds: f64,
}

/// Reads what the child says until it has nothing more to say.
fn follow(stderr: ChildStderr, log: &mut Log, tell: &(dyn Fn(&Progress) + Sync)) -> Option<Progress> {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut last = None;
    loop {
        line.clear();
        match (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if let Some(found) = serde_json::from_str::<ProgressLine>(text).ok().filter(|_| text.starts_with('{'))
        {
            let ProgressLine { event, stage, bytes, total, seconds } = found;
            let progress = Progress { stage, bytes, total, seconds };
            tell(&progress);
            last = Some(progress);
            // Twice a second for hours: the ends say enough.
            if event == "progress" {
                continue;
            }
        }
        if let Some(error) = text.strip_prefix("error: ") {
            log.last_error = Some(error.to_owned());
        }
        log.line(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What bash makes of the words is what they were, to the byte.
    #[test]
    fn a_command_of_the_log_can_be_repeated() {
        let words: [&[u8]; 12] = [
            b"plain.raw",
            b"",
            b"-x",
            b"it's $(id) `id` \"x\" \\ \\n",
            b"a\x1b[31m\nb\tc\r\x07",
            b"\xff\xfe'\\",
            "\u{9b}2J\u{202e}\u{feff}\u{61c}f0".as_bytes(),
            "\u{2018}\u{2019} 名前 🖥".as_bytes(),
            b"*",
            b"~",
            b"!x",
            b"{a,b}",
        ];
        let line: Vec<String> = words.iter().map(|word| quoted(OsStr::from_bytes(word))).collect();
        let line = line.join(" ");
        assert!(!line.contains(|c| steers(c) || c == '\t'), "{line}");
        let output = Command::new("bash").args(["-c", &format!("printf '%s\\0' {line}")]).output().unwrap();
        let found: Vec<&[u8]> = output.stdout.strip_suffix(b"\0").unwrap().split(|&byte| byte == 0).collect();
        assert_eq!(found, words, "{line}");
    }
}
