//! A block device that is brought up to date.

use crate::{DeviceTarget, Extent, FileStorage, Result, Storage, TargetStorage, UpdateStorage};
use std::path::Path;

/// A block device that is read and written. There is no name that could say that it is half done.
#[derive(Debug)]
pub struct DeviceInPlace {
    reading: FileStorage,
    target: DeviceTarget,
}

impl DeviceInPlace {
    /// Takes a device that is open for writing, for us alone; `path` is its name.
    ///
    /// # Errors
    /// As [`FileStorage::open`].
    pub fn new(target: DeviceTarget, path: &Path) -> Result<Self> {
        Ok(Self { reading: FileStorage::open(path)?, target })
    }
}

impl Storage for DeviceInPlace {
    fn size(&self) -> u64 {
        self.target.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reading.read_exact_at(offset, buf)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        self.reading.data_at(offset)
    }

    fn sector_size(&self) -> Option<u32> {
        self.reading.sector_size()
    }
}

impl UpdateStorage for DeviceInPlace {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.target.write_all_at(offset, bytes)
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.target.zero_range(offset, len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.target.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        self.target.sync()
    }
}
