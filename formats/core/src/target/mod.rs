//! Where a sink puts its host bytes.

mod behind;
mod counting;
mod device;
mod direct;
mod file;
mod in_place;
mod memory;
mod pipe;
mod reflink;

pub use counting::CountingTarget;
pub use device::DeviceTarget;
pub use file::FileTarget;
pub use in_place::{DeviceInPlace, FileInPlace, MemInPlace};
pub use memory::MemTarget;
pub use pipe::PipeTarget;

use crate::{Error, HostRange, Result};

/// Host bytes that can be written at any place and become visible all at once.
///
/// Dropping it without [`TargetStorage::commit`] leaves nothing under the final name.
pub trait TargetStorage: Send + Sync {
    /// Writes all of `bytes` at `offset`, growing the storage as needed; gaps read as zeros.
    ///
    /// # Errors
    /// `Temporary` when there is no space, `Io` when the host fails.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Sets the size in bytes; new bytes read as zeros. A target of a fixed size checks that there is room.
    ///
    /// # Errors
    /// As [`TargetStorage::write_all_at`].
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `Io` when the host fails; what was written can then not be trusted.
    fn sync(&self) -> Result<()>;

    /// Makes it durable and gives it its final name.
    ///
    /// # Errors
    /// `Destination` when the name was taken meanwhile, `Io` when the host fails.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Keeps the first `len` bytes of what an interrupted run left here; everything behind is blank again.
    ///
    /// # Errors
    /// `Unsupported` where nothing can be left; `Corrupt` when there are fewer bytes; as [`TargetStorage::write_all_at`].
    fn resume_at(&self, _len: u64) -> Result<()> {
        Err(Error::unsupported("this target keeps nothing of an interrupted run"))
    }

    /// Makes `len` bytes from `offset`, which were not written in this run yet, read as zeros. Where the target was empty
    /// before, nothing has to be done.
    ///
    /// # Errors
    /// As [`TargetStorage::write_all_at`].
    fn zero_range(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    /// Makes `source`'s bytes appear at `offset` without copying them, as file systems with reflinks can. False where that
    /// cannot be; the range is then to be written.
    ///
    /// # Errors
    /// As [`TargetStorage::write_all_at`].
    fn share(&self, _offset: u64, _source: &HostRange) -> Result<bool> {
        Ok(false)
    }

    /// Whether short writes cost no more than long ones, because the host's memory gathers them.
    fn gathers_writes(&self) -> bool {
        false
    }

    /// Whether what was never written reads as zeros. A device has old bytes there: a sink has to zero every range that
    /// it does not write.
    fn is_blank(&self) -> bool {
        true
    }

    /// Whether bytes can only be added at the end: a pipe. Writes must then ascend; gaps become zeros.
    fn is_sequential(&self) -> bool {
        false
    }

    /// The file name that it will have, where it will have one.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Another file of the same image beside this one, under the plain name `name`. Each is committed on its own; the
    /// one that names the others comes last.
    ///
    /// # Errors
    /// `Unsupported` where an image can only be one file; else as the creation of the target.
    fn sibling(&self, name: &str) -> Result<Box<dyn TargetStorage>> {
        Err(Error::unsupported(format!(
            "the image needs a second file, {name:?}, and this target is only one"
        ))
        .hint("write it to a file in a folder"))
    }
}
