//! What can be served.

use format_core::{Disk, Error, ErrorKind, Extent, Overlay, Result};
use std::sync::Arc;

/// A range of bytes that clients see as a block device. All methods are called from many threads; offsets and lengths are bytes,
/// and every range that is asked for lies inside the size.
pub trait Export: Send + Sync {
    /// Size in bytes, always the same.
    fn size(&self) -> u64;

    /// The run of Data or Zero (`Unallocated` counts as Zero) that starts at `offset`; never empty, inside the size.
    ///
    /// # Errors
    /// What reading the tables of an image can meet.
    fn extent_at(&self, offset: u64) -> Result<Extent>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// What reading an image can meet.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Whether clients may write. What follows is only called when they may.
    fn is_writable(&self) -> bool {
        false
    }

    /// Whether all connections see the same bytes, and a flush on one covers what was written on the others.
    fn is_shared(&self) -> bool {
        false
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// `Denied` where nothing can be written; what writing can meet. A kind of `Temporary` is a lack of room.
    fn write_all_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "this export is read-only"))
    }

    /// Makes `len` bytes at `offset` read as zeros; when `fast`, only if that costs less than writing them.
    ///
    /// # Errors
    /// `Unsupported` when `fast` was wanted and cannot be; else as for writing.
    fn zero_at(&self, _offset: u64, _len: u64, _fast: bool) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "this export is read-only"))
    }

    /// The client does not need these bytes any more: a hint, after which they may read as anything.
    ///
    /// # Errors
    /// As for writing.
    fn trim_at(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    /// Makes what was written durable, as far as this export is.
    ///
    /// # Errors
    /// As for writing.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// A disk with its whole chain, read-only.
pub struct DiskExport(Disk);

impl DiskExport {
    /// Serves `disk` as it is.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        Self(disk)
    }
}

impl Export for DiskExport {
    fn size(&self) -> u64 {
        self.0.virtual_size()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.0.extent_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// An overlay that clients write into; its base stays as it is.
///
/// Nothing that is written outlives the overlay, so there is nothing to flush. It promises room for no write, be there a hole
/// or data below: a request for zeros without holes (`NO_HOLE`) is like any other.
pub struct OverlayExport {
    overlay: Arc<Overlay>,
    merged: Disk,
}

impl OverlayExport {
    /// Serves the changed disk of `overlay`.
    #[must_use]
    pub fn new(overlay: Arc<Overlay>) -> Self {
        let merged = overlay.disk();
        Self { overlay, merged }
    }
}

impl Export for OverlayExport {
    fn size(&self) -> u64 {
        self.merged.virtual_size()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.merged.extent_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.overlay.read_merged_at(offset, buf)
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.overlay.write_all_at(offset, bytes)
    }

    /// What reads as zeros already is left alone, so that the list of changes says what changed. It is fast always.
    fn zero_at(&self, offset: u64, len: u64, _fast: bool) -> Result<()> {
        let end = offset.saturating_add(len);
        for run in self.merged.extents(offset, end) {
            let run = run?;
            if run.kind == format_core::ExtentKind::Data {
                self.overlay.zero_at(run.offset, run.len)?;
            }
        }
        Ok(())
    }

    /// What was trimmed reads as zeros, and is not copied.
    fn trim_at(&self, offset: u64, len: u64) -> Result<()> {
        self.zero_at(offset, len, true)
    }
}
