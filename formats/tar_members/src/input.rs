//! Bytes that are read forward only: a storage, or a pipe.

use format_core::{Error, Result, Storage};
use std::io::Read;
use std::sync::Arc;

/// Skipped at once where bytes have to be read to be skipped.
const PART: usize = 256 << 10;

/// Where a [`crate::Walker`] reads from.
pub trait Input {
    /// How many bytes were read and skipped so far.
    fn position(&self) -> u64;

    /// Fills `buf`, and says how much of it: less only at the end.
    ///
    /// # Errors
    /// What the host reports.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize>;

    /// Goes `len` bytes forward, and says how many of them were there.
    ///
    /// # Errors
    /// What the host reports.
    fn skip(&mut self, len: u64) -> Result<u64>;
}

/// A storage from its start.
pub struct StorageInput {
    storage: Arc<dyn Storage>,
    at: u64,
}

impl StorageInput {
    /// The start of `storage`.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, at: 0 }
    }
}

impl Input for StorageInput {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let left = self.storage.size().saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.storage.read_exact_at(self.at, &mut buf[..len])?;
        self.at += len as u64;
        Ok(len)
    }

    fn skip(&mut self, len: u64) -> Result<u64> {
        let len = len.min(self.storage.size().saturating_sub(self.at));
        self.at += len;
        Ok(len)
    }
}

/// What comes through a pipe.
pub struct ReadInput {
    reader: Box<dyn Read + Send>,
    at: u64,
}

impl ReadInput {
    /// All of `reader`.
    #[must_use]
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, at: 0 }
    }
}

impl Input for ReadInput {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.reader.read(&mut buf[done..]) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e).at(self.at)),
            }
        }
        self.at += done as u64;
        Ok(done)
    }

    fn skip(&mut self, len: u64) -> Result<u64> {
        let mut buf = vec![0; PART.min(usize::try_from(len).unwrap_or(PART))];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(buf.len() as u64) as usize;
            let read = self.fill(&mut buf[..part])?;
            done += read as u64;
            if read < part {
                break;
            }
        }
        Ok(done)
    }
}

/// Readers of rooms and of compressions put their own errors inside.
fn failed(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::InvalidInput => {
                Error::corrupt(format!("the archive cannot be unpacked: {error}"))
            }
            _ => Error::io("cannot read the archive", error),
        },
    }
}
