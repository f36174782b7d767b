//! A target that is a block device.

use super::direct::DirectFile;
use crate::{Error, ErrorKind, RangeSet, Result, TargetStorage, codes};
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom};
use rustix::io::Errno;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const ZEROS: usize = 1 << 20;

/// A block device that is overwritten in place. There is nothing that could be undone: an interrupted run leaves a
/// disk that is half old and half new.
#[derive(Debug)]
pub struct DeviceTarget {
    file: DirectFile,
    path: PathBuf,
    size: u64,
    written: Arc<Mutex<RangeSet>>,
}

impl DeviceTarget {
    /// Opens the device for us alone. The kernel refuses that while it, or a part of it, is mounted or otherwise in use.
    ///
    /// # Errors
    /// `Destination` when there is no such block device, `Temporary` when it is in use, `Denied`, `Io`.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| {
            Error::io(format!("cannot examine {}", path.display()), e).with_kind(ErrorKind::Destination)
        })?;
        if FileType::from_raw_mode(metadata.mode()) != FileType::BlockDevice {
            let text = format!("{} is no block device", path.display());
            return Err(Error::new(ErrorKind::Destination, text).hint("leave -n away to write a file"));
        }
        let exclusive = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags((OFlags::EXCL | OFlags::NOFOLLOW).bits() as i32)
            .open(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let file = exclusive.map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::BUSY) => {
                let text = format!(
                    "{} is in use: it or a part of it is mounted, or belongs to a volume",
                    path.display()
                );
                Error::new(ErrorKind::Temporary, text).with_code(&codes::IN_USE).hint("unmount it first")
            }
            _ => Error::io(format!("cannot open {} for writing", path.display()), e),
        })?;
        let size = rustix::fs::seek(&file, SeekFrom::End(0))
            .map_err(|e| Error::io(format!("cannot examine {}", path.display()), e.into()))?;
        let file = DirectFile::new(file);
        Ok(Self { file, path: path.to_owned(), size, written: Arc::default() })
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What was written or zeroed so far; it goes on counting, and outlives the target.
    #[must_use]
    pub fn written(&self) -> Arc<Mutex<RangeSet>> {
        Arc::clone(&self.written)
    }

    fn note(&self, offset: u64, len: u64) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).add(offset, len);
    }

    fn failed(&self, what: &str, offset: u64, error: std::io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.path.display()), error).at(offset)
    }
}

impl TargetStorage for DeviceTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.failed("write to", offset, e))?;
        self.note(offset, bytes.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        if len <= self.size {
            return Ok(());
        }
        let (path, size) = (self.path.display(), self.size);
        Err(Error::new(ErrorKind::Destination, format!("{path} has {size} bytes, the image needs {len}"))
            .with_code(&codes::DESTINATION_DEVICE))
    }

    fn sync(&self) -> Result<()> {
        self.file.file().sync_all().map_err(|e| self.failed("make durable", 0, e))
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        // The kernel zeroes by discard only where the device promises that discarded blocks read as zeros.
        match rustix::fs::fallocate(self.file.file(), FallocateFlags::ZERO_RANGE, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NODEV | Errno::NOSYS) => {}
            other => {
                other.map_err(|e| self.failed("write zeros to", offset, e.into()))?;
                self.note(offset, len);
                return Ok(());
            }
        }
        let zeros = vec![0; len.min(ZEROS as u64) as usize];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(ZEROS as u64) as usize;
            self.write_all_at(offset + done, &zeros[..part])?;
            done += part as u64;
        }
        Ok(())
    }

    fn is_blank(&self) -> bool {
        false
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
