//! What the program at the disk's side answers besides the disk's bytes: one request, one answer, over its standard input and output.
//!
//! A request is a line of JSON ([`Request`]). The first line from there is [`Hello`]; each answer consists of frames:
//!
//! | first byte | then | means |
//! |---|---|---|
//! | `h` | number (64-bit little-endian), 32 bytes | the hash of a piece |
//! | `r` | offset, length (64-bit little-endian) | a range that nothing uses |
//! | `.` | | done |
//! | `e` | length (16-bit little-endian), JSON | it failed; nothing more comes |

use crate::freeze::Frozen;
use crate::hashing::hash_pieces;
use format_core::{Disk, Error, ErrorKind, HashLevel, RangeSet, Result, masked};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};

/// The version of what is spoken here.
pub(crate) const VERSION: u32 = 1;
/// The longest request, in bytes.
const MOST_LINE: u64 = 1 << 20;

/// What the other side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol.
    pub rehome_session: u32,
    /// Version of the program.
    pub program: String,
    /// Size of the disk in bytes.
    pub size: u64,
    /// What tells the disk from others.
    pub identity: String,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Whether the program compresses the disk's bytes when it is asked to.
    #[serde(default)]
    pub compresses: bool,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Hashes of blocks (4 MiB) or leaves (64 KiB): first number, and the number behind the last.
    Hashes { leaves: bool, pieces: Vec<(u64, u64)> },
    /// Hold file systems for at most so long.
    Freeze { places: Vec<String>, seconds: u64 },
    /// Let them go on.
    Thaw,
    /// Look which ranges the file systems do not use; from now on they count as zeros.
    Look,
}

/// Tells what the file systems of a disk do not use, in whole pieces of 64 KiB.
pub type LookAtFree<'a> = &'a dyn Fn(&Disk) -> Result<RangeSet>;

/// How a failure is told.
#[derive(Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// Answers requests about `disk` until the input ends. File systems that are frozen then go on. `look` is asked when the other side wants to
/// know what is free.
///
/// # Errors
/// `Io` when the connection breaks; `Corrupt` for what is no request.
pub fn serve_session(
    disk: &Disk,
    look: LookAtFree<'_>,
    hello: &Hello,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let lost = |e| Error::io("the connection broke", e);
    let mut first = serde_json::to_vec(hello).map_err(|e| Error::contract("no JSON").with_source(e))?;
    first.push(b'\n');
    output.write_all(&first).and_then(|()| output.flush()).map_err(lost)?;
    let mut input = input;
    let mut state = Answering { disk, seen: disk.clone(), look, frozen: None };
    loop {
        let mut line = Vec::new();
        input.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(lost)?;
        if line.is_empty() {
            return Ok(());
        }
        let request = serde_json::from_slice(&line)
            .map_err(|e| Error::corrupt("the other side asked what nobody understands").with_source(e))?;
        match state.answer(request, &mut output) {
            Ok(()) => output.write_all(b".").map_err(lost)?,
            Err(error) => {
                let failure = Failure::of(&error);
                let mut json = serde_json::to_vec(&failure).unwrap_or_default();
                json.truncate(usize::from(u16::MAX));
                output.write_all(b"e").map_err(lost)?;
                output.write_all(&(json.len() as u16).to_le_bytes()).map_err(lost)?;
                output.write_all(&json).map_err(lost)?;
            }
        }
        output.flush().map_err(lost)?;
    }
}

struct Answering<'a> {
    disk: &'a Disk,
    /// The disk as the other side sees it: without what is free.
    seen: Disk,
    look: LookAtFree<'a>,
    frozen: Option<Frozen>,
}

impl Answering<'_> {
    fn answer(&mut self, request: Request, output: &mut impl Write) -> Result<()> {
        let lost = |e| Error::io("the connection broke", e);
        match request {
            Request::Hashes { leaves, pieces } => {
                let level = if leaves { HashLevel::Leaf } else { HashLevel::Block };
                let pieces: Vec<_> = pieces.into_iter().map(|(start, end)| start..end).collect();
                hash_pieces(&self.seen, level, &pieces, |number, hash| {
                    let mut frame = [b'h'; 41];
                    frame[1..9].copy_from_slice(&number.to_le_bytes());
                    frame[9..].copy_from_slice(&hash);
                    output.write_all(&frame).map_err(lost)
                })
            }
            Request::Freeze { places, seconds } => {
                self.frozen = None;
                self.frozen = Some(Frozen::new(&places, seconds)?);
                Ok(())
            }
            Request::Thaw => self.frozen.take().map_or(Ok(()), Frozen::thaw),
            Request::Look => {
                let free = (self.look)(self.disk)?;
                for (offset, len) in free.iter() {
                    let mut frame = [b'r'; 17];
                    frame[1..9].copy_from_slice(&offset.to_le_bytes());
                    frame[9..].copy_from_slice(&len.to_le_bytes());
                    output.write_all(&frame).map_err(lost)?;
                }
                self.seen = masked(self.disk, &free);
                Ok(())
            }
        }
    }
}

/// Kinds that the other side may tell; all else is `Io`.
const KINDS: [(&str, ErrorKind); 5] = [
    ("corrupt", ErrorKind::Corrupt),
    ("unsupported", ErrorKind::Unsupported),
    ("usage", ErrorKind::Usage),
    ("denied", ErrorKind::Denied),
    ("temporary", ErrorKind::Temporary),
];

fn kind_name(kind: ErrorKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("io", |(name, _)| name)
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Self { kind: kind_name(error.kind()).into(), text: error.to_string() }
    }

    pub(crate) fn into_error(self) -> Error {
        let kind = KINDS.iter().find(|(name, _)| *name == self.kind).map_or(ErrorKind::Io, |(_, kind)| *kind);
        Error::new(kind, format_core::printable(&self.text)).context("at the source's side")
    }
}
