//! One chunk: read, unpacked, compared with its checksum.

use crate::error::EwfError;
use crate::image::Image;
use crate::table::{Form, Place};
use format_core::{Result, Storage};
use libdeflater::{DecompressionError, Decompressor, adler32};
use std::cell::RefCell;

/// Buffers up to this size are kept by each thread.
const KEPT: usize = 2 << 20;

#[derive(Default)]
struct Workshop {
    inflater: Option<Decompressor>,
    packed: Vec<u8>,
}

thread_local! {
    // One for a thread: making them costs as much as a small chunk.
    static WORKSHOP: RefCell<Workshop> = RefCell::default();
}

impl Image {
    /// Guest bytes of `chunk`: less than the chunk size at the end of the disk.
    pub(crate) fn chunk_len(&self, chunk: u64) -> u64 {
        let size = self.volume.chunk_size();
        self.volume.virtual_size().saturating_sub(chunk.saturating_mul(size)).min(size)
    }

    /// Fills `out` with all guest bytes of `chunk`, which is [`Image::chunk_len`] long.
    pub(crate) fn read_chunk(&self, chunk: u64, out: &mut [u8]) -> Result<()> {
        let missing = || EwfError::ChunkMissing {
            chunk,
            chunks: self.tables.chunks(),
            wanted: self.volume.disk_chunks(),
        };
        let place = self.tables.place(&self.segments, chunk)?.ok_or_else(missing)?;
        let size = self.volume.chunk_size() as usize;
        // Stored blocks of deflate cost five bytes each, and one has 16 KiB at least in what any program writes.
        let most = (size + size / 64 + 1024) as u64;
        let len = (place.end - place.start).min(most) as usize;
        WORKSHOP.with_borrow_mut(|workshop| {
            let Workshop { inflater, packed } = workshop;
            // Never cleared: it would cost as much as reading.
            if packed.len() < len {
                packed.resize(len, 0);
            }
            let bytes = packed.get_mut(..len).unwrap_or_default();
            self.segments.read_exact_at(place.start, bytes)?;
            let inflater = inflater.get_or_insert_with(Decompressor::new);
            let unpacked = unpack(inflater, place.form, size, bytes, out);
            packed.truncate(KEPT);
            packed.shrink_to(KEPT);
            unpacked.map_err(|why| self.damaged(chunk, place, why).into())
        })
    }

    fn damaged(&self, chunk: u64, place: Place, why: &'static str) -> EwfError {
        let (segment, offset) = self.segments.place(place.start);
        EwfError::ChunkData { chunk, segment, offset, len: place.end - place.start, why }
    }
}

fn unpack(
    inflater: &mut Decompressor,
    form: Form,
    size: usize,
    packed: &[u8],
    out: &mut [u8],
) -> Result<(), &'static str> {
    match form {
        Form::Zlib => inflate(inflater, size, packed, out),
        Form::Plain => copy(size, packed, out),
        Form::Either => copy(size, packed, out).or_else(|_| inflate(inflater, size, packed, out)),
    }
}

/// The last chunk is stored as long as the disk goes, or whole.
fn copy(size: usize, packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    let fits = |len: usize| {
        let (data, rest) = packed.split_at_checked(len)?;
        (adler32(data).to_le_bytes() == *rest.first_chunk()?).then_some(data)
    };
    let data = fits(out.len()).or_else(|| fits(size)).and_then(|data| data.get(..out.len()));
    out.copy_from_slice(data.ok_or("its bytes do not have the checksum behind them")?);
    Ok(())
}

/// As [`copy`] for a zlib stream, which has its checksum within.
fn inflate(
    inflater: &mut Decompressor,
    size: usize,
    packed: &[u8],
    out: &mut [u8],
) -> Result<(), &'static str> {
    match inflater.zlib_decompress(packed, out) {
        Ok(len) if len == out.len() => return Ok(()),
        Ok(_) => return Err("it unpacks to less than a chunk"),
        Err(DecompressionError::BadData) => return Err("it cannot be unpacked"),
        Err(DecompressionError::InsufficientSpace) if out.len() == size => {
            return Err("it unpacks to more than a chunk");
        }
        Err(DecompressionError::InsufficientSpace) => {}
    }
    let mut whole = vec![0; size];
    let len = inflater.zlib_decompress(packed, &mut whole).map_err(|_| "it cannot be unpacked to a chunk")?;
    let data = whole.get(..out.len()).filter(|_| len == size);
    out.copy_from_slice(data.ok_or("it unpacks to another length than the end of the disk has")?);
    Ok(())
}
