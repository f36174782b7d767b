//! A raw image as a layer: every extent and byte is the storage's own.

use format_core::{Extent, HostRange, Layer, LayerContext, Result, Storage};
use std::sync::Arc;

struct RawLayer {
    storage: Arc<dyn Storage>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    Ok(Box::new(RawLayer { storage }))
}

impl Layer for RawLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.storage.size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.storage.data_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.storage.read_exact_at(offset, buf)
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        let len = self.storage.size().checked_sub(offset).filter(|&len| len > 0)?;
        Some(HostRange { storage: Arc::clone(&self.storage), offset, len })
    }
}
