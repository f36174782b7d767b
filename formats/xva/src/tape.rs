//! What an archive is read from: a file whose data can be passed over, or bytes that come one after the other.

use crate::error::XvaError;
use format_core::{Error, Result, Storage};
use std::io::Read;
use std::sync::Arc;

/// Headers and checksums of a file are read in pieces of this many bytes: a checksum and the headers around it fit.
const WINDOW: usize = 4096;

/// The bytes of an archive.
pub(crate) trait Tape {
    /// How many bytes were read or passed over.
    fn at(&self) -> u64;

    /// Fills as much of `buf` as there is.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize>;

    /// Passes over `len` bytes; `what` they are, for the error when the file ends before.
    fn skip(&mut self, len: u64, what: &'static str) -> Result<()>;

    /// Fills `buf`, which is `what` of the file.
    fn fill_with(&mut self, buf: &mut [u8], what: &'static str) -> Result<()> {
        let (start, need) = (self.at(), buf.len() as u64);
        if self.fill(buf)? < buf.len() {
            return Err(Error::from(XvaError::Cut { what, need, end: self.at() }).at(start));
        }
        Ok(())
    }
}

/// A file.
pub(crate) struct FileTape {
    storage: Arc<dyn Storage>,
    at: u64,
    /// Bytes from `window_at`.
    window: Vec<u8>,
    window_at: u64,
}

impl FileTape {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, at: 0, window: Vec::new(), window_at: 0 }
    }

    fn left(&self) -> u64 {
        self.storage.size().saturating_sub(self.at)
    }

    /// `len` bytes at the place, out of the window.
    fn peek(&mut self, len: usize) -> Result<&[u8]> {
        let inside =
            self.at.checked_sub(self.window_at).filter(|at| at + len as u64 <= self.window.len() as u64);
        if inside.is_none() {
            self.window.resize(self.left().min(WINDOW as u64) as usize, 0);
            self.window_at = self.at;
            self.storage.read_exact_at(self.at, &mut self.window)?;
        }
        let from = (self.at - self.window_at) as usize;
        Ok(self.window.get(from..from + len).unwrap_or_default())
    }
}

impl Tape for FileTape {
    fn at(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let len = self.left().min(buf.len() as u64) as usize;
        let Some(now) = buf.get_mut(..len) else { return Ok(0) };
        if len <= SMALL {
            let bytes = self.peek(len)?;
            now.copy_from_slice(bytes);
        } else {
            self.storage.read_exact_at(self.at, now)?;
        }
        self.at += len as u64;
        Ok(len)
    }

    fn skip(&mut self, len: u64, what: &'static str) -> Result<()> {
        if len > self.left() {
            let end = self.storage.size();
            return Err(Error::from(XvaError::Cut { what, need: len, end }).at(self.at));
        }
        self.at += len;
        Ok(())
    }
}

/// What is read through the window.
const SMALL: usize = 512;

/// Bytes that come through a pipe or out of a decompressor.
pub(crate) struct StreamTape {
    from: Box<dyn Read + Send>,
    at: u64,
    waste: Vec<u8>,
}

impl StreamTape {
    pub(crate) fn new(from: Box<dyn Read + Send>) -> Self {
        Self { from, at: 0, waste: Vec::new() }
    }

    /// Reads on to the end, so that a decompressor compares its checksum and notices a cut.
    pub(crate) fn drain(&mut self) -> Result<()> {
        let mut waste = vec![0; 64 << 10];
        while self.fill(&mut waste)? > 0 {}
        Ok(())
    }
}

impl Tape for StreamTape {
    fn at(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.from.read(rest) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cause(error, self.at)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn skip(&mut self, len: u64, what: &'static str) -> Result<()> {
        let mut waste = std::mem::take(&mut self.waste);
        waste.resize(64 << 10, 0);
        let mut left = len;
        while left > 0 {
            let now = left.min(waste.len() as u64) as usize;
            self.fill_with(waste.get_mut(..now).unwrap_or_default(), what)?;
            left -= now as u64;
        }
        self.waste = waste;
        Ok(())
    }
}

/// A decompressor's own error is what it is; anything else is the host's.
fn cause(error: std::io::Error, at: u64) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("cannot read the stream", error).at(at),
    }
}
