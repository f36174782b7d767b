//! A volume as the seekable stream that `fatfs` wants.

use driver_core::Volume;
use std::io::{Error, Read, Result, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one call of the file system may read: a folder, a chain of clusters and a loader fit many times.
const ALLOWANCE: u64 = 256 << 20;
/// Calls of the stream that one call of the file system may make: an entry of a table is one.
const CALLS: u64 = 1 << 20;

/// A volume as a stream. Clones share the allowance, each has its own position.
#[derive(Clone)]
pub(crate) struct VolumeStream {
    volume: Arc<dyn Volume>,
    position: u64,
    left: Arc<(AtomicU64, AtomicU64)>,
}

impl VolumeStream {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        Self { volume, position: 0, left: Arc::new((AtomicU64::new(ALLOWANCE), AtomicU64::new(CALLS))) }
    }

    /// Renews the allowance: called at the start of each call of the file system.
    pub(crate) fn grant(&self) {
        self.left.0.store(ALLOWANCE, Ordering::Relaxed);
        self.left.1.store(CALLS, Ordering::Relaxed);
    }

    fn take_allowance(&self, bytes: u64) -> Result<()> {
        let take = |left: &AtomicU64, amount| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount)).is_ok()
        };
        if take(&self.left.0, bytes) && take(&self.left.1, 1) {
            return Ok(());
        }
        Err(Error::other("the chain of clusters does not end"))
    }
}

impl Read for VolumeStream {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let left = self.volume.size().saturating_sub(self.position);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.take_allowance(len as u64)?;
        self.volume.read_exact_at(self.position, &mut buf[..len]).map_err(Error::other)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for VolumeStream {
    fn write(&mut self, _: &[u8]) -> Result<usize> {
        Err(Error::other("the file system is only read"))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for VolumeStream {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.take_allowance(0)?;
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.volume.size().checked_add_signed(by),
        };
        self.position =
            target.ok_or_else(|| Error::other("a place before the start or beyond all bounds"))?;
        Ok(self.position)
    }
}
