//! A plain image: the bytes of its storage as they are. It hides whatever is below it.

use format_core::{Extent, HostRange, Layer, Result, Storage, check_guest_range};
use std::sync::Arc;

pub(crate) struct Plain {
    storage: Arc<dyn Storage>,
    size: u64,
}

impl Plain {
    /// The first `size` bytes of a file, which has at least as many.
    pub(crate) fn new(storage: Arc<dyn Storage>, size: u64) -> Self {
        Self { storage, size }
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for Plain {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let extent = self.storage.data_at(offset)?;
        Ok(Extent { len: extent.len.min(self.size - offset), ..extent })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        self.storage.read_exact_at(offset, buf)
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        Some(HostRange { storage: Arc::clone(&self.storage), offset, len: self.size - offset })
    }
}
