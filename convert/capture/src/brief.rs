//! Programs of the system that are asked something: they get a time, and what they say has a limit.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The most that a program may say on either stream, in bytes.
const MOST: u64 = 1 << 20;
/// How often it is looked whether a program that closed its output has ended, in milliseconds.
const LOOK: u64 = 5;

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote.
    pub(crate) output: Vec<u8>,
    /// What it complained about, on one line.
    pub(crate) complaint: String,
}

/// Why a program said nothing that counts.
#[derive(Debug)]
pub(crate) enum Silent {
    /// There is no such program.
    Missing,
    /// It cannot be started.
    Failed(std::io::Error),
    /// It did not end in time, and was killed with all that it started.
    TooLong(Duration),
    /// It said more than 1 MiB, and was killed.
    TooMuch,
}

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not installed"),
            Self::Failed(error) => write!(f, "it cannot be started: {error}"),
            Self::TooLong(limit) => write!(f, "it did not end in {} s", limit.as_secs()),
            Self::TooMuch => write!(f, "it said more than {MOST:#x} bytes"),
        }
    }
}

/// Runs `program`, without a shell, for at most `limit`.
pub(crate) fn ask(program: &str, arguments: &[&str], limit: Duration) -> Result<Said, Silent> {
    let until = Instant::now() + limit;
    let child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // So that what it starts can be ended with it.
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Silent::Missing,
        _ => Silent::Failed(e),
    })?;
    let (output, complaint) = (child.stdout.take().map(heard), child.stderr.take().map(heard));
    let said = collect(output, until).and_then(|output| Ok((output, collect(complaint, until)?)));
    let ended = said.and_then(|said| Ok((said, wait(&mut child, until)?)));
    match ended {
        Ok(((output, complaint), code)) => {
            let complaint = String::from_utf8_lossy(&complaint);
            let words: Vec<_> = complaint.split_whitespace().collect();
            Ok(Said { code, output, complaint: words.join(" ") })
        }
        Err(silent) => {
            end(&mut child);
            Err(match silent {
                Silent::TooLong(_) => Silent::TooLong(limit),
                other => other,
            })
        }
    }
}

/// What comes out of a pipe, read by a thread of its own: who holds the other end may keep it open for ever.
fn heard(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if pipe.by_ref().take(MOST + 1).read_to_end(&mut bytes).is_ok() {
            // Nobody waits any more when it came too late.
            let _ = sender.send(bytes);
        }
    });
    receiver
}

fn collect(receiver: Option<Receiver<Vec<u8>>>, until: Instant) -> Result<Vec<u8>, Silent> {
    let left = until.saturating_duration_since(Instant::now());
    match receiver.map(|receiver| receiver.recv_timeout(left)) {
        Some(Ok(bytes)) if bytes.len() as u64 > MOST => Err(Silent::TooMuch),
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(RecvTimeoutError::Timeout)) => Err(Silent::TooLong(left)),
        Some(Err(RecvTimeoutError::Disconnected)) | None => {
            Err(Silent::Failed(std::io::Error::other("its output cannot be read")))
        }
    }
}

fn wait(child: &mut Child, until: Instant) -> Result<Option<i32>, Silent> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(LOOK)),
            Ok(None) => return Err(Silent::TooLong(Duration::ZERO)),
            Err(error) => return Err(Silent::Failed(error)),
        }
    }
}

fn end(child: &mut Child) {
    // While the child is not waited for, its number is its own.
    if let Ok(Some(group)) = i32::try_from(child.id()).map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_a_time_and_a_limit() {
        let said =
            ask("sh", &["-c", "echo a; echo b >&2; echo c >&2; exit 3"], Duration::from_secs(20)).unwrap();
        assert_eq!(
            (said.code, said.output.as_slice(), said.complaint.as_str()),
            (Some(3), &b"a\n"[..], "b c")
        );
        assert!(matches!(ask("rehome-no-such-program", &[], Duration::from_secs(1)), Err(Silent::Missing)));
        let begin = Instant::now();
        // What it started holds the pipe, and has to end, too.
        let slow = ask("sh", &["-c", "sleep 60 & sleep 60"], Duration::from_millis(300));
        assert!(matches!(&slow, Err(Silent::TooLong(limit)) if limit.as_millis() == 300), "{slow:?}");
        let silent = ask("sh", &["-c", "exec >&- 2>&-; sleep 60"], Duration::from_millis(300));
        assert!(matches!(silent, Err(Silent::TooLong(_))), "{silent:?}");
        let endless = ask("sh", &["-c", "yes"], Duration::from_secs(20));
        assert!(matches!(endless, Err(Silent::TooMuch)), "{endless:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}
