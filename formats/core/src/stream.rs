//! An image that is read from its start to its end, because it comes through a pipe.

use crate::{Result, Warning};

/// Guest bytes of one image, in the order of the file.
pub trait ChunkStream: Send {
    /// The format's name as in its [`crate::Format`].
    fn format(&self) -> &'static str;

    /// Size of the disk in bytes.
    fn virtual_size(&self) -> u64;

    /// The next chunk, or `None` after the last. Chunks ascend and never overlap; what lies between them is zeros.
    ///
    /// # Errors
    /// `Corrupt` also when the stream ends early, `Unsupported` when the file's chunks do not ascend, `Io`.
    fn next_chunk(&mut self) -> Result<Option<StreamChunk>>;

    /// What a person should know.
    fn warnings(&self) -> &[Warning] {
        &[]
    }
}

/// Guest bytes from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamChunk {
    /// Guest offset in bytes.
    pub offset: u64,
    /// The bytes: never none, never more than [`crate::MAX_CHUNK`].
    pub data: Vec<u8>,
}
