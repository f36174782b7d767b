//! The client of a [session](crate::serve_session): a disk's side as [`Remote`].

use crate::patient::Patient;
use crate::program::FarProgram;
use crate::session::{Failure, Hello, Request, VERSION};
use format_core::{Error, ErrorKind, HashLevel, RangeSet, Remote, Result};
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest first line of the other side, in bytes.
const MOST_HELLO: u64 = 64 << 10;
/// How long the other side may say nothing: hashes come every 64 MiB, a look at free space reads all maps of a disk.
const SILENCE: Duration = Duration::from_secs(600);
/// How many ranges are asked for in one request.
const MOST_RANGES: usize = 10_000;
/// How much is shown of what the other side said in the place of a greeting, in characters.
const MOST_SAID: usize = 200;
/// How many ranges a disk's free space may have.
const MOST_FREE: usize = 1 << 20;

/// A side that can hold still.
pub trait Side: Remote {
    /// Holds the file systems mounted at `places` for at most `seconds`.
    ///
    /// # Errors
    /// `Unsupported` where that cannot be done.
    fn freeze(&self, places: &[String], seconds: u64) -> Result<()>;

    /// Lets them go on.
    ///
    /// # Errors
    /// `Temporary` when they had gone on before.
    fn thaw(&self) -> Result<()>;

    /// What the disk's file systems do not use now, in pieces of 64 KiB; [`Remote::hashes`] takes these for zeros from now on. Empty
    /// where nobody asked to leave anything out.
    ///
    /// # Errors
    /// What reading the disk meets.
    fn free(&self) -> Result<RangeSet>;

    /// Whether what was read was what it should be; asked once, before an image gets its name.
    ///
    /// # Errors
    /// `Temporary` when it was not.
    fn confirm(&self) -> Result<()> {
        Ok(())
    }
}

/// A program at the disk's side.
pub struct FarSide {
    hello: Hello,
    skip_free: bool,
    session: Mutex<Session>,
    /// Dropped after the session: what runs there may have been copied there.
    program: Option<Arc<FarProgram>>,
}

struct Session {
    /// The program, where it is a child of this one.
    child: Option<Child>,
    input: Option<Box<dyn Write + Send>>,
    output: BufReader<Box<dyn Read + Send>>,
}

impl fmt::Debug for FarSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarSide")
            .field("hello", &self.hello)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl FarSide {
    /// Starts the program, by these words and without a shell, and hears what it is. With `skip_free`, what the disk's file systems do not use
    /// counts as zeros.
    ///
    /// # Errors
    /// `Temporary` when the connection fails; `Unsupported` for another version of the protocol.
    pub fn start(words: &[OsString], skip_free: bool) -> Result<Self> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::usage("there is no program to start"));
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(format!("cannot start {}", program.display()), e))?;
        let mut child = child;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(Error::contract("a program was started without pipes"));
        };
        Self::begin(Box::new(Patient::new(output, SILENCE)), Box::new(input), Some(child), skip_free)
    }

    /// The same over any pair of streams.
    ///
    /// # Errors
    /// As [`FarSide::start`].
    pub fn over(output: Box<dyn Read + Send>, input: Box<dyn Write + Send>, skip_free: bool) -> Result<Self> {
        Self::begin(output, input, None, skip_free)
    }

    fn begin(
        output: Box<dyn Read + Send>,
        input: Box<dyn Write + Send>,
        child: Option<Child>,
        skip_free: bool,
    ) -> Result<Self> {
        let mut session = Session { child, input: Some(input), output: BufReader::new(output) };
        let mut line = Vec::new();
        session.output.by_ref().take(MOST_HELLO).read_until(b'\n', &mut line).map_err(broken)?;
        let hello: Hello = serde_json::from_slice(&line).map_err(|e| {
            let said = String::from_utf8_lossy(&line);
            let said: String = said.trim().chars().take(MOST_SAID).collect();
            let said = if said.is_empty() { "nothing".into() } else { format!("{said:?}") };
            let text = format!("the program at the source's side did not start: it said {said}");
            Error::new(ErrorKind::Temporary, text).with_source(e)
        })?;
        if hello.rehome_session != VERSION {
            let text =
                format!("the source's side speaks version {}, known is {VERSION}", hello.rehome_session);
            return Err(Error::unsupported(text)
                .hint("use the same version of rehome at both ends, or let this one copy itself there"));
        }
        Ok(Self { hello, skip_free, session: Mutex::new(session), program: None })
    }

    /// The same, with the program that it was started by.
    #[must_use]
    pub(crate) fn keeping(self, program: Arc<FarProgram>) -> Self {
        Self { program: Some(program), ..self }
    }

    /// What it said of the disk.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The ranges that frames tell, ascending and apart.
    fn look(&self) -> Result<RangeSet> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.send(&Request::Look)?;
        let (mut free, mut count, mut last) = (RangeSet::default(), 0, 0);
        loop {
            match session.byte()? {
                b'.' => return Ok(free),
                b'e' => return Err(session.failure()?),
                b'r' => {
                    let (offset, len) =
                        (u64::from_le_bytes(session.bytes()?), u64::from_le_bytes(session.bytes()?));
                    let end = offset
                        .checked_add(len)
                        .filter(|end| *end <= self.hello.size && offset >= last && len > 0);
                    count += 1;
                    let Some(end) = end.filter(|_| count <= MOST_FREE) else {
                        session.end();
                        return Err(Error::corrupt("the source's side sent free ranges that cannot be"));
                    };
                    free.add(offset, len);
                    last = end;
                }
                other => {
                    session.end();
                    return Err(Error::corrupt(format!("the source's side sent a frame of kind {other:#x}")));
                }
            }
        }
    }

    fn ask(&self, request: &Request, mut each: impl FnMut(u64, [u8; 32]) -> Result<()>) -> Result<()> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.send(request)?;
        loop {
            match session.byte()? {
                b'.' => return Ok(()),
                b'h' => {
                    let (number, hash) = session.hash()?;
                    if let Err(error) = each(number, hash) {
                        // The rest of the answer would be taken for the next one.
                        session.end();
                        return Err(error);
                    }
                }
                b'e' => return Err(session.failure()?),
                other => {
                    session.end();
                    return Err(Error::corrupt(format!("the source's side sent a frame of kind {other:#x}")));
                }
            }
        }
    }
}

