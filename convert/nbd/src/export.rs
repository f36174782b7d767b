//! What can be served.

use crate::extents::runs;
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

/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// How many extents are looked at to find out whether a range is zeros already.
const FAST_LOOKUPS: u32 = 256;

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

    /// What reads as zeros already is left alone: an overlay has no cheaper way to say zeros than to hold them.
    fn zero_at(&self, offset: u64, len: u64, fast: bool) -> Result<()> {
        let end = offset.saturating_add(len);
        if fast {
            let mut lookups = FAST_LOOKUPS;
            return match runs(self, offset, end, &mut lookups).next().transpose()? {
                Some(run) if run.is_zero && run.end == end => Ok(()),
                None => Ok(()),
                _ => Err(Error::unsupported("zeros are not faster than data here")),
            };
        }
        for run in self.merged.extents(offset, end) {
            let run = run?;
            let mut at = run.offset;
            while run.kind == format_core::ExtentKind::Data && at < run.end() {
                let left = usize::try_from(run.end() - at).unwrap_or(usize::MAX);
                let piece = ZEROS.get(..left).unwrap_or(&ZEROS);
                self.overlay.write_all_at(at, piece)?;
                at += piece.len() as u64;
            }
        }
        Ok(())
    }
}
