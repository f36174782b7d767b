//! BGZF: gzip members of 64 KiB at most, each of which says how long it is, and an empty one at the end.

use crate::error::{PackedError, Result};
use crate::index::{Index, IndexBuilder};
use crate::random::{self, Codec};
use crate::window::Window;
use format_core::Storage;
use libdeflater::Decompressor;
use std::cell::RefCell;
use std::sync::Arc;

/// Up to the block's own length, where the extra field holds nothing else, as in all that is written.
pub(crate) const HEADER_LEN: usize = 18;
/// CRC32 and length.
const TRAILER_LEN: usize = 8;
/// What a block holds at most.
pub(crate) const MAX_DATA: usize = 1 << 16;

/// The empty block at the end of every file.
pub(crate) const END: [u8; 28] =
    [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The length of the block that begins with `head`; none for any other gzip member.
pub(crate) fn block_len(head: &[u8]) -> Option<usize> {
    let head = head.first_chunk::<HEADER_LEN>()?;
    let [0x1f, 0x8b, 8, 4, _, _, _, _, _, _, 6, 0, b'B', b'C', 2, 0, low, high] = *head else { return None };
    Some(usize::from(u16::from_le_bytes([low, high])) + 1)
}

/// How many bytes went into a whole block at `at`.
pub(crate) fn data_len(block: &[u8], at: u64) -> Result<usize> {
    let len = block.last_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let possible = "a block has 0x1a to 0x10000 bytes";
    if block.len() < HEADER_LEN + TRAILER_LEN {
        return Err(PackedError::Field {
            what: "the length of a block",
            at,
            found: block.len() as u64,
            possible,
        });
    }
    match usize::try_from(len) {
        Ok(len) if len <= MAX_DATA => Ok(len),
        _ => Err(PackedError::Field {
            what: "the size of a block's data",
            at: at + block.len() as u64 - 4,
            found: len.into(),
            possible: "a block holds 0x10000 bytes at most",
        }),
    }
}

/// Unpacks blocks.
#[derive(Default)]
pub(crate) struct Decoder(Option<Decompressor>);

impl Decoder {
    /// Unpacks the whole block from `at` into `out`, which is as long as [`data_len`] says.
    pub(crate) fn unpack(&mut self, block: &[u8], at: u64, out: &mut [u8]) -> Result<()> {
        let data = block.get(HEADER_LEN..block.len().saturating_sub(TRAILER_LEN)).unwrap_or_default();
        let decompressor = self.0.get_or_insert_with(Decompressor::new);
        let made = decompressor.deflate_decompress(data, out);
        let made = made.map_err(|e| PackedError::Data { at, why: e.to_string() })?;
        if made != out.len() {
            let (said, found) = (out.len() as u64, made as u64);
            return Err(PackedError::Length { what: "a block", at, said, found });
        }
        let trailer = block.last_chunk::<TRAILER_LEN>();
        let found = trailer.map_or(0, |[a, b, c, d, ..]| u32::from_le_bytes([*a, *b, *c, *d]));
        let computed = crc32fast::hash(out);
        if found != computed {
            return Err(PackedError::Checksum { what: "the CRC32 of a block", at, found, computed });
        }
        Ok(())
    }
}

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::default();
}

struct Blocks;

impl Codec for Blocks {
    fn unpack(&self, mut packed: &[u8], host: u64, mut out: &mut [u8]) -> Result<()> {
        let end = host + packed.len() as u64;
        DECODER.with_borrow_mut(|decoder| {
            while !packed.is_empty() {
                let at = end - packed.len() as u64;
                let block = block_len(packed).and_then(|len| packed.split_at_checked(len));
                let (block, rest) = block.ok_or(PackedError::Truncated { at, what: "a BGZF block" })?;
                let len = data_len(block, at)?;
                let room = std::mem::take(&mut out);
                let (now, later) = room.split_at_mut_checked(len).ok_or_else(too_long(at))?;
                decoder.unpack(block, at, now)?;
                (packed, out) = (rest, later);
            }
            if out.is_empty() { Ok(()) } else { Err(too_long(end)()) }
        })
    }
}

fn too_long(at: u64) -> impl Fn() -> PackedError {
    move || PackedError::Data {
        at,
        why: "the blocks hold other lengths than when the file was opened".into(),
    }
}

/// The file at any place, where it is in blocks throughout.
pub(crate) fn open(storage: &Arc<dyn Storage>) -> Result<Option<Arc<dyn Storage>>> {
    let Some(index) = index(storage)? else { return Ok(None) };
    random::open(super::NAME, storage, index, Blocks)
}

/// Walks the blocks: each says how long it is at its start, and how much it holds at its end.
fn index(storage: &Arc<dyn Storage>) -> Result<Option<Index>> {
    let mut window = Window::new(storage.as_ref());
    let (mut builder, mut at, mut last) = (IndexBuilder::default(), 0, None);
    while at < storage.size() {
        let Some(len) = block_len(window.up_to(at, HEADER_LEN)?) else { return Ok(None) };
        let end = at + len as u64;
        if len < HEADER_LEN + TRAILER_LEN || end > storage.size() {
            // Reading from the start to the end says what is wrong.
            return Ok(None);
        }
        let size = window.up_to(end - 4, 4)?.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        if size as usize > MAX_DATA || !builder.add(at, len as u64, size.into()) {
            return Ok(None);
        }
        (at, last) = (end, Some(size));
    }
    match last {
        None => Ok(None),
        Some(0) => Ok(Some(builder.finish())),
        Some(_) => Err(PackedError::NoEndMarker { at }),
    }
}
