//! The BAT: what its entries mean, and a bounded cache of its pages and of sector bitmaps.

use crate::error::VhdError;
use crate::layout::{BAT_ENTRY_LEN, SECTOR, UNUSED, bitmap_len};
use crate::parse::{Area, Dynamic};
use format_core::units::KIB;
use format_core::{Result, Storage};
use std::sync::{Arc, Mutex, PoisonError};

/// The BAT is read and kept in pages of this size, 16384 entries; the bitmap of the largest block is as long.
pub(crate) const PAGE: u64 = 64 * KIB;
const SHARDS: usize = 8;
/// Pages that a shard keeps: 8 MiB in all.
const PAGES_PER_SHARD: usize = 16;

/// One page of the BAT, or one bitmap.
pub(crate) type Page = Arc<[u8]>;

/// The pages that were used last.
#[derive(Default)]
pub(crate) struct PageCache {
    shards: [Mutex<Vec<(Area, Page)>>; SHARDS],
}

impl PageCache {
    /// The bytes of `area`, which is at most a page long.
    pub(crate) fn page(&self, storage: &dyn Storage, area: Area) -> Result<Page> {
        // Pages and bitmaps can start at any sector, so neighbours go to different shards.
        let [first, ..] = &self.shards;
        let shard = self.shards.get((area.offset / SECTOR) as usize % SHARDS).unwrap_or(first);
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut pages = lock();
            if let Some(found) = pages.iter().position(|(key, _)| *key == area) {
                // The last one is the one used last.
                pages[found..].rotate_left(1);
                if let Some((_, page)) = pages.last() {
                    return Ok(Arc::clone(page));
                }
            }
        }
        let mut bytes = vec![0; area.length.min(PAGE) as usize];
        storage.read_exact_at(area.offset, &mut bytes)?;
        let page: Page = bytes.into();
        let mut pages = lock();
        if !pages.iter().any(|(key, _)| *key == area) {
            if pages.len() >= PAGES_PER_SHARD {
                pages.remove(0);
            }
            pages.push((area, Arc::clone(&page)));
        }
        Ok(page)
    }
}

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

/// The value of bit `first` of a bitmap and how many bits from there have it, looking at `end` bits at most.
/// The most significant bit of a byte is its first.
pub(crate) fn bit_run(bitmap: &[u8], first: usize, end: usize) -> (bool, usize) {
    let bit = |at: usize| bitmap.get(at / 8).is_some_and(|byte| byte << (at % 8) & 0x80 != 0);
    let value = bit(first);
    let same = if value { 0xff } else { 0 };
    let mut at = first;
    while at < end && bit(at) == value {
        at += if at.is_multiple_of(8) && bitmap.get(at / 8) == Some(&same) { 8 } else { 1 };
    }
    (value, at.min(end) - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_runs_end_where_the_bits_change() {
        let bitmap = [0xff, 0xff, 0xe0, 0, 0, 0x01];
        assert_eq!(bit_run(&bitmap, 0, 48), (true, 19));
        assert_eq!(bit_run(&bitmap, 3, 10), (true, 7));
        assert_eq!(bit_run(&bitmap, 19, 48), (false, 28));
        assert_eq!(bit_run(&bitmap, 47, 48), (true, 1));
    }

    #[test]
    fn the_cache_stays_bounded() {
        struct Endless;
        impl Storage for Endless {
            fn size(&self) -> u64 {
                u64::MAX
            }
            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                buf.fill((offset / SECTOR) as u8);
                Ok(())
            }
        }
        let cache = PageCache::default();
        for page in (0..10_000).chain(0..100) {
            let area = Area { offset: page * SECTOR, length: u64::MAX };
            assert_eq!(cache.page(&Endless, area).unwrap()[9], page as u8);
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(kept, SHARDS * PAGES_PER_SHARD);
    }
}
