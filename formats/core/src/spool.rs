//! Where bytes go that can only be read from their start to their end, when they are wanted at any place.

use crate::{Error, ErrorKind, FileStorage, Result, Storage, TimedOpen};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Read at once.
const PART: usize = 1 << 20;
/// Runs of zeros of this length become holes.
const HOLE: usize = 64 << 10;

/// A folder for temporary files, and who is told about them.
#[derive(Clone)]
pub struct Spool {
    folder: PathBuf,
    observer: Option<Arc<SpoolObserver>>,
}

/// Is told what happens in a [`Spool`]; an error ends the work.
pub type SpoolObserver = dyn Fn(SpoolEvent<'_>) -> Result<()> + Send + Sync;

/// What happens in a [`Spool`].
#[derive(Clone, Copy, Debug)]
pub enum SpoolEvent<'a> {
    /// A file was begun.
    Begin {
        /// The image whose bytes go there.
        name: &'a str,
        /// How many there will be, if the image says it.
        expected: Option<u64>,
    },
    /// So many more bytes are in it, holes included.
    Bytes(u64),
    /// It is complete.
    End,
}

impl Default for Spool {
    fn default() -> Self {
        Self { folder: std::env::temp_dir(), observer: None }
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Spool {
    /// A spool in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, observer: Option<Arc<SpoolObserver>>) -> Self {
        Self { folder, observer }
    }

    /// A new file that has no name and is gone when it is closed.
    pub(crate) fn file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.folder).map_err(|e| self.failed(e))
    }

    /// Puts all that comes from `from` into a file with holes; `expected` is how many bytes there may be.
    pub(crate) fn keep(
        &self,
        name: &str,
        mut from: impl Read,
        expected: Option<u64>,
    ) -> Result<Arc<dyn Storage>> {
        let _pause = TimedOpen::pause();
        self.tell(SpoolEvent::Begin { name, expected })?;
        let mut file = self.file()?;
        self.refuse_without_room(name, expected)?;
        let (mut buf, mut len) = (vec![0; PART], 0u64);
        loop {
            let part = fill(&mut from, &mut buf).map_err(|e| unpack_error(name, e))?;
            if part == 0 {
                break;
            }
            for piece in buf[..part].chunks(HOLE) {
                if crate::is_zero(piece) {
                    file.seek(SeekFrom::Current(piece.len() as i64)).map_err(|e| self.failed(e))?;
                } else {
                    file.write_all(piece).map_err(|e| self.failed(e))?;
                }
            }
            len += part as u64;
            self.tell(SpoolEvent::Bytes(part as u64))?;
        }
        file.set_len(len).map_err(|e| self.failed(e))?;
        self.tell(SpoolEvent::End)?;
        let path = self.folder.join(format!("(temporary file of {name})"));
        Ok(Arc::new(FileStorage::from_file(file, &path)?))
    }

    /// Holes are not foreseen, so only what cannot fit in any case is refused: a file twice as large as the room.
    fn refuse_without_room(&self, name: &str, expected: Option<u64>) -> Result<()> {
        let Ok(found) = rustix::fs::statvfs(&self.folder) else { return Ok(()) };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        match expected {
            Some(expected) if expected / 2 > free => {
                let text = format!(
                    "{name} has to be unpacked into a temporary file of up to {expected} bytes, {} has room for {free}",
                    self.folder.display()
                );
                Err(Error::new(ErrorKind::Temporary, text)
                    .hint("name a folder with more room with --spool DIR"))
            }
            _ => Ok(()),
        }
    }

    fn tell(&self, event: SpoolEvent<'_>) -> Result<()> {
        self.observer.as_ref().map_or(Ok(()), |observer| observer(event))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let what = format!("cannot write a temporary file in {}", self.folder.display());
        Error::io(what, error).hint("name another folder with --spool DIR")
    }
}

/// The error of a reader that comes out of a pipe or a compressed file: rooms put their own [`Error`] inside.
#[must_use]
pub fn stream_error(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::InvalidInput => Error::corrupt(format!("the stream is damaged: {error}")),
            _ => Error::io("cannot read the stream", error),
        },
    }
}

pub(crate) fn unpack_error(name: &str, error: std::io::Error) -> Error {
    stream_error(error).context(format!("unpack {name}"))
}

/// Reads until `buf` is full or nothing is left.
fn fill(from: &mut impl Read, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match from.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExtentKind;
    use std::sync::Mutex;

    #[test]
    fn what_is_kept_has_holes_and_reads_the_same() {
        let bytes = [vec![1; 100_000], vec![0; 3 << 20], vec![2; 77]].concat();
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        let observer = move |event: SpoolEvent<'_>| {
            if let SpoolEvent::Bytes(len) = event {
                *count.lock().unwrap() += len;
            }
            Ok(())
        };
        let spool = Spool::new(std::env::temp_dir(), Some(Arc::new(observer)));
        let storage = spool.keep("x", bytes.as_slice(), None).unwrap();
        let mut back = vec![9; bytes.len()];
        storage.read_exact_at(0, &mut back).unwrap();
        assert!(back == bytes && storage.size() == bytes.len() as u64);
        assert_eq!(storage.data_at(1 << 20).unwrap().kind, ExtentKind::Zero);
        assert_eq!(*seen.lock().unwrap(), bytes.len() as u64);
    }

    #[test]
    fn what_cannot_fit_is_refused_before_the_first_byte() {
        let error = Spool::default().keep("x", [1u8].as_slice(), Some(u64::MAX)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Temporary);
        let stop = |_: SpoolEvent<'_>| Err(Error::new(ErrorKind::Temporary, "stop"));
        let spool = Spool::new(std::env::temp_dir(), Some(Arc::new(stop)));
        assert!(spool.keep("x", [1u8].as_slice(), None).is_err());
    }
}