impl Session {
    fn send(&mut self, request: &Request) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Err(Error::new(ErrorKind::Temporary, "the connection to the source's side has ended"));
        };
        let mut line = serde_json::to_vec(request).map_err(|e| Error::contract("no JSON").with_source(e))?;
        line.push(b'\n');
        input.write_all(&line).and_then(|()| input.flush()).map_err(broken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.output.read_exact(&mut bytes).map_err(broken)?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn hash(&mut self) -> Result<(u64, [u8; 32])> {
        Ok((u64::from_le_bytes(self.bytes()?), self.bytes()?))
    }

    fn failure(&mut self) -> Result<Error> {
        let len = u16::from_le_bytes(self.bytes()?);
        let mut json = vec![0; usize::from(len)];
        self.output.read_exact(&mut json).map_err(broken)?;
        let failure: Failure = serde_json::from_slice(&json)
            .map_err(|e| Error::corrupt("the source's side failed and did not say how").with_source(e))?;
        Ok(failure.into_error())
    }

    fn end(&mut self) {
        self.input = None;
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The end of its input is how it learns that nobody asks any more, and lets go what it holds.
        self.input = None;
        for _ in 0..100 {
            let is_running = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
            if !is_running {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end();
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Temporary, "the connection to the source's side broke")
        .with_source(error)
        .hint("look whether the machine can be reached, and run the same command again")
}

impl Remote for FarSide {
    fn identity(&self) -> Option<String> {
        Some(self.hello.identity.clone())
    }

    fn can_hash(&self) -> bool {
        true
    }

    fn hashes(
        &self,
        level: HashLevel,
        pieces: &[Range<u64>],
        each: &mut dyn FnMut(u64, [u8; 32]) -> Result<()>,
    ) -> Result<()> {
        for pieces in pieces.chunks(MOST_RANGES) {
            let mut due = pieces.iter().flat_map(Clone::clone);
            let pairs = pieces.iter().map(|piece| (piece.start, piece.end)).collect();
            self.ask(
                &Request::Hashes { leaves: level == HashLevel::Leaf, pieces: pairs },
                |number, hash| {
                    if due.next() != Some(number) {
                        return Err(Error::corrupt(format!(
                            "the source's side sent the hash of piece {number}, for which nobody asked"
                        )));
                    }
                    each(number, hash)
                },
            )?;
            if due.next().is_some() {
                return Err(Error::corrupt("the source's side sent too few hashes"));
            }
        }
        Ok(())
    }
}

impl Side for FarSide {
    fn freeze(&self, places: &[String], seconds: u64) -> Result<()> {
        self.ask(&Request::Freeze { places: places.to_vec(), seconds }, |_, _| Ok(()))
    }

    fn thaw(&self) -> Result<()> {
        self.ask(&Request::Thaw, |_, _| Ok(()))
    }

    fn free(&self) -> Result<RangeSet> {
        if self.skip_free { self.look() } else { Ok(RangeSet::default()) }
    }
}
