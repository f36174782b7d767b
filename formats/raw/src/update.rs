//! Changing a raw disk in place: the file is the disk, so a crash leaves old or new bytes and nothing else.

use format_core::{Error, Result, Update, UpdateStorage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The usual block of host file systems; a hole cannot be smaller.
const CHUNK: u64 = 4096;

struct RawUpdate {
    storage: Arc<dyn UpdateStorage>,
    size: AtomicU64,
}

pub(crate) fn open(storage: Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>> {
    let size = AtomicU64::new(storage.size());
    Ok(Box::new(RawUpdate { storage, size }))
}

impl RawUpdate {
    /// Behind the disk a device may have what is not ours.
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.virtual_size();
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes at {offset:#x} leave a disk of {size:#x} bytes")))
    }
}

impl Update for RawUpdate {
    fn virtual_size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    fn chunk_size(&self) -> u64 {
        CHUNK
    }

    fn grow_to(&self, size: u64) -> Result<()> {
        self.storage.set_len(size)?;
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len() as u64)?;
        self.storage.write_all_at(offset, bytes)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        self.storage.zero_range(offset, len)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.storage.sync()
    }
}
