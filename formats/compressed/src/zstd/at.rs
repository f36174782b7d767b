//! zstd at any place: by the seek table, or by walking frames that say how much they hold.

use super::frame::{self, Start};
use super::seek_table::SeekTable;
use super::unpack::failed;
use crate::error::{PackedError, Result};
use crate::index::{Index, IndexBuilder, MAX_UNIT};
use crate::random::{self, Codec};
use crate::window::Window;
use format_core::Storage;
use std::cell::RefCell;
use std::sync::Arc;
use zstd::zstd_safe::DCtx;

/// How many blocks are looked at to tell a size that nothing depends on.
const FEW_BLOCKS: u64 = 1 << 16;

thread_local! {
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

struct Frames;

impl Codec for Frames {
    fn unpack(&self, packed: &[u8], host: u64, out: &mut [u8]) -> Result<()> {
        DECODER.with_borrow_mut(|slot| {
            let decoder = slot.get_or_insert_with(DCtx::create);
            let made = decoder.decompress(out, packed).map_err(|code| failed(host, code))?;
            if made == out.len() {
                return Ok(());
            }
            let (said, found) = (out.len() as u64, made as u64);
            Err(PackedError::Length { what: "the index", at: host, said, found })
        })
    }
}

/// The file at any place, where it is in frames that are small enough and say how much they hold.
pub(crate) fn open(storage: &Arc<dyn Storage>) -> Result<Option<Arc<dyn Storage>>> {
    let by = |index: Option<Index>| match index {
        Some(index) => random::open(super::NAME, storage, index, Frames),
        None => Ok(None),
    };
    match by(by_table(storage.as_ref())?)? {
        Some(at) => Ok(Some(at)),
        None => by(by_frames(storage.as_ref())?),
    }
}

/// A table that does not fit its file is none: what is in the frames counts.
fn by_table(storage: &dyn Storage) -> Result<Option<Index>> {
    let Some(table) = SeekTable::find(storage)? else { return Ok(None) };
    let (mut builder, mut at, mut fits) = (IndexBuilder::default(), 0u64, true);
    table.read(storage, |entry| {
        // A frame of no bytes in the file does not exist.
        fits = entry.packed > 0 && builder.add(at, entry.packed.into(), entry.unpacked.into());
        at += u64::from(entry.packed);
        fits
    })?;
    Ok((fits && at == table.start).then(|| builder.finish()))
}

fn by_frames(storage: &dyn Storage) -> Result<Option<Index>> {
    let (mut walk, mut builder) = (Walk::new(storage), IndexBuilder::default());
    loop {
        let start = walk.at;
        match walk.next(u64::MAX)? {
            Found::End => return Ok((start > 0).then(|| builder.finish())),
            Found::Skipped => {}
            // Reading from the start to the end says what is wrong.
            Found::Unknown => return Ok(None),
            Found::Frame { content, len } => {
                if !builder.add(start, len, content) {
                    return Ok(None);
                }
            }
        }
    }
}

/// How many bytes the file holds, for a person: exact but for a first frame of many blocks, which is taken for the only one.
pub(crate) fn size(storage: &dyn Storage) -> Option<u64> {
    if let Ok(Some(index)) = by_table(storage) {
        return Some(index.size());
    }
    let (mut walk, mut sum) = (Walk::new(storage), 0u64);
    walk.limit = None;
    loop {
        match walk.next(FEW_BLOCKS).ok()? {
            Found::End => return Some(sum),
            Found::Skipped => {}
            Found::Unknown => return walk.first,
            Found::Frame { content, .. } => sum = sum.checked_add(content)?,
        }
    }
}

enum Found {
    End,
    Skipped,
    Frame {
        content: u64,
        len: u64,
    },
    /// It cannot be passed without unpacking, or not within the limits.
    Unknown,
}

/// From frame to frame by the lengths of their blocks.
struct Walk<'a> {
    window: Window<'a>,
    size: u64,
    at: u64,
    /// What a frame may hold.
    limit: Option<u64>,
    /// What the first frame says that it holds.
    first: Option<u64>,
}

impl<'a> Walk<'a> {
    fn new(storage: &'a dyn Storage) -> Self {
        let (window, size) = (Window::new(storage), storage.size());
        Self { window, size, at: 0, limit: Some(MAX_UNIT), first: None }
    }

    /// The next frame, of `most` blocks at most.
    fn next(&mut self, most: u64) -> Result<Found> {
        if self.at == self.size {
            return Ok(Found::End);
        }
        let start = self.at;
        let head = self.window.up_to(start, frame::MAX_HEADER)?;
        let found = match frame::parse(head, start) {
            Ok(Start::Skippable { len }) => {
                self.at = start.saturating_add(len);
                Found::Skipped
            }
            Ok(Start::Frame(header)) => {
                let Some(content) = header.content_size else { return Ok(Found::Unknown) };
                if self.first.is_none() {
                    self.first = Some(content);
                }
                let too_large = self.limit.is_some_and(|limit| content > limit);
                if too_large || header.dictionary != 0 || !self.blocks(start + header.len as u64, most)? {
                    return Ok(Found::Unknown);
                }
                self.at += if header.has_checksum { 4 } else { 0 };
                Found::Frame { content, len: self.at.saturating_sub(start) }
            }
            _ => Found::Unknown,
        };
        Ok(if self.at > self.size { Found::Unknown } else { found })
    }

    /// Passes the blocks from `at`; false where there are too many of them or they leave the file.
    fn blocks(&mut self, mut at: u64, most: u64) -> Result<bool> {
        for _ in 0..most {
            let Some([b0, b1, b2]) = self.window.up_to(at, 3)?.first_chunk() else { return Ok(false) };
            let header = u32::from_le_bytes([*b0, *b1, *b2, 0]);
            let size = match header >> 1 & 3 {
                0 | 2 => u64::from(header >> 3),
                1 => 1,
                _ => return Ok(false),
            };
            at += 3 + size;
            if at > self.size {
                return Ok(false);
            }
            if header & 1 == 1 {
                self.at = at;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
