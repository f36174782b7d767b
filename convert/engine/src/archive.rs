//! An image and its proof as members of one tar archive, for a pipe.
//!
//! Headers are those of POSIX ustar. Sizes beyond its 33 bits are written in base 256, as GNU tar, libarchive and
//! BusyBox read them.

use crate::digest::{BLOCK_SIZE, BlockList};
use crate::manifest::{BLOCKS_SUFFIX, MANIFEST_SUFFIX, Manifest};
use format_core::{Error, Result};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const RECORD: usize = 512;
/// The longest name of a member.
const MAX_NAME: usize = 100;
/// The largest size in 11 octal digits.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// An archive that is being written, of an image and then of its manifest and block list.
pub struct Archive {
    name: String,
    state: Arc<Mutex<State>>,
}

struct State {
    writer: Box<dyn Write + Send>,
    /// Bytes of the current member that have to come yet.
    left: u64,
    /// Zeros after it, up to a whole record.
    padding: usize,
}

/// The bytes of the image, which have to come in order.
pub struct Member(Arc<Mutex<State>>);

impl Archive {
    /// An archive for an image that will be called `name`.
    ///
    /// # Errors
    /// `Usage` when `name` is no plain file name or too long.
    pub fn new(name: &str, writer: Box<dyn Write + Send>) -> Result<Self> {
        let is_plain = !name.contains('/') && !matches!(name, "" | "." | "..");
        if !is_plain || name.len() + BLOCKS_SUFFIX.len() > MAX_NAME {
            let most = MAX_NAME - BLOCKS_SUFFIX.len();
            return Err(Error::usage(format!(
                "{name:?} cannot be the image's name in an archive: it takes a plain file name of at most {most} bytes"
            )));
        }
        let state = State { writer, left: 0, padding: 0 };
        Ok(Self { name: name.to_owned(), state: Arc::new(Mutex::new(state)) })
    }

    /// The name of the image.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins the image, of `size` bytes.
    ///
    /// # Errors
    /// `Io` when the writer fails.
    pub fn image(&self, size: u64) -> Result<Member> {
        self.begin("", size)?;
        Ok(Member(Arc::clone(&self.state)))
    }

    /// Adds the manifest and the block list after the image, and ends the archive.
    ///
    /// # Errors
    /// `Io` when the writer fails; `Contract` when the image has fewer bytes than it was begun with.
    pub fn finish(self, manifest: &Manifest, blocks: &BlockList) -> Result<()> {
        let text = manifest.to_json()?;
        self.begin(MANIFEST_SUFFIX, text.len() as u64)?;
        self.write(&text)?;
        self.begin(BLOCKS_SUFFIX, blocks.virtual_size().div_ceil(BLOCK_SIZE) * 32)?;
        blocks.for_each_chunk(|chunk| self.write(chunk))?;
        let mut state = locked(&self.state);
        state.end_member()?;
        let end = state.writer.write_all(&[0; 2 * RECORD]).and_then(|()| state.writer.flush());
        end.map_err(failed)
    }

    fn begin(&self, suffix: &str, size: u64) -> Result<()> {
        let mut state = locked(&self.state);
        state.end_member()?;
        let header = header(&format!("{}{suffix}", self.name), size);
        state.writer.write_all(&header).map_err(failed)?;
        state.left = size;
        state.padding = (RECORD - (size % RECORD as u64) as usize) % RECORD;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        locked(&self.state).write_all(bytes).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot write the archive", error)
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn end_member(&mut self) -> Result<()> {
        if self.left > 0 {
            return Err(Error::contract(format!("a member of an archive lacks {:#x} bytes", self.left)));
        }
        let padding = std::mem::take(&mut self.padding);
        self.writer.write_all(&[0; RECORD][..padding]).map_err(failed)
    }
}

impl Write for State {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(std::io::Error::other("more bytes than the member was begun with"));
        }
        let written = self.writer.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

impl Write for Member {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        locked(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        locked(&self.0).flush()
    }
}

/// The header of a regular file, POSIX.1-1988 ustar.
fn header(name: &str, size: u64) -> [u8; RECORD] {
    let mut header = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    put(0, &name.as_bytes()[..name.len().min(MAX_NAME)]);
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= MAX_OCTAL {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, format!("{:011o}\0", seconds.min(MAX_OCTAL)).as_bytes());
    // The sum counts its own place as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(87);
        for name in ["", ".", "..", "a/b", "/a", long.as_str()] {
            let found = Archive::new(name, Box::new(std::io::sink()));
            assert_eq!(found.err().map(|e| e.kind()), Some(ErrorKind::Usage), "{name:?}");
        }
        Archive::new(&long[1..], Box::new(std::io::sink())).unwrap();
    }

    #[test]
    fn a_member_has_the_bytes_that_were_said() {
        let archive = Archive::new("a", Box::new(std::io::sink())).unwrap();
        let mut image = archive.image(5).unwrap();
        image.write_all(b"abc").unwrap();
        assert!(image.write_all(b"def").is_err());
        assert_eq!(archive.begin("b", 1).unwrap_err().kind(), ErrorKind::Contract);
        image.write_all(b"de").unwrap();
        archive.begin("b", 1).unwrap();
    }
}
