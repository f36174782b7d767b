//! Extents without tables: plain bytes of a file, and zeros.

use super::ExtentFile;
use crate::error::VmdkError;
use crate::layout::SECTOR;
use format_core::{ExtentKind, HostRange, Result, Storage};
use std::sync::Arc;

/// Plain bytes of a file.
pub(crate) struct FlatExtent {
    storage: Arc<dyn Storage>,
    start: u64,
    len: u64,
}

impl FlatExtent {
    /// `sectors` of the file from sector `offset`.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        name: &str,
        offset: u64,
        sectors: u64,
    ) -> Result<Self, VmdkError> {
        let (start, len) = (offset.saturating_mul(SECTOR), sectors.saturating_mul(SECTOR));
        let (needed, size) = (start.saturating_add(len), storage.size());
        if needed > size {
            return Err(VmdkError::FlatShort { name: name.to_owned(), needed, size });
        }
        Ok(Self { storage, start, len })
    }
}

impl ExtentFile for FlatExtent {
    fn kind_at(&self, offset: u64) -> Result<(ExtentKind, u64)> {
        // A hole of the file is zeros of the disk, also over a parent.
        let found = self.storage.data_at(self.start + offset)?;
        Ok((found.kind, found.len))
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.storage.read_exact_at(self.start + offset, buf)
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        let len = self.len.checked_sub(offset)?;
        Some(HostRange { storage: Arc::clone(&self.storage), offset: self.start + offset, len })
    }
}

/// Zeros that are nowhere.
pub(crate) struct ZeroExtent;

impl ExtentFile for ZeroExtent {
    fn kind_at(&self, _: u64) -> Result<(ExtentKind, u64)> {
        Ok((ExtentKind::Zero, u64::MAX))
    }

    fn read(&self, _: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn host_range(&self, _: u64) -> Option<HostRange> {
        None
    }
}
