//! A disk of the micro-VM that remembers why it failed: its kernel only hears that it did.

use convert_nbd::{Export, OverlayExport};
use format_core::{Extent, Overlay, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// The first thing that some disk could not do, in words.
pub(crate) type FirstFailure = Arc<Mutex<Option<String>>>;

/// An overlay that is served. What breaks between it and its client is no failure of the disk.
pub(crate) struct WatchedExport {
    export: OverlayExport,
    failed: FirstFailure,
}

impl WatchedExport {
    pub(crate) fn new(overlay: Arc<Overlay>, failed: FirstFailure) -> Self {
        Self { export: OverlayExport::new(overlay), failed }
    }

    fn seen<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.to_string());
        })
    }
}

impl Export for WatchedExport {
    fn size(&self) -> u64 {
        self.export.size()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.seen(self.export.extent_at(offset))
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.seen(self.export.read_exact_at(offset, buf))
    }

    fn is_writable(&self) -> bool {
        self.export.is_writable()
    }

    fn is_shared(&self) -> bool {
        self.export.is_shared()
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.seen(self.export.write_all_at(offset, bytes))
    }

    fn zero_at(&self, offset: u64, len: u64, fast: bool) -> Result<()> {
        self.seen(self.export.zero_at(offset, len, fast))
    }

    fn trim_at(&self, offset: u64, len: u64) -> Result<()> {
        self.seen(self.export.trim_at(offset, len))
    }

    fn flush(&self) -> Result<()> {
        self.seen(self.export.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::Disk;

    #[test]
    fn the_first_failure_is_kept() {
        let failed = FirstFailure::default();
        let export = WatchedExport::new(Overlay::new(Disk::blank(8192)), Arc::clone(&failed));
        export.write_all_at(0, b"x").unwrap();
        export.trim_at(0, 4096).unwrap();
        assert_eq!(*failed.lock().unwrap(), None);
        assert!(export.write_all_at(8192, b"x").is_err() && export.read_exact_at(9000, &mut [0]).is_err());
        assert!(failed.lock().unwrap().as_ref().unwrap().contains("at 0x2000"));
    }
}
