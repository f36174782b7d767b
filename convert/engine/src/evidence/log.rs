//! The log: lines that each name the one before.

use super::event::Event;
use crate::clock::rfc3339;
use format_core::{Error, ErrorKind, Result, codes, open_at_end};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The log's name in its folder.
pub const LOG_NAME: &str = "evidence.jsonl";
/// A line is an event; none is as long.
const MAX_LINE: u64 = 16 << 20;
/// What the first line names as the one before.
const NOTHING: [u8; 32] = [0; 32];

#[derive(Serialize, Deserialize)]
struct Line {
    number: u64,
    previous: blake3_hex::Hex,
    time: String,
    #[serde(flatten)]
    event: Event,
}

/// A hash as 64 digits.
mod blake3_hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Hex(pub(super) [u8; 32]);

    impl Serialize for Hex {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(&blake3::Hash::from_bytes(self.0).to_hex())
        }
    }

    impl<'de> Deserialize<'de> for Hex {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            let hash = blake3::Hash::from_hex(&text).map_err(D::Error::custom)?;
            Ok(Self(*hash.as_bytes()))
        }
    }
}

/// What a log says as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// How many lines it has.
    pub lines: u64,
    /// BLAKE3 of the last line, in hexadecimal digits.
    pub head: String,
    /// Whether the last run ended.
    pub is_closed: bool,
    /// The runs that are not marked as good, by the number of their last line.
    pub failed: Vec<u64>,
}

/// A log that is written. No other process can write it meanwhile.
#[derive(Debug)]
pub struct EvidenceLog {
    file: File,
    path: PathBuf,
    next: u64,
    head: [u8; 32],
}

impl EvidenceLog {
    /// Opens the log in `folder`, which is made where it is missing. A log that is there is verified and goes on.
    ///
    /// # Errors
    /// `Destination`, `Denied`, `Io` from the folder; `Temporary` while another process writes it; `Mismatch` when the log
    /// that is there is not whole.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(LOG_NAME);
        let failed = |e| Error::io(format!("cannot write {}", path.display()), e);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = open_at_end(&path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => {
                let text = format!("{} is written by another process", path.display());
                Error::new(ErrorKind::Temporary, text)
            }
            other => failed(other.into()),
        })?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (state, head) = follow(&file, &path)?;
        // The name has to be as durable as the lines.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self { file, next: state.lines, head, path })
    }

    /// Adds a line with the time of now, and waits until it is durable.
    ///
    /// # Errors
    /// `Temporary` when the disk is full; `Io`.
    pub fn append(&mut self, event: Event) -> Result<()> {
        let failed = |e| Error::io(format!("cannot write {}", self.path.display()), e);
        let time = rfc3339(SystemTime::now());
        let line = Line { number: self.next, previous: blake3_hex::Hex(self.head), time, event };
        let mut bytes = serde_json::to_vec(&line).map_err(|e| failed(e.into()))?;
        self.head = *blake3::hash(&bytes).as_bytes();
        bytes.push(b'\n');
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// BLAKE3 of the last line: to be noted where nobody can change it together with the log.
    #[must_use]
    pub fn head(&self) -> String {
        blake3::Hash::from_bytes(self.head).to_hex().to_string()
    }
}

/// Follows the chain of the log at `path`. With `head`, that line has to be in it: what was noted at some time is then
/// still what the log says of that time.
///
/// # Errors
/// `SourceMissing`, `Denied`, `Io`; `Mismatch` with the number of the first line that does not belong to the one before.
pub fn verify_log(path: &Path, head: Option<&str>) -> Result<LogState> {
    let file = File::open(path).map_err(|e| Error::io(format!("cannot open {}", path.display()), e))?;
    let mut is_noted = head.is_none();
    let (state, _) = follow_with(&file, path, |found| is_noted |= head.is_some_and(|head| head == found))?;
    if is_noted {
        return Ok(state);
    }
    let text = format!("no line of {} has the hash that was noted", path.display());
    Err(Error::new(ErrorKind::Mismatch, text)
        .with_code(&codes::EVIDENCE)
        .hint("lines were taken away or changed, or it is another log"))
}

fn follow(file: &File, path: &Path) -> Result<(LogState, [u8; 32])> {
    follow_with(file, path, |_| {})
}

fn follow_with(file: &File, path: &Path, mut seen: impl FnMut(&str)) -> Result<(LogState, [u8; 32])> {
    let mut reader = BufReader::new(file);
    let mut state = LogState { lines: 0, head: String::new(), is_closed: true, failed: Vec::new() };
    let mut head = NOTHING;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        let number = state.lines;
        let wrong = |why: String| {
            let text = format!("line {number} of {} {why}", path.display());
            Error::new(ErrorKind::Mismatch, text)
                .with_code(&codes::EVIDENCE)
                .hint("the log was changed or cut: begin a new one in another folder")
        };
        let Some(content) = bytes.strip_suffix(b"\n") else {
            return Err(wrong("is cut off".into()));
        };
        let line: Line =
            serde_json::from_slice(content).map_err(|e| wrong(format!("is none of a log: {e}")))?;
        if line.number != number {
            return Err(wrong(format!("says that it is line {}", line.number)));
        }
        if line.previous.0 != head {
            return Err(wrong("does not name the line before it".into()));
        }
        state.is_closed = matches!(line.event, Event::End { .. });
        if matches!(line.event, Event::End { is_ok: false, .. }) {
            state.failed.push(number);
        }
        let hash = blake3::hash(content);
        head = *hash.as_bytes();
        state.head = hash.to_hex().to_string();
        seen(&state.head);
        state.lines = state.lines.saturating_add(1);
    }
    if state.lines == 0 {
        state.head = blake3::Hash::from_bytes(NOTHING).to_hex().to_string();
    }
    Ok((state, head))
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
