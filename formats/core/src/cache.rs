//! A bounded cache of table pages, for rooms whose tables lie plain in the file.

use crate::{Result, Storage};
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 8;
/// Pages that a shard keeps: 8 MiB in all with pages of the largest size.
const PAGES_PER_SHARD: usize = 16;
/// Neighbouring pages start at least this far apart.
const STEP: u64 = 512;

/// One page of a table.
pub type Page = Arc<[u8]>;

/// Pages by host offset and length, the one used last at the end.
type Shard = Vec<((u64, usize), Page)>;

/// The pages that were used last.
#[derive(Debug, Default)]
pub struct PageCache {
    shards: [Mutex<Shard>; SHARDS],
}

impl PageCache {
    /// The longest page in bytes.
    pub const MAX_PAGE: usize = 64 << 10;

    /// The `len` bytes at host offset `at`; `len` is at most [`PageCache::MAX_PAGE`], else it is cut to that.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn page(&self, storage: &dyn Storage, at: u64, len: usize) -> Result<Page> {
        let key = (at, len.min(Self::MAX_PAGE));
        let [first, ..] = &self.shards;
        // Pages of a large table are 64 KiB apart, small ones lie at any sector: both have to spread.
        let number = (at / STEP) ^ (at / Self::MAX_PAGE as u64);
        let shard = self.shards.get((number % SHARDS as u64) as usize).unwrap_or(first);
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut pages = lock();
            if let Some(found) = pages.iter().position(|(kept, _)| *kept == key) {
                // The last one is the one used last.
                pages[found..].rotate_left(1);
                if let Some((_, page)) = pages.last() {
                    return Ok(Arc::clone(page));
                }
            }
        }
        let mut bytes = vec![0; key.1];
        storage.read_exact_at(at, &mut bytes)?;
        let page: Page = bytes.into();
        let mut pages = lock();
        if !pages.iter().any(|(kept, _)| *kept == key) {
            if pages.len() >= PAGES_PER_SHARD {
                pages.remove(0);
            }
            pages.push((key, Arc::clone(&page)));
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_right() {
        struct Endless;
        impl Storage for Endless {
            fn size(&self) -> u64 {
                u64::MAX
            }
            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                buf.fill((offset / STEP) as u8);
                Ok(())
            }
        }
        let cache = PageCache::default();
        for number in (0..10_000).chain(0..100) {
            assert_eq!(cache.page(&Endless, number * STEP, usize::MAX).unwrap()[9], number as u8);
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(kept, SHARDS * PAGES_PER_SHARD);
    }
}
