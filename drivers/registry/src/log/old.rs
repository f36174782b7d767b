//! Logs of Windows 8 and earlier: a base block, a bitmap of dirty pages, and the pages.
//!
//! Source: specification, "Old format".

use super::Log;
use crate::base_block::BaseBlock;
use crate::layout::{BASE_BLOCK, PAGE, SECTOR, base};

const DIRTY_VECTOR: &[u8; 4] = b"DIRT";

/// A log that says it is complete.
#[derive(Debug)]
pub(super) struct OldLog<'a> {
    pub(super) log: Log<'a>,
    pub(super) base: BaseBlock,
    bitmap: &'a [u8],
    pages: &'a [u8],
}

impl<'a> OldLog<'a> {
    /// `Err`: why it cannot be applied.
    pub(super) fn parse(log: Log<'a>) -> Result<Self, &'static str> {
        let base = BaseBlock::of_log(log.bytes, &base::LOGS_OLD).map_err(|_| "its base block is damaged")?;
        if base.is_dirty() {
            return Err("it was not written to its end");
        }
        if base.clustering != 1 {
            return Err("it is for a disk with other sectors than of 512 bytes");
        }
        let body = log.bytes.get(SECTOR..).unwrap_or_default();
        let vector = body.strip_prefix(DIRTY_VECTOR).ok_or("it holds no bitmap of dirty pages")?;
        // A bit for each 512 bytes: a byte for each page of 4096.
        let len = (base.bins_size / PAGE) as usize;
        let bitmap = vector.get(..len).ok_or("it ends within its bitmap of dirty pages")?;
        let pages_at = (DIRTY_VECTOR.len() + len).next_multiple_of(SECTOR);
        let count: usize = bitmap.iter().map(|byte| byte.count_ones() as usize).sum();
        if count == 0 {
            return Err("it holds no page");
        }
        let pages = body.get(pages_at..).and_then(|pages| pages.get(..count * SECTOR));
        Ok(Self { log, base, bitmap, pages: pages.ok_or("it ends before its last page")? })
    }

    /// Writes the pages into `primary`, which is at least as long as the log's base block says. Returns how many bytes.
    pub(super) fn apply(&self, primary: &mut [u8]) -> u64 {
        let bits = self.bitmap.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        let dirty = bits.enumerate().filter(|(_, is_dirty)| *is_dirty).map(|(index, _)| index);
        let mut written = 0;
        for (index, page) in dirty.zip(self.pages.chunks_exact(SECTOR)) {
            let at = BASE_BLOCK + index * SECTOR;
            if let Some(place) = primary.get_mut(at..at + SECTOR) {
                place.copy_from_slice(page);
                written += SECTOR as u64;
            }
        }
        written
    }
}
