//! lz4 from the start to the end: frames follow each other, of both formats.

use super::frame::{self, Descriptor, HISTORY};
use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::Unpack;
use format_core::Access;
use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use std::hash::Hasher;
use twox_hash::XxHash32;

const UNCOMPRESSED: u32 = 1 << 31;
/// How many blocks find room before the history is moved to the front.
const BLOCKS: usize = 4;

pub(crate) struct Lz4 {
    state: State,
    buf: Vec<u8>,
    /// The part of `buf` that nobody has got yet; what lies before it is history.
    ready: std::ops::Range<usize>,
    frames: u64,
}

enum State {
    Between,
    Frame { frame: Descriptor, hash: XxHash32, len: u64 },
    Legacy,
}

impl Unpack for Lz4 {
    const NAME: &'static str = super::NAME;

    fn new(_: &Access) -> Result<Self> {
        Ok(Self { state: State::Between, buf: Vec::new(), ready: 0..0, frames: 0 })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            if !self.ready.is_empty() {
                let len = self.ready.len().min(out.len());
                let part = self.buf.get(self.ready.start..self.ready.start + len).unwrap_or_default();
                out.get_mut(..len).unwrap_or_default().copy_from_slice(part);
                self.ready.start += len;
                return Ok(len);
            }
            let made = match std::mem::replace(&mut self.state, State::Between) {
                State::Between => match self.begin(input)? {
                    Some(state) => {
                        (self.state, self.ready) = (state, 0..0);
                        self.frames += 1;
                        0
                    }
                    None => return Ok(0),
                },
                State::Frame { frame, hash, len } => self.block(frame, hash, len, input, out)?,
                State::Legacy => self.legacy_block(input, out)?,
            };
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

impl Lz4 {
    /// Finds the next frame; none at the end of the file.
    fn begin(&mut self, input: &mut Input) -> Result<Option<State>> {
        loop {
            let at = input.position();
            let head = input.peek(5)?;
            if head.is_empty() {
                return if at == 0 { Err(PackedError::Empty) } else { Ok(None) };
            }
            let flags = head.last().copied().unwrap_or_default();
            let Some(magic) = head.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else {
                let cut = PackedError::Truncated { at: at + head.len() as u64, what: "a magic number" };
                return Err(if self.frames > 0 { input.garbage() } else { cut });
            };
            if magic == frame::LEGACY {
                input.consume(4);
                return Ok(Some(State::Legacy));
            }
            if frame::is_skippable(magic) {
                input.consume(4);
                let len = u32::from_le_bytes(input.take("the header of a skippable frame")?);
                input.skip(len.into(), "a skippable frame")?;
                continue;
            }
            if magic != frame::MAGIC {
                return Err(input.garbage());
            }
            let len = frame::descriptor_len(flags);
            let bytes = input.exactly(4 + len, "a frame descriptor")?;
            let frame = frame::parse(bytes.get(4..).unwrap_or_default(), at + 4)?;
            input.consume(4 + frame.len);
            return Ok(Some(State::Frame { frame, hash: XxHash32::with_seed(0), len: 0 }));
        }
    }

    /// Unpacks the next block into `out` where that has room, else into the buffer.
    fn block(
        &mut self,
        frame: Descriptor,
        mut hash: XxHash32,
        mut len: u64,
        input: &mut Input,
        out: &mut [u8],
    ) -> Result<usize> {
        let at = input.position();
        let header = u32::from_le_bytes(input.take("the header of a block")?);
        if header == 0 {
            return end(frame, &hash, len, input).map(|()| 0);
        }
        let packed_len = (header & !UNCOMPRESSED) as usize;
        if packed_len > frame.block_size {
            let possible = "a block is never longer than the frame says";
            return Err(PackedError::Field {
                what: "the length of a block",
                at,
                found: packed_len as u64,
                possible,
            });
        }
        let sum_len = if frame.block_checksums { 4 } else { 0 };
        let bytes = input.exactly(packed_len + sum_len, "a block")?;
        let (packed, sum) = bytes.split_at(packed_len);
        check_block(packed, sum, at)?;
        let direct = !frame.linked && out.len() >= frame.block_size;
        let (history, room) = if direct {
            (&[][..], out.get_mut(..frame.block_size).unwrap_or_default())
        } else {
            room(&mut self.buf, self.ready.end, frame)
        };
        let from = history.len();
        let made = if header & UNCOMPRESSED != 0 {
            room.get_mut(..packed_len).unwrap_or_default().copy_from_slice(packed);
            Ok(packed_len)
        } else if frame.linked {
            let history = history.get(from.saturating_sub(HISTORY)..).unwrap_or_default();
            decompress_into_with_dict(packed, room, history)
        } else {
            decompress_into(packed, room)
        };
        let made = made.map_err(|e| PackedError::Data { at, why: e.to_string() })?;
        if frame.content_checksum {
            hash.write(room.get(..made).unwrap_or_default());
        }
        len += made as u64;
        input.consume(packed_len + sum_len);
        self.state = State::Frame { frame, hash, len };
        if direct {
            return Ok(made);
        }
        self.ready = from..from + made;
        Ok(0)
    }

    fn legacy_block(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        let at = input.position();
        let head = input.peek(4)?;
        if head.is_empty() {
            return Ok(0);
        }
        let Some(header) = head.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else {
            return Err(PackedError::Truncated { at: at + head.len() as u64, what: "the length of a block" });
        };
        if header == frame::LEGACY || header == frame::MAGIC || frame::is_skippable(header) {
            // The next frame; the state is between frames.
            return Ok(0);
        }
        if u64::from(header) > frame::LEGACY_PACKED {
            return Err(input.garbage());
        }
        let bytes = input.exactly(4 + header as usize, "a block")?;
        let packed = bytes.get(4..).unwrap_or_default();
        let direct = out.len() >= frame::LEGACY_BLOCK;
        let room = if direct {
            out
        } else {
            self.buf.resize(frame::LEGACY_BLOCK, 0);
            &mut self.buf
        };
        let room = room.get_mut(..frame::LEGACY_BLOCK).unwrap_or_default();
        let made = decompress_into(packed, room).map_err(|e| PackedError::Data { at, why: e.to_string() })?;
        input.consume(4 + header as usize);
        self.state = State::Legacy;
        if direct {
            return Ok(made);
        }
        self.ready = 0..made;
        Ok(0)
    }
}

/// Compares the checksum behind a block, if there is one.
fn check_block(packed: &[u8], sum: &[u8], at: u64) -> Result<()> {
    let Some(sum) = sum.first_chunk() else { return Ok(()) };
    let (found, computed) = (u32::from_le_bytes(*sum), XxHash32::oneshot(0, packed));
    if found == computed {
        return Ok(());
    }
    Err(PackedError::Checksum { what: "the checksum of a block", at, found, computed })
}

/// What lies before `end` in the buffer, and the room for a block behind it.
fn room(buf: &mut Vec<u8>, end: usize, frame: Descriptor) -> (&[u8], &mut [u8]) {
    let wanted = HISTORY + BLOCKS * frame.block_size;
    if buf.len() < wanted {
        buf.resize(wanted, 0);
    }
    let mut from = if frame.linked { end } else { 0 };
    if from + frame.block_size > buf.len() {
        buf.copy_within(from - HISTORY..from, 0);
        from = HISTORY;
    }
    let (history, room) = buf.split_at_mut(from);
    (history, room.get_mut(..frame.block_size).unwrap_or_default())
}

fn end(frame: Descriptor, hash: &XxHash32, len: u64, input: &mut Input) -> Result<()> {
    let at = input.position();
    if let Some(said) = frame.content_size.filter(|said| *said != len) {
        return Err(PackedError::Length { what: "the frame", at, said, found: len });
    }
    if frame.content_checksum {
        let found = u32::from_le_bytes(input.take("the checksum of a frame")?);
        let computed = hash.finish() as u32;
        if found != computed {
            return Err(PackedError::Checksum { what: "the checksum of a frame", at, found, computed });
        }
    }
    Ok(())
}
