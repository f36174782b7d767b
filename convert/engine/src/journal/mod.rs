//! The journal of a run, `NAME.partial.journal`: what a later run needs to go on where this one stopped.
//!
//! It tells nothing that was not durable before, it only grows, and it never outlives its partial file.

mod job;
mod record;

pub(crate) use job::{Job, Wanted};
pub(crate) use record::Checkpoint;

use blake3::Hash;
use format_core::{Error, ErrorKind, FileTarget, Result};
use record::{LENGTH, MAGIC, SEAL, first_seal, framed, seal};
use rustix::fs::{FallocateFlags, OFlags};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No record is longer: the largest is the first state of a disk with very many blocks.
const MAX_RECORD: u64 = 256 << 20;
/// Room that is taken ahead, so that a full disk can still be told to the journal.
const RESERVE: u64 = 1 << 20;

/// A journal that is written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    end: u64,
    seal: Hash,
}

impl Journal {
    /// Starts a journal, in place of none.
    ///
    /// # Errors
    /// `Io`, `Temporary` when it cannot be written.
    pub(crate) fn create(path: &Path, job: &Job) -> Result<Self> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|e| Error::io(format!("cannot create {}", path.display()), e))?;
        let mut journal = Self { file, path: path.to_owned(), end: 0, seal: first_seal() };
        journal.put(MAGIC)?;
        journal.append(&job.bytes()?)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        synced.map_err(|e| journal.failed("make the folder durable of", e))?;
        Ok(journal)
    }

    /// Appends a record and makes it durable.
    ///
    /// # Errors
    /// `Io`, `Temporary`; then nothing more may be appended.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<()> {
        let (bytes, seal) = framed(&self.seal, payload);
        self.put(&bytes)?;
        self.file.sync_data().map_err(|e| self.failed("make durable", e))?;
        self.seal = seal;
        // A host that cannot do this does without.
        let _ = rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, RESERVE);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.end).map_err(|e| self.failed("write to", e))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.path.display()), error)
    }
}

/// A journal that is read. What is in it is untrusted.
#[derive(Debug)]
pub(crate) struct JournalReader {
    file: File,
    path: PathBuf,
    len: u64,
    at: u64,
    seal: Hash,
}

impl JournalReader {
    /// Opens the journal that a run left, and reads whose it is; `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when it is no journal, `Io` when it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Option<(Self, Job)>> {
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(path);
        let failed = |e| Error::io(format!("cannot open {}", path.display()), e);
        let file = match opened {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let found = file.metadata().map_err(failed)?;
        let none = || Error::corrupt(format!("{} is no journal of this program", path.display()));
        // One with other names is kept by somebody as it is.
        let is_ours = FileTarget::is_own(&found, path);
        if !found.is_file() || found.nlink() > 1 || !is_ours || found.len() < MAGIC.len() as u64 {
            return Err(none());
        }
        let path = path.to_owned();
        let mut reader = Self { file, path, len: found.len(), at: 0, seal: first_seal() };
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(none());
        }
        let job = reader.next_payload()?.ok_or_else(none)?;
        let job = Job::parse(&job)?;
        Ok(Some((reader, job)))
    }

    /// The next checkpoint; `None` behind the last whole one.
    ///
    /// # Errors
    /// `Corrupt` when a whole record is no checkpoint, `Io` when the host cannot read.
    pub(crate) fn next_checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        self.next_payload()?.map(|payload| Checkpoint::parse(&payload)).transpose()
    }

    /// Goes on writing behind the last record that was read; what lies behind it is discarded.
    ///
    /// # Errors
    /// `Io` when it cannot be cut there.
    pub(crate) fn into_journal(self) -> Result<Journal> {
        let journal = Journal { file: self.file, path: self.path, end: self.at, seal: self.seal };
        let cut = journal.file.set_len(journal.end).and_then(|()| journal.file.sync_all());
        cut.map_err(|e| journal.failed("cut", e))?;
        Ok(journal)
    }

    fn next_payload(&mut self) -> Result<Option<Vec<u8>>> {
        let start = self.at;
        let payload = self.whole_record()?;
        if payload.is_none() {
            self.at = start;
        }
        Ok(payload)
    }

    fn whole_record(&mut self) -> Result<Option<Vec<u8>>> {
        let frame = (LENGTH + SEAL) as u64;
        let left = self.len - self.at;
        if left < frame {
            return Ok(None);
        }
        let mut length = [0; LENGTH];
        length.copy_from_slice(&self.bytes(LENGTH)?);
        let length = u64::from_le_bytes(length);
        if length > MAX_RECORD.min(left - frame) {
            return Ok(None);
        }
        let payload = self.bytes(length as usize)?;
        let seal = seal(&self.seal, &payload);
        if self.bytes(SEAL)? != seal.as_bytes() {
            return Ok(None);
        }
        self.seal = seal;
        Ok(Some(payload))
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, self.at).map_err(|e| {
            Error::io(format!("cannot read {}", self.path.display()), e).with_kind(ErrorKind::Io).at(self.at)
        })?;
        self.at += len as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
