//! Replies of the transmission phase ("Simple reply message", "Structured reply chunk message").

use crate::request::{Failure, Request};
use crate::wire::{ALLOCATION_ID, Message, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, broken, chunk, len32};
use format_core::Result;
use std::io::Write;

/// Data are read, written and sent in pieces of this size.
pub(crate) const PIECE: usize = 2 << 20;
/// Room in front of the data for the longest header: a chunk's, and the offset.
const HEAD: usize = 28;

/// Sends replies. Data are read right behind their header, so that both are sent at once and never copied.
pub(crate) struct Replies<W> {
    writer: W,
    is_structured: bool,
    frame: Vec<u8>,
}

impl<W: Write> Replies<W> {
    pub(crate) fn new(writer: W, is_structured: bool) -> Self {
        Self { writer, is_structured, frame: Vec::new() }
    }

    /// Room for `len` bytes of data, at most a [`PIECE`].
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(PIECE);
        if self.frame.len() < HEAD + len {
            self.frame.resize(HEAD + len, 0);
        }
        self.frame.get_mut(HEAD..HEAD + len).unwrap_or_default()
    }

    /// Fills room for `len` bytes, and sends `head` and them. Nothing was sent when `fill` fails.
    ///
    /// # Errors
    /// A broken connection; inside, what `fill` reported.
    pub(crate) fn data(
        &mut self,
        head: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Result<()>> {
        if let Err(error) = fill(self.room(len)) {
            return Ok(Err(error));
        }
        let start = HEAD.saturating_sub(head.len());
        if let Some(place) = self.frame.get_mut(start..HEAD) {
            place.copy_from_slice(head);
        }
        let whole = self.frame.get(start..HEAD + len).unwrap_or_default();
        self.writer.write_all(whole).map_err(broken)?;
        Ok(Ok(()))
    }

    /// The request was carried out, and there is nothing more to say.
    pub(crate) fn done(&mut self, request: &Request) -> Result<()> {
        // A structured read ends in a chunk; all else may end simply.
        self.send(&if self.is_structured {
            chunk_head(request, chunk::DONE, chunk::NONE, 0)
        } else {
            simple_head(request, 0)
        })
    }

    /// The request failed as a whole.
    pub(crate) fn failed(&mut self, request: &Request, failure: &Failure) -> Result<()> {
        if !self.is_structured {
            return self.send(&simple_head(request, failure.errno));
        }
        let text = failure.message.as_bytes();
        let head = chunk_head(request, chunk::DONE, chunk::ERROR, 6 + text.len());
        self.send(&error_fields(head, failure.errno, text))
    }

    /// A read failed at `offset`; what was sent before is right.
    pub(crate) fn failed_at(&mut self, request: &Request, failure: &Failure, offset: u64) -> Result<()> {
        let text = failure.message.as_bytes();
        let head = chunk_head(request, chunk::DONE, chunk::ERROR_OFFSET, 14 + text.len());
        self.send(&error_fields(head, failure.errno, text).u64(offset))
    }

    pub(crate) fn hole(&mut self, request: &Request, offset: u64, len: u32, is_last: bool) -> Result<()> {
        let flags = if is_last { chunk::DONE } else { 0 };
        self.send(&chunk_head(request, flags, chunk::OFFSET_HOLE, 12).u64(offset).u32(len))
    }

    /// Descriptors of the allocation context: lengths and states.
    pub(crate) fn status(&mut self, request: &Request, descriptors: &[(u32, u32)]) -> Result<()> {
        let head = chunk_head(request, chunk::DONE, chunk::BLOCK_STATUS, 4 + 8 * descriptors.len());
        let message = head.u32(ALLOCATION_ID);
        self.send(&descriptors.iter().fold(message, |message, (len, state)| message.u32(*len).u32(*state)))
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        self.writer.write_all(&message.0).map_err(broken)
    }
}

pub(crate) fn simple_head(request: &Request, errno: u32) -> Message {
    Message::default().u32(SIMPLE_REPLY_MAGIC).u32(errno).u64(request.cookie)
}

pub(crate) fn chunk_head(request: &Request, flags: u16, kind: u16, len: usize) -> Message {
    let magic = Message::default().u32(STRUCTURED_REPLY_MAGIC);
    magic.u16(flags).u16(kind).u64(request.cookie).u32(len32(len))
}

/// The header of a chunk of `len` bytes of data at `offset`.
pub(crate) fn data_head(request: &Request, offset: u64, len: usize, is_last: bool) -> Message {
    let flags = if is_last { chunk::DONE } else { 0 };
    chunk_head(request, flags, chunk::OFFSET_DATA, 8 + len).u64(offset)
}

fn error_fields(head: Message, errno: u32, text: &[u8]) -> Message {
    // A failure's message is cut when it is made.
    head.u32(errno).u16(u16::try_from(text.len()).unwrap_or(0)).bytes(text)
}
