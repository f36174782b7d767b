//! The block map: what its entries mean, page by page.

use crate::error::VdiError;
use crate::layout::{BLOCK_FREE, BLOCK_ZERO, ENTRY_LEN};
use crate::parse::Image;
use format_core::{Error, ExtentKind, Page, PageCache, Result, Run, Storage};

const PAGE: u64 = PageCache::MAX_PAGE as u64;
/// How many blocks one answer speaks of at most: looking further would cost more than asking again.
const LOOK_AHEAD: u64 = 1024;

/// Where a block of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    Zero,
    /// Host offset of its data.
    Host(u64),
}

impl Place {
    fn kind(self) -> ExtentKind {
        match self {
            Self::Free => ExtentKind::Unallocated,
            Self::Zero => ExtentKind::Zero,
            Self::Host(_) => ExtentKind::Data,
        }
    }
}

impl Image {
    /// What the map's entry says of `block`, in a file of `size` bytes.
    ///
    /// Only the bytes that the disk uses have to be there: a last block that ends with the disk loses nothing.
    pub(crate) fn place(&self, block: u64, entry: u32, size: u64) -> Result<Place, VdiError> {
        match entry {
            BLOCK_FREE => return Ok(Place::Free),
            BLOCK_ZERO => return Ok(Place::Zero),
            _ => {}
        }
        if u64::from(entry) >= self.blocks {
            return Err(VdiError::BlockIndex { block, index: entry, blocks: self.blocks });
        }
        // 32 bits times 2^29 at most.
        let offset = self.data + u64::from(entry) * self.stride() + self.block_extra;
        let length = self.block_len(block);
        if offset + length > size {
            return Err(VdiError::BlockPlace { block, offset, length, size });
        }
        Ok(Place::Host(offset))
    }

    /// Where the page of the map is that holds the entry of `block`, its length, and the entry's place in it.
    pub(crate) fn page_of(&self, block: u64) -> (u64, usize, usize) {
        let at = block * ENTRY_LEN;
        let start = at / PAGE * PAGE;
        let length = (self.blocks * ENTRY_LEN).saturating_sub(start).min(PAGE);
        (self.map + start, length as usize, (at % PAGE) as usize)
    }
}

/// The entry at byte `place` of a page.
pub(crate) fn entry_at(page: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*page.get(place..)?.first_chunk()?))
}

/// The block map of a file, with the pages of it that were used last.
pub(crate) struct BlockMap {
    pub(crate) image: Image,
    size: u64,
    pages: PageCache,
}

impl BlockMap {
    pub(crate) fn new(image: Image, size: u64) -> Self {
        Self { image, size, pages: PageCache::default() }
    }

    /// The run at `offset`, which is inside the disk; it ends with the page of the map at the latest. With
    /// `in_one_piece` a Data run is also one run of the file.
    pub(crate) fn run_at(&self, storage: &dyn Storage, offset: u64, in_one_piece: bool) -> Result<Run> {
        let image = &self.image;
        let (block, inside) = (offset / image.block_size, offset % image.block_size);
        let (page_at, length, mut place) = image.page_of(block);
        let page: Page = self.pages.page(storage, page_at, length)?;
        let entry =
            entry_at(&page, place).ok_or_else(|| Error::contract("a page of the map without its entry"))?;
        let first = image
            .place(block, entry, self.size)
            .map_err(|e| Error::from(e).at(page_at.saturating_add(place as u64)))?;
        let host = if let Place::Host(host) = first { host + inside } else { 0 };
        let mut len = image.block_len(block) - inside;
        let end = image.disk_blocks().min(block.saturating_add(LOOK_AHEAD));
        for next in block + 1..end {
            place += ENTRY_LEN as usize;
            // A damaged entry further on is reported when it is asked for itself.
            let Some(Ok(found)) = entry_at(&page, place).map(|entry| image.place(next, entry, self.size))
            else {
                break;
            };
            let apart = matches!(found, Place::Host(at) if in_one_piece && at != host + len);
            if found.kind() != first.kind() || apart {
                break;
            }
            len += image.block_len(next);
        }
        Ok(Run { kind: first.kind(), len, host })
    }
}
