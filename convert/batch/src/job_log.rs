//! The log of a job: what its child says, with the marks of the batch.

use crate::state::Progress;
use format_core::steers;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ChildStderr;

/// A longer line of a child is cut into several.
const MAX_LINE: u64 = 16 << 10;
/// The next progress that is logged is a second and so much farther than the one before: a stage of a day has 500 lines.
const FARTHER: f64 = 1.02;
/// What stands in the log of one attempt at most; what follows is left away.
const MAX_LOG: u64 = 8 << 20;

/// A word as bash takes it, on one line and without anything that steers a terminal.
pub(crate) fn quoted(word: &OsStr) -> String {
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
pub(crate) struct Log {
    file: File,
    left: u64,
    /// The last line that told of an error.
    pub(crate) last_error: Option<String>,
}

impl Log {
    pub(crate) fn new(file: File) -> Self {
        Self { file, left: MAX_LOG, last_error: None }
    }

    pub(crate) fn line(&mut self, line: &str) {
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
pub(crate) fn follow(
    stderr: ChildStderr,
    log: &mut Log,
    tell: &(dyn Fn(&Progress) + Sync),
) -> Option<Progress> {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut last = None;
    let mut due = 0.0;
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
            // Twice a second for hours is too much for a log.
            if event == "progress" && seconds < due {
                continue;
            }
            due = seconds * FARTHER + 1.0;
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
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    #[test]
    fn progress_of_hours_stays_short_in_the_log_and_keeps_its_shape() {
        let folder = tempfile::tempdir().unwrap();
        let (said, path) = (folder.path().join("said"), folder.path().join("log"));
        let line = |event: &str, seconds: f64| {
            format!(
                "{{\"event\":\"{event}\",\"stage\":\"copy\",\"bytes\":{seconds},\"total\":20000,\"seconds\":{seconds}}}\n"
            )
        };
        let hours: String = (1..20_000).map(|second| line("progress", second.into())).collect();
        let stage = line("begin", 0.0) + &hours + &line("end", 20_000.0);
        std::fs::write(&said, stage.clone() + "error: at last\n" + &stage).unwrap();
        let script = format!("cat '{}' >&2", said.display());
        let child = Command::new("sh").args(["-c", &script]).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut log = Log::new(File::create(&path).unwrap());
        let told = AtomicUsize::new(0);
        let tell = |_: &Progress| {
            told.fetch_add(1, Ordering::Relaxed);
        };
        let last = follow(child.stderr.take().unwrap(), &mut log, &tell);
        child.wait().unwrap();
        assert_eq!((last.unwrap().bytes, told.into_inner()), (20_000, 40_002));
        assert_eq!(log.last_error.as_deref(), Some("at last"));
        let text = std::fs::read_to_string(&path).unwrap();
        let count = |event: &str| text.matches(event).count();
        assert_eq!((count("begin"), count("\"end\""), count("error: at last")), (2, 2, 1));
        assert!((500..1000).contains(&count("\"progress\"")), "{}", count("\"progress\""));
    }
}
