//! The blocks in use, one after the other, with checksums between them.

use crate::error::PartcloneError;
use crate::parse::{Image, Sums};
use crate::sums::Running;
use format_core::{Result, Storage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks of at least so many bytes are compared with their checksums together.
const GROUP: u64 = 256 << 10;
/// Read at once, rounded up to a block.
const PIECE: u64 = 1 << 20;

/// The data of an image. Bytes are counted without the checksums.
pub(crate) struct Blocks {
    storage: Arc<dyn Storage>,
    start: u64,
    block_size: u64,
    used: u64,
    sums: Option<Sums>,
    /// Blocks that are compared together: a multiple of those of a checksum.
    group: u64,
    /// A bit for each group that was found good.
    good: Box<[AtomicU64]>,
}

impl Blocks {
    /// The data at `start`, which must lie in the file.
    pub(crate) fn new(storage: Arc<dyn Storage>, start: u64, image: &Image, used: u64) -> Result<Self> {
        let (size, block_size) = (storage.size(), image.block_size);
        let end = image.data_len(used).and_then(|len| start.checked_add(len));
        if end.is_none_or(|end| end > size) {
            return Err(PartcloneError::DataPlace { used, end: end.unwrap_or(u64::MAX), size }.into());
        }
        let mut sums = image.sums;
        if let Some(sums) = &mut sums {
            sums.stride = stride(storage.as_ref(), start, image, used, *sums)?;
        }
        let group = sums.map_or(u64::MAX, |sums| {
            let strip = sums.blocks.saturating_mul(block_size);
            sums.blocks.saturating_mul((GROUP / strip).max(1))
        });
        // The file holds all of them, so there are not many.
        let groups = if sums.is_some() { used.div_ceil(group) } else { 0 };
        let good = (0..groups.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let blocks = Self { storage, start, block_size, used, sums, group, good };
        if blocks.end() > size {
            return Err(PartcloneError::DataPlace { used, end: blocks.end(), size }.into());
        }
        Ok(blocks)
    }

    /// Where the data end in the file.
    pub(crate) fn end(&self) -> u64 {
        let sums = self.sums.map_or(0, |sums| self.used.div_ceil(sums.blocks).saturating_mul(sums.stride));
        self.start.saturating_add(self.used.saturating_mul(self.block_size)).saturating_add(sums)
    }

    /// Whether nothing stands between the bytes.
    pub(crate) fn is_plain(&self) -> bool {
        self.sums.is_none()
    }

    /// Whether a part can be compared with its checksum without all that stands before it.
    pub(crate) fn is_checked(&self) -> bool {
        self.sums.is_some_and(|sums| sums.reseed || sums.kind.len() == 4)
    }

    /// The place in the file of the byte `at` of the data, and how many follow it plain.
    pub(crate) fn place(&self, at: u64) -> (u64, u64) {
        let Some(sums) = self.sums else {
            let end = self.used.saturating_mul(self.block_size);
            return (self.start.saturating_add(at), end.saturating_sub(at));
        };
        let strip = sums.blocks.saturating_mul(self.block_size);
        let host = self.start.saturating_add(at).saturating_add((at / strip).saturating_mul(sums.stride));
        (host, strip - at % strip)
    }

    /// Reads data that were compared with their checksums first, if that was not done before.
    pub(crate) fn read(&self, mut at: u64, mut buf: &mut [u8]) -> Result<()> {
        if self.is_checked() && !buf.is_empty() {
            let last = at.saturating_add(buf.len() as u64 - 1) / self.block_size / self.group;
            for group in at / self.block_size / self.group..=last {
                self.ensure_good(group)?;
            }
        }
        while !buf.is_empty() {
            let (host, len) = self.place(at);
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len()).max(1);
            let (now, rest) = buf.split_at_mut(len);
            self.storage.read_exact_at(host, now)?;
            at = at.saturating_add(len as u64);
            buf = rest;
        }
        Ok(())
    }

    fn ensure_good(&self, group: u64) -> Result<()> {
        let Some(word) = self.good.get((group / 64) as usize) else { return Ok(()) };
        let bit = 1 << (group % 64);
        if word.load(Ordering::Acquire) & bit == 0 {
            let first = group.saturating_mul(self.group);
            let last = self.used.min(first.saturating_add(self.group));
            self.compare(first, last, &mut |error| Err(error.into()), &|_| Ok(()))?;
            word.fetch_or(bit, Ordering::Release);
        }
        Ok(())
    }

    /// Compares everything; `wrong` is told about each checksum that does not fit, `tick` how many bytes were read.
    pub(crate) fn compare_all(
        &self,
        wrong: &mut dyn FnMut(PartcloneError) -> Result<()>,
        tick: &dyn Fn(u64) -> Result<()>,
    ) -> Result<()> {
        self.compare(0, self.used, wrong, tick)
    }

    /// Compares the blocks from `first`, which must begin a checksum, to `last`.
    fn compare(
        &self,
        first: u64,
        last: u64,
        wrong: &mut dyn FnMut(PartcloneError) -> Result<()>,
        tick: &dyn Fn(u64) -> Result<()>,
    ) -> Result<()> {
        let Some(sums) = self.sums else { return Ok(()) };
        let fresh = Running::new(sums.kind, self.block_size as usize);
        let mut running = fresh.clone();
        let mut stored = vec![0; sums.kind.len()];
        if !sums.reseed && first > 0 {
            let before = self.place(first.saturating_mul(self.block_size)).0.saturating_sub(sums.stride);
            self.storage.read_exact_at(before, &mut stored)?;
            running.continue_from(&stored);
        }
        let all = last.saturating_sub(first).saturating_mul(self.block_size);
        let mut buf = vec![0; PIECE.next_multiple_of(self.block_size).min(all) as usize];
        let mut block = first;
        while block < last {
            let end = last.min(block.saturating_add(sums.blocks));
            let (start, mut host) = (block, self.place(block.saturating_mul(self.block_size)).0);
            while block < end {
                let blocks = (end - block).min(buf.len() as u64 / self.block_size);
                let piece = &mut buf[..(blocks * self.block_size) as usize];
                self.storage.read_exact_at(host, piece)?;
                running.update(piece);
                host = host.saturating_add(piece.len() as u64);
                block += blocks;
                tick(piece.len() as u64)?;
            }
            self.storage.read_exact_at(host, &mut stored)?;
            if let Err((stored, found)) = running.compare(&stored) {
                wrong(PartcloneError::Sum { first: start, blocks: end - start, stored, found })?;
            }
            if sums.reseed {
                running = fresh.clone();
            } else {
                // One wrong block does not make all that follow wrong.
                running.continue_from(&stored);
            }
        }
        Ok(())
    }
}

/// Old programs on 64-bit machines wrote 8 bytes for each checksum of 4. The checksum of the second block tells.
fn stride(storage: &dyn Storage, start: u64, image: &Image, used: u64, sums: Sums) -> Result<u64> {
    let size = storage.size();
    let long = image.data_len(used).map(|len| len.saturating_add(used.saturating_mul(4)));
    let fits = long.and_then(|long| start.checked_add(long)).is_some_and(|end| end <= size);
    if image.version != "0001" || used < 2 || !fits {
        return Ok(sums.stride);
    }
    let mut two = vec![0; two_blocks_len(image.block_size)];
    storage.read_exact_at(start, &mut two)?;
    Ok(stride_of(&two, image.block_size as usize))
}

/// Bytes of two blocks of version 0001 with long checksums.
pub(crate) fn two_blocks_len(block_size: u64) -> usize {
    (2 * (block_size + 8)) as usize
}

/// Which stride the second of two blocks has: 8 only where 4 is impossible.
pub(crate) fn stride_of(two: &[u8], block_size: usize) -> u64 {
    let is = |stride: usize| {
        let mut running = Running::new(crate::sums::SumKind::FirstByte, block_size);
        let block = |from: usize| two.get(from..from.saturating_add(block_size));
        let second = block_size.saturating_add(stride);
        let (Some(first), Some(next)) = (block(0), block(second)) else { return false };
        running.update(first);
        running.update(next);
        two.get(second.saturating_add(block_size)..).is_some_and(|stored| running.compare(stored).is_ok())
    };
    if !is(4) && is(8) { 8 } else { 4 }
}
