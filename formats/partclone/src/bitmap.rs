//! Which blocks are in the image, and how many lie before each.

use crate::error::PartcloneError;
use crate::layout::BYTES_END;
use crate::parse::{Image, MapKind};
use crate::sums::{CRC_SEED, crc};
use format_core::{Page, PageCache, Result, Storage, Warning, bit_run_lsb};
use std::sync::Arc;

/// Bytes of the map that are counted together.
const PAGE: u64 = PageCache::MAX_PAGE as u64;

/// The map of an image, read page by page where it lies: only a count for each page is kept.
pub(crate) struct Bitmap {
    storage: Arc<dyn Storage>,
    /// Where the map begins in the storage.
    start: u64,
    kind: MapKind,
    total: u64,
    /// Blocks in use before each page.
    before: Vec<u64>,
    used: u64,
    cache: PageCache,
}

impl Bitmap {
    /// Reads the map at `start` and checks what follows it. With `ignore_checksums` a wrong checksum is a warning.
    pub(crate) fn load(
        storage: Arc<dyn Storage>,
        start: u64,
        image: &Image,
        ignore_checksums: bool,
    ) -> Result<(Self, Option<Warning>)> {
        let (length, size) = (image.map_len(), storage.size());
        let end = start.checked_add(length).and_then(|end| end.checked_add(image.map_end_len()));
        if end.is_none_or(|end| end > size) {
            return Err(PartcloneError::BitmapPlace { length, size }.into());
        }
        let (before, cache) = (Vec::new(), PageCache::default());
        let mut map = Self { storage, start, kind: image.map, total: image.total, before, used: 0, cache };
        let mut sum = CRC_SEED;
        let mut buf = vec![0; PAGE as usize];
        let mut at = 0;
        while at < length {
            let len = (length - at).min(PAGE);
            let page = &mut buf[..len as usize];
            map.storage.read_exact_at(start.saturating_add(at), page)?;
            map.before.push(map.used);
            if image.map == MapKind::Bits {
                sum = crc(sum, page);
            }
            map.used += map.count(page, map.blocks_in(at, len));
            at += len;
        }
        if image.map == MapKind::All {
            map.used = map.total;
        }
        let warning = map.check_end(start.saturating_add(length), sum, ignore_checksums)?;
        Ok((map, warning))
    }

    fn check_end(&self, at: u64, found: u32, ignore_checksums: bool) -> Result<Option<Warning>> {
        let mut end = [0; 8];
        match self.kind {
            MapKind::All => Ok(None),
            MapKind::Bytes => {
                self.storage.read_exact_at(at, &mut end)?;
                if &end == BYTES_END { Ok(None) } else { Err(PartcloneError::BitmapEnd.into()) }
            }
            MapKind::Bits => {
                let mut stored = [0; 4];
                self.storage.read_exact_at(at, &mut stored)?;
                let stored = u32::from_le_bytes(stored);
                let error = PartcloneError::BitmapSum { stored, found };
                match stored == found {
                    true => Ok(None),
                    false if ignore_checksums => {
                        Ok(Some(Warning::new("partclone-bitmap-checksum", error.to_string())))
                    }
                    false => Err(error.into()),
                }
            }
        }
    }

    /// How many blocks are in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Whether `block`, which must be one, is in use, and how many from it on are alike; the next one may be, too.
    pub(crate) fn run_at(&self, block: u64) -> Result<(bool, u64)> {
        let left = self.total.saturating_sub(block);
        if self.kind == MapKind::All {
            return Ok((true, left));
        }
        let (page, first) = self.page_of(block)?;
        let end = self.blocks_in(self.page_start(block), page.len() as u64);
        let (used, len) = match self.kind {
            MapKind::Bits => bit_run_lsb(&page, first, end),
            _ => {
                let used = page.get(first) == Some(&1);
                let rest = page.get(first..end).unwrap_or_default();
                (used, rest.iter().take_while(|byte| (**byte == 1) == used).count())
            }
        };
        Ok((used, (len as u64).clamp(1, left.max(1))))
    }

    /// How many blocks before `block` are in use.
    pub(crate) fn rank(&self, block: u64) -> Result<u64> {
        if self.kind == MapKind::All {
            return Ok(block);
        }
        let (page, first) = self.page_of(block)?;
        let number = self.page_start(block) / PAGE;
        let before = usize::try_from(number).ok().and_then(|number| self.before.get(number)).copied();
        Ok(before.unwrap_or(0).saturating_add(self.count(&page, first)))
    }

    /// Where in the map the page of `block` begins.
    fn page_start(&self, block: u64) -> u64 {
        let byte = if self.kind == MapKind::Bits { block / 8 } else { block };
        byte / PAGE * PAGE
    }

    /// The page of `block`, and the block's number in it.
    fn page_of(&self, block: u64) -> Result<(Page, usize)> {
        let start = self.page_start(block);
        let length = if self.kind == MapKind::Bits { self.total.div_ceil(8) } else { self.total };
        let len = length.saturating_sub(start).min(PAGE) as usize;
        let page = self.cache.page(self.storage.as_ref(), self.start.saturating_add(start), len)?;
        let first = if self.kind == MapKind::Bits { start.saturating_mul(8) } else { start };
        Ok((page, (block - first) as usize))
    }

    /// Blocks that `len` bytes of the map from `at` tell about: bits after the last block mean nothing.
    fn blocks_in(&self, at: u64, len: u64) -> usize {
        let (first, blocks) = match self.kind {
            MapKind::Bits => (at.saturating_mul(8), len.saturating_mul(8)),
            _ => (at, len),
        };
        blocks.min(self.total.saturating_sub(first)) as usize
    }

    /// How many of the first `blocks` of `page` are in use.
    fn count(&self, page: &[u8], blocks: usize) -> u64 {
        if self.kind != MapKind::Bits {
            return page.iter().take(blocks).map(|byte| u64::from(*byte == 1)).sum();
        }
        let (whole, rest) = (blocks / 8, blocks % 8);
        let (words, odd) = page.get(..whole).unwrap_or_default().as_chunks::<8>();
        let words: u64 = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
        let odd: u64 = odd.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let last = page.get(whole).map_or(0, |byte| byte & ((1 << rest) - 1));
        words + odd + u64::from(last.count_ones())
    }
}
