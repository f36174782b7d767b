//! The BAT: what its entries mean.

use crate::error::VhdError;
use crate::layout::{BAT_ENTRY_LEN, SECTOR, UNUSED, bitmap_len};
use crate::parse::{Area, Dynamic};
use format_core::PageCache;

/// The BAT is read and kept in pages of this size, 16384 entries; the bitmap of the largest block is as long.
pub(crate) const PAGE: u64 = PageCache::MAX_PAGE as u64;

/// The shape of the BAT and the bounds of what it may point to.
#[derive(Clone, Debug)]
pub(crate) struct Bat {
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    virtual_size: u64,
    area: Area,
    used: [Area; 3],
    /// Where the footer begins.
    end: u64,
}

impl Bat {
    /// The BAT of a disk of `virtual_size` bytes in a file with `end` bytes before its footer.
    pub(crate) fn new(dynamic: &Dynamic, virtual_size: u64, end: u64) -> Self {
        let Dynamic { block_size, blocks, bat, used, .. } = *dynamic;
        Self { block_size, blocks, virtual_size, area: bat, used, end }
    }

    /// The page that holds the entry of `block`, and the entry's place in it.
    pub(crate) fn page_of(&self, block: u64) -> (Area, usize) {
        let at = block * BAT_ENTRY_LEN;
        let start = at / PAGE * PAGE;
        let length = self.area.length.saturating_sub(start).min(PAGE);
        // The remainder is below the page size.
        (Area { offset: self.area.offset + start, length }, (at % PAGE) as usize)
    }

    /// Guest bytes of `block`: less than the block size at the end of the disk.
    pub(crate) fn block_len(&self, block: u64) -> u64 {
        let start = block.saturating_mul(self.block_size);
        self.virtual_size.saturating_sub(start).min(self.block_size)
    }

    /// Where the bitmap of `block` is, with the data behind it; `None` for a block that has no place.
    ///
    /// Only the bytes that the disk uses have to be there: a last block that ends with the disk loses nothing.
    pub(crate) fn place(&self, block: u64, entry: u32) -> Result<Option<Area>, VhdError> {
        if entry == UNUSED {
            return Ok(None);
        }
        let (offset, size) = (u64::from(entry) * SECTOR, self.end);
        let bitmap = bitmap_len(self.block_size);
        let length = bitmap + self.block_len(block);
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(VhdError::BlockPlace { block, offset, length, size });
        }
        let all = Area { offset, length };
        match self.used.iter().find(|area| area.overlaps(&all)) {
            Some(area) => Err(VhdError::BlockOverlaps { block, offset, area: area.offset }),
            None => Ok(Some(Area { offset, length: bitmap })),
        }
    }
}

/// The entry at byte `place` of a page.
pub(crate) fn entry_at(page: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*page.get(place..)?.first_chunk()?))
}
