//! The writer of one image format.

use crate::{HostRange, Result};

/// The largest chunk size a sink may ask for: the block that the pipeline works on.
pub const MAX_CHUNK: u64 = 4 << 20;

/// In which order a sink can take its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any order, from many threads at once.
    Any,
    /// Ascending guest offsets, one call at a time.
    Ascending,
}

/// What a sink asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The order of `write_at` and `zero_at`.
    pub order: Order,
    /// Offsets are multiples of this many bytes, and so are lengths but for the last chunk of the disk.
    /// A power of two, at most [`MAX_CHUNK`]. Zero detection happens at this granularity.
    pub chunk_size: u64,
    /// Every chunk is passed through [`Sink::pack`] by a worker and written alone (`len == chunk_size`).
    pub packed: bool,
}

/// Bytes on their way into a sink.
#[derive(Clone, Debug)]
pub enum Packed<'a> {
    /// Guest bytes as they are.
    Plain(&'a [u8]),
    /// One chunk in the sink's own encoding.
    Encoded {
        /// The encoded bytes.
        bytes: Vec<u8>,
        /// How many guest bytes they stand for.
        guest_len: u64,
    },
}

/// The writer of one image.
///
/// The contract is in the [crate docs](crate), lines 6 to 9. `write_at` and `zero_at` are called once for each
/// range at most, and whatever is never mentioned must read as zeros — or, where the request named a parent, as the
/// parent: `zero_at` must then hide it.
pub trait Sink: Send + Sync {
    /// What the caller must keep to.
    fn needs(&self) -> Needs;

    /// Encodes one chunk; runs in the workers, in parallel.
    ///
    /// # Errors
    /// `Contract` when the encoder fails.
    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Plain(data))
    }

    /// Stores `data` at guest offset `offset`.
    ///
    /// # Errors
    /// `Io`/`Temporary` from the target; `Contract` when the caller breaks [`Needs`].
    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()>;

    /// Makes guest bytes from `offset` be those of `source` without copying them, where format and host can do that: then
    /// nothing else has to be written there. False where not, and [`Sink::write_at`] has to follow.
    ///
    /// # Errors
    /// As [`Sink::write_at`].
    fn share_at(&self, _offset: u64, _source: &HostRange) -> Result<bool> {
        Ok(false)
    }

    /// Whether a block may as well be written in pieces, in any order: they lie where they would lie, and cost no more.
    fn takes_pieces(&self) -> bool {
        false
    }

    /// Makes `len` bytes from `offset` read as zeros.
    ///
    /// # Errors
    /// As [`Sink::write_at`].
    fn zero_at(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes what was written so far durable.
    ///
    /// # Errors
    /// `Io`/`Temporary` from the target.
    fn flush(&self) -> Result<()>;

    /// What [`Format::resume`](crate::Format::resume) needs to go on from here in another process; `None` where that
    /// cannot be done. It holds once everything written so far is durable. No other call runs at the same time, and
    /// none has failed before.
    ///
    /// # Errors
    /// As [`Sink::write_at`].
    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Writes tables and footers, flushes, and only then gives the image its final name.
    ///
    /// # Errors
    /// As [`Sink::write_at`]; the image then does not exist under its final name.
    fn finish(self: Box<Self>) -> Result<()>;
}
