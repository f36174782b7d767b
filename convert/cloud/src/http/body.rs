//! The body of an answer while it comes.

use super::Fault;
use super::failure::broken_io;
use format_core::{Error, ErrorKind};
use std::io::Read;
use std::time::{Duration, Instant};

/// Read at once where the length is not known.
const STEP: usize = 64 << 10;

/// A body that is being received.
pub(crate) struct Incoming<'a> {
    pub(super) reader: &'a mut dyn Read,
    /// What was asked, for messages.
    pub(super) what: &'a str,
    pub(super) idle: Duration,
    pub(super) bytes_per_second: u64,
}

impl Incoming<'_> {
    /// Fills `buf` with a body that has to be exactly as long.
    pub(crate) fn fill(&mut self, buf: &mut [u8]) -> Result<(), Fault> {
        let (mut done, begun) = (0, Instant::now());
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.some(rest, done, begun)? {
                0 => return Err(self.cut(done as u64)),
                len => done += len,
            }
        }
        // The end is asked for, too: only then the connection can be used again.
        match self.some(&mut [0], done, begun)? {
            0 => Ok(()),
            _ => {
                Err(Fault::Final(self.wrong(format!("more came than the {done} bytes that were asked for"))))
            }
        }
    }

    /// All of a body of at most `longest` bytes; `said` is the length that the headers tell.
    pub(crate) fn all(&mut self, said: Option<u64>, longest: u64) -> Result<Vec<u8>, Fault> {
        if let Some(said) = said.filter(|said| *said > longest) {
            return Err(Fault::Final(
                self.wrong(format!("the answer has {said} bytes, at most {longest} are taken")),
            ));
        }
        let (mut bytes, begun) = (Vec::new(), Instant::now());
        let mut step = vec![0; STEP];
        loop {
            let len = self.some(&mut step, bytes.len(), begun)?;
            bytes.extend_from_slice(step.get(..len).unwrap_or_default());
            if bytes.len() as u64 > longest {
                return Err(Fault::Final(
                    self.wrong(format!("the answer has more than the {longest} bytes that are taken")),
                ));
            }
            if len == 0 {
                return match said {
                    Some(said) if said != bytes.len() as u64 => Err(self.cut(bytes.len() as u64)),
                    _ => Ok(bytes),
                };
            }
        }
    }

    fn some(&mut self, buf: &mut [u8], done: usize, begun: Instant) -> Result<usize, Fault> {
        // A body that drips, byte by byte, is never idle: it has to have moved since its start.
        let allowed = self.idle + Duration::from_secs(done as u64 / self.bytes_per_second.max(1));
        if begun.elapsed() > allowed {
            let why = format!("{done} bytes in {} s are too slow", begun.elapsed().as_secs());
            return Err(Fault::Again(Error::new(ErrorKind::Temporary, format!("{}: {why}", self.what))));
        }
        loop {
            match self.reader.read(buf) {
                Ok(len) => return Ok(len),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let (error, is_passing) = broken_io(self.what, e);
                    return Err(if is_passing { Fault::Again(error) } else { Fault::Final(error) });
                }
            }
        }
    }

    fn cut(&self, done: u64) -> Fault {
        Fault::Again(Error::new(
            ErrorKind::Temporary,
            format!("{}: the answer broke off after {done} bytes", self.what),
        ))
    }

    fn wrong(&self, why: String) -> Error {
        Error::new(ErrorKind::Io, format!("{}: {why}", self.what))
    }
}
