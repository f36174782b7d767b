//! A compressed file from its start to its end, with a look ahead.

use crate::error::{PackedError, Result};
use format_core::Error;
use std::io::Read;

/// Read at once.
const PART: usize = 256 << 10;

/// Bytes that come, some of them in memory already.
pub(crate) struct Input {
    from: Box<dyn Read + Send>,
    buf: Vec<u8>,
    /// The part of `buf` that is not consumed yet.
    start: usize,
    end: usize,
    /// Host offset of `start`.
    position: u64,
    at_end: bool,
}

impl Input {
    pub(crate) fn new(from: Box<dyn Read + Send>) -> Self {
        Self { from, buf: Vec::new(), start: 0, end: 0, position: 0, at_end: false }
    }

    /// Host offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What is there, at least one byte but at the end of the file.
    pub(crate) fn available(&mut self) -> Result<&[u8]> {
        if self.start == self.end {
            self.more(0)?;
        }
        Ok(self.buf.get(self.start..self.end).unwrap_or_default())
    }

    /// The next `len` bytes, fewer only at the end of the file. Memory grows with what is there, not with what is asked for.
    pub(crate) fn peek(&mut self, len: usize) -> Result<&[u8]> {
        while self.end - self.start < len && !self.at_end {
            self.more(len)?;
        }
        let end = self.end.min(self.start.saturating_add(len));
        Ok(self.buf.get(self.start..end).unwrap_or_default())
    }

    /// The next `len` bytes; `what` is what they are a part of.
    pub(crate) fn exactly(&mut self, len: usize, what: &'static str) -> Result<&[u8]> {
        let at = self.position;
        let found = self.peek(len)?;
        if found.len() < len {
            return Err(PackedError::Truncated { at: at + found.len() as u64, what });
        }
        Ok(found)
    }

    /// Takes the next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.exactly(N, what)?);
        self.consume(N);
        Ok(bytes)
    }

    /// Goes on behind `len` bytes that were seen.
    pub(crate) fn consume(&mut self, len: usize) {
        let len = len.min(self.end - self.start);
        self.start += len;
        self.position += len as u64;
    }

    /// Goes on behind `len` bytes that nobody needs.
    pub(crate) fn skip(&mut self, mut len: u64, what: &'static str) -> Result<()> {
        while len > 0 {
            let found = self.available()?.len();
            if found == 0 {
                return Err(PackedError::Truncated { at: self.position, what });
            }
            let part = len.min(found as u64);
            self.consume(part as usize);
            len -= part;
        }
        Ok(())
    }

    /// The error for what follows the compressed data.
    pub(crate) fn garbage(&mut self) -> PackedError {
        let at = self.position;
        match self.peek(8) {
            Ok(found) => PackedError::Garbage { at, found: found.to_vec() },
            Err(error) => error,
        }
    }

    /// Reads once more; `wanted` is how many bytes should be there in one piece.
    fn more(&mut self, wanted: usize) -> Result<()> {
        if self.start > 0 && (self.start == self.end || self.start >= PART || self.end == self.buf.len()) {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buf.len() {
            let grown = (2 * self.buf.len()).min(wanted.saturating_add(PART));
            self.buf.resize(grown.max(self.buf.len() + PART), 0);
        }
        let room = self.buf.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.from.read(room) {
                Ok(len) => {
                    self.end += len.min(room.len());
                    self.at_end = len == 0;
                    return Ok(());
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(PackedError::Read(read_error(e))),
            }
        }
    }
}

/// What is below may be another of our readers.
fn read_error(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::io("cannot read the compressed file", error),
    }
}
