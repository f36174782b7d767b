//! The BAT: what its entries mean.

use crate::error::VhdxError;
use crate::layout::{
    BAT_ENTRY_LEN, BAT_OFFSET_SHIFT, BAT_STATE_MASK, BITMAP_BLOCK, PAYLOAD_BLOCK_FULLY_PRESENT,
    PAYLOAD_BLOCK_NOT_PRESENT, PAYLOAD_BLOCK_PARTIALLY_PRESENT, PAYLOAD_BLOCK_UNDEFINED,
    PAYLOAD_BLOCK_UNMAPPED, PAYLOAD_BLOCK_ZERO, SB_BLOCK_PRESENT,
};
use crate::parse::{Parameters, Region};
use format_core::PageCache;
use format_core::units::MIB;

/// Tables are read and kept in pages of this size: 8192 BAT entries, or the bitmap of the largest block.
pub(crate) const PAGE: u64 = PageCache::MAX_PAGE as u64;

/// Where the bytes of a payload block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Never written: the parent's bytes, zeros without a parent.
    NotPresent,
    /// Zeros, or contents that nobody may rely on.
    Zero,
    /// All in the file from this offset.
    Full(u64),
    /// Some sectors in the file from this offset, by the sector bitmap.
    Partial(u64),
}

/// The shape of the BAT and the bounds of what it may point to.
#[derive(Clone, Debug)]
pub(crate) struct Bat {
    pub(crate) parameters: Parameters,
    pub(crate) region: Region,
    /// Areas that no block may overlap.
    pub(crate) used: Vec<Region>,
    pub(crate) file_size: u64,
}

impl Bat {
    /// The index of a block's entry: one bitmap entry follows the entries of each chunk.
    pub(crate) fn index(&self, block: u64) -> u64 {
        block + block / self.parameters.chunk_ratio()
    }

    /// The index of the bitmap entry of a block's chunk.
    pub(crate) fn bitmap_index(&self, block: u64) -> u64 {
        let ratio = self.parameters.chunk_ratio();
        (block / ratio + 1) * (ratio + 1) - 1
    }

    /// The file offset of the page that holds entry `index`, and the entry's place in it.
    pub(crate) fn page_of(&self, index: u64) -> (u64, usize) {
        let at = index * BAT_ENTRY_LEN;
        // The remainder is below the page size.
        (self.region.offset + at / PAGE * PAGE, (at % PAGE) as usize)
    }

    /// Guest bytes of `block`: less than the block size at the end of the disk.
    pub(crate) fn block_len(&self, block: u64) -> u64 {
        let start = block.saturating_mul(self.parameters.block_size);
        self.parameters.virtual_size.saturating_sub(start).min(self.parameters.block_size)
    }

    /// What a payload entry means, checked.
    pub(crate) fn payload(&self, block: u64, entry: u64) -> Result<Block, VhdxError> {
        let has_parent = self.parameters.has_parent;
        match entry & BAT_STATE_MASK {
            PAYLOAD_BLOCK_NOT_PRESENT => Ok(Block::NotPresent),
            PAYLOAD_BLOCK_UNDEFINED | PAYLOAD_BLOCK_ZERO | PAYLOAD_BLOCK_UNMAPPED => Ok(Block::Zero),
            PAYLOAD_BLOCK_FULLY_PRESENT => self.place(block, entry).map(Block::Full),
            PAYLOAD_BLOCK_PARTIALLY_PRESENT if has_parent => self.place(block, entry).map(Block::Partial),
            PAYLOAD_BLOCK_PARTIALLY_PRESENT => Err(VhdxError::PartialWithoutParent { block }),
            state => Err(VhdxError::BlockState { block, state }),
        }
    }

    /// Only the bytes that the disk uses have to be there: a last block that ends with the disk loses nothing.
    fn place(&self, block: u64, entry: u64) -> Result<u64, VhdxError> {
        let (offset, length, size) =
            (entry >> BAT_OFFSET_SHIFT << BAT_OFFSET_SHIFT, self.block_len(block), self.file_size);
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(VhdxError::BlockPlace { block, offset, length, size });
        }
        let bytes = Region { offset, length };
        match self.used.iter().find(|area| area.overlaps(&bytes)) {
            Some(area) => Err(VhdxError::BlockOverlaps { block, offset, area: area.offset }),
            None => Ok(offset),
        }
    }

    /// The file offset of the page of the sector bitmap that describes `block`, and where in it the block begins.
    pub(crate) fn bitmap(&self, block: u64, entry: u64) -> Result<(u64, usize), VhdxError> {
        let offset = self.bitmap_place(block, entry)?;
        let parameters = &self.parameters;
        let bytes_per_block = parameters.block_size / parameters.logical_sector_size / 8;
        // A block's part of the bitmap is at most a page long and aligned to its length, so it lies in one page.
        let at = block % parameters.chunk_ratio() * bytes_per_block;
        Ok((offset + at / PAGE * PAGE, (at % PAGE) as usize))
    }

    /// The file offset of the sector bitmap block that describes `block`.
    pub(crate) fn bitmap_place(&self, block: u64, entry: u64) -> Result<u64, VhdxError> {
        let (state, size) = (entry & BAT_STATE_MASK, self.file_size);
        if state != SB_BLOCK_PRESENT {
            return Err(VhdxError::BitmapState { block, state });
        }
        let offset = entry >> BAT_OFFSET_SHIFT << BAT_OFFSET_SHIFT;
        if offset < MIB || offset.checked_add(BITMAP_BLOCK).is_none_or(|end| end > size) {
            return Err(VhdxError::BitmapPlace { block, offset, size });
        }
        Ok(offset)
    }
}

/// Entry at byte `place` of a page; zero (not present) where there is none.
pub(crate) fn entry_at(page: &[u8], place: usize) -> Option<u64> {
    let bytes = page.get(place..)?.first_chunk::<{ BAT_ENTRY_LEN as usize }>()?;
    Some(u64::from_le_bytes(*bytes))
}
