//! Other programs, asked for their version and nothing else.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that says nothing for this long is not waited for.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of its answer that are read.
const ANSWER: u64 = 4096;

/// A program of the search path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The first line that `program` prints, on stdout or else stderr, when it is called with `args`.
pub(crate) fn first_line(program: &Path, args: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let (out, err) = (child.stdout.take()?, child.stderr.take()?);
    let (sender, receiver) = std::sync::mpsc::channel();
    // What does not end keeps its thread; this process ends soon.
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.take(ANSWER).read_to_end(&mut text);
        if text.is_empty() {
            let _ = err.take(ANSWER).read_to_end(&mut text);
        }
        let _ = sender.send(text);
    });
    let answer = receiver.recv_timeout(LIMIT).ok();
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if answer.is_none() || began.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = answer?;
    let text = String::from_utf8_lossy(&answer);
    text.lines().map(crate::text::line).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_and_one_that_hangs_is_left() {
        let sh = program("sh").unwrap();
        assert_eq!(first_line(&sh, &["-c", "echo; echo two; echo three"]).as_deref(), Some("two"));
        assert_eq!(first_line(&sh, &["-c", "echo to stderr >&2"]).as_deref(), Some("to stderr"));
        let began = Instant::now();
        assert_eq!(first_line(&sh, &["-c", "exec sleep 60"]), None);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(program("no-such-program-here").is_none());
    }
}
