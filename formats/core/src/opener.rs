//! How a room opens what is inside its own images: other formats, and compressed bytes.

use crate::{Error, Gate, InnerImage, Result, Storage};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

/// Opens images of any format for rooms, which do not know each other.
pub trait Opener: Send + Sync {
    /// Opens the image in `storage`, unpacked where it is compressed, with its parents. `name` is what the container calls
    /// it, and says its format as a file's name does; `gate` is for the names that it holds.
    ///
    /// # Errors
    /// As [`crate::open_image`].
    fn open(&self, storage: Arc<dyn Storage>, name: &str, gate: Arc<dyn Gate>) -> Result<InnerImage>;

    /// The bytes of `storage`, unpacked where they are compressed, at any place. Where the compression does not allow that,
    /// they are put into a temporary file.
    ///
    /// # Errors
    /// `Corrupt` from the compressed bytes; `Temporary` when there is no room for the file; `Io`.
    fn unpacked(&self, storage: Arc<dyn Storage>, name: &str) -> Result<Arc<dyn Storage>>;

    /// The bytes of `storage` from its start to its end, unpacked where they are compressed.
    ///
    /// # Errors
    /// `Corrupt` from the compressed bytes.
    fn reader(&self, storage: Arc<dyn Storage>, name: &str) -> Result<Box<dyn Read + Send>>;

    /// All that comes from `from`, put into a temporary file with holes; `name` is for messages, `expected` how many bytes
    /// there may be. An [`Error`] inside of a read error comes through as it is.
    ///
    /// # Errors
    /// What the reader reports; `Temporary` when there is no room for the file; `Io`.
    fn keep(
        &self,
        name: &str,
        _from: Box<dyn Read + Send>,
        _expected: Option<u64>,
    ) -> Result<Arc<dyn Storage>> {
        Err(unsupported(name))
    }

    /// A new, unnamed file in the folder for temporary files, for an index that is too large for memory.
    ///
    /// # Errors
    /// `Io` when it cannot be made.
    fn scratch(&self) -> Result<File>;
}

/// For contexts without an operator: nothing inside an image is opened.
#[derive(Debug)]
pub(crate) struct NoOpener;

impl Opener for NoOpener {
    fn open(&self, _: Arc<dyn Storage>, name: &str, _: Arc<dyn Gate>) -> Result<InnerImage> {
        Err(unsupported(name))
    }

    fn unpacked(&self, _: Arc<dyn Storage>, name: &str) -> Result<Arc<dyn Storage>> {
        Err(unsupported(name))
    }

    fn reader(&self, _: Arc<dyn Storage>, name: &str) -> Result<Box<dyn Read + Send>> {
        Err(unsupported(name))
    }

    fn keep(
        &self,
        name: &str,
        from: Box<dyn Read + Send>,
        expected: Option<u64>,
    ) -> Result<Arc<dyn Storage>> {
        crate::Spool::default().keep(name, from, expected)
    }

    fn scratch(&self) -> Result<File> {
        tempfile::tempfile().map_err(|e| Error::io("cannot make a temporary file", e))
    }
}

fn unsupported(name: &str) -> Error {
    Error::unsupported(format!("{name:?} cannot be opened inside of another image here"))
}
