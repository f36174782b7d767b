//! Writing into an image that exists: how a target is brought up to date with a source that changed.

use crate::{Error, Result, Storage};

/// Host bytes that can be read and written at any place, in place.
///
/// What was written is read back at once; a crash may lose any of it until [`UpdateStorage::sync`] returned.
/// [`Storage::size`] is the size now.
pub trait UpdateStorage: Storage {
    /// Writes all of `bytes` at `offset`, growing the storage as needed; gaps read as zeros.
    ///
    /// # Errors
    /// `Temporary` when there is no space, `Io` when the host fails.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes `len` bytes from `offset` read as zeros, without room on the host where it can do that. Never changes the
    /// size: what lies behind the end is left away.
    ///
    /// # Errors
    /// As [`UpdateStorage::write_all_at`].
    fn zero_range(&self, offset: u64, len: u64) -> Result<()>;

    /// Sets the size in bytes; new bytes read as zeros.
    ///
    /// # Errors
    /// As [`UpdateStorage::write_all_at`]; `Destination` where the size is fixed and too small.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `Io` when the host fails; what was written can then not be trusted.
    fn sync(&self) -> Result<()>;
}

/// An image that is open for changes of its disk.
///
/// Opening one writes nothing. After a crash at any moment the image still opens for an update, and every guest range holds
/// what it held before or what was written to it, or a mixture; other ranges are untouched.
pub trait Update: Send + Sync {
    /// Size of the disk in bytes.
    fn virtual_size(&self) -> u64;

    /// Offsets of [`Update::write_at`] and [`Update::zero_at`] are multiples of this many bytes, and so are lengths but for
    /// the end of the disk. A power of two, at most [`crate::MAX_CHUNK`].
    fn chunk_size(&self) -> u64;

    /// Makes the disk larger; new bytes read as zeros. Comes before any write.
    ///
    /// # Errors
    /// `Unsupported` where the format or this writer cannot do it; what the storage reports.
    fn grow_to(&self, size: u64) -> Result<()> {
        let own = self.virtual_size();
        Err(Error::unsupported(format!(
            "the disk has {own} bytes and cannot be made {size} bytes large in place"
        )))
    }

    /// Writes guest bytes. Called from many threads, for ranges that do not overlap.
    ///
    /// # Errors
    /// What the storage reports; `Unsupported` or `Limit` where the image cannot take more.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes guest bytes read as zeros. As [`Update::write_at`].
    ///
    /// # Errors
    /// As [`Update::write_at`].
    fn zero_at(&self, offset: u64, len: u64) -> Result<()>;

    /// Completes the image and makes it durable.
    ///
    /// # Errors
    /// As [`Update::write_at`].
    fn finish(self: Box<Self>) -> Result<()>;
}
