//! What a file system lies on.

use format_core::Result;

/// Guest bytes that a file system lies on: a partition, a whole disk, a logical volume. Writing reaches an overlay
/// only, never the source.
pub trait Volume: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `Usage` when the range leaves the volume; what the disk below reports.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As [`Volume::read_exact_at`].
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
}
