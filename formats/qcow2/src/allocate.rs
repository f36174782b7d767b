//! Host clusters for the writer, and their reference counts.
//!
//! Clusters are handed out in ascending order and never given back, so the counts of a refcount block are final once
//! everything later lies behind it. Such blocks are written at once; memory holds one or two of them.

use crate::layout::ENTRY_SIZE;
use format_core::units::SECTOR;
use format_core::{Error, Result, StateReader, StateWriter, TargetStorage};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Clusters with a free end that are remembered. Workers mix compressed and plain clusters in any order; with only one
/// such cluster, much of its end would be lost whenever a plain cluster comes in between.
const MAX_FREE_ENDS: usize = 8;

/// Hands out host clusters.
pub(crate) struct Allocator {
    cluster_bits: u32,
    refcount_order: u32,
    /// The first cluster that was never handed out.
    next: u64,
    /// Where compressed data may go on: host offsets of the free ends of clusters.
    free_ends: Vec<u64>,
    /// Host offsets of the refcount blocks already written.
    blocks: Vec<u64>,
    /// The counts of the blocks after these.
    open: VecDeque<Vec<u16>>,
}

/// Where the refcount table is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefcountTable {
    pub offset: u64,
    pub clusters: u64,
    /// Size of the whole file in bytes. The zeros at the end of the table are left out, as QEMU leaves out those of a
    /// last cluster: with large clusters they would be most of a small image.
    pub file_size: u64,
}

impl Allocator {
    /// An allocator for an empty file.
    pub(crate) fn new(cluster_bits: u32, refcount_order: u32) -> Self {
        let (free_ends, blocks, open) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { cluster_bits, refcount_order, next: 0, free_ends, blocks, open }
    }

    /// What [`Allocator::restored`] needs to go on from here.
    pub(crate) fn save(&self, state: StateWriter) -> StateWriter {
        let state = state.number(self.next).list(&self.free_ends).list(&self.blocks);
        self.open.iter().fold(state, |state, counts| state.list(counts))
    }

    /// The allocator of an interrupted run.
    ///
    /// # Errors
    /// `Corrupt` for what no run says.
    pub(crate) fn restored(
        cluster_bits: u32,
        refcount_order: u32,
        state: &mut StateReader<'_>,
    ) -> Result<Self> {
        let mut restored = Self::new(cluster_bits, refcount_order);
        restored.next = state.number_to(i64::MAX as u64 >> cluster_bits)?;
        restored.free_ends = state.list()?;
        restored.blocks = state.list()?;
        let per_block = restored.per_block();
        let (written, all) = (restored.blocks.len() as u64, restored.next.div_ceil(per_block));
        let first_open = written.saturating_mul(per_block) << cluster_bits;
        let mut free_ends = restored.free_ends.iter();
        if written > all
            || restored.free_ends.len() > MAX_FREE_ENDS
            || !free_ends.all(|&end| end >= first_open && end < restored.end())
            || !restored.blocks.iter().all(|&block| restored.is_place(block))
        {
            return Err(Error::corrupt("the reference counts of the interrupted run contradict themselves")
                .in_format(crate::FORMAT.name));
        }
        for _ in written..all {
            restored.open.push_back(state.list_of(per_block as usize)?);
        }
        Ok(restored)
    }

    /// Where the clusters that were handed out end, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.next << self.cluster_bits
    }

    /// Whether a table can lie at this host offset.
    pub(crate) fn is_place(&self, offset: u64) -> bool {
        offset < self.end() && offset.is_multiple_of(1 << self.cluster_bits)
    }

    /// The most references that one cluster may have. Few compressed clusters are so small that 16 bits are not enough,
    /// and a free end may always stay unused.
    fn most_references(&self) -> u16 {
        if self.refcount_order < 4 { (1 << (1 << self.refcount_order)) - 1 } else { u16::MAX }
    }

    /// Host offset of `count` new clusters in a row.
    pub(crate) fn clusters(&mut self, count: u64, target: &dyn TargetStorage) -> Result<u64> {
        let first = self.next;
        self.take(count);
        self.refer(first..=self.next - 1);
        self.write_final_blocks(target)?;
        Ok(first << self.cluster_bits)
    }

    /// Host offset of `len` bytes for a compressed cluster: in the tightest free end, else in one that can go on into new
    /// clusters, else in new clusters.
    pub(crate) fn packed(&mut self, len: u64, target: &dyn TargetStorage) -> Result<u64> {
        let bits = self.cluster_bits;
        let usable = |end: &u64| self.count(end >> bits) < self.most_references();
        let fitting = self.free_ends.iter().copied().filter(usable).filter(|&end| self.room(end) >= len);
        let start = fitting
            .min_by_key(|&end| self.room(end))
            .or_else(|| {
                self.free_ends.iter().copied().filter(usable).find(|end| (end >> bits) + 1 == self.next)
            })
            .unwrap_or(self.next << bits);
        let last = (start + len - 1) >> bits;
        self.take((last + 1).saturating_sub(self.next));
        self.refer(start >> bits..=last);
        self.free_ends.retain(|&end| end != start);
        self.remember(start + len);
        self.write_final_blocks(target)?;
        Ok(start)
    }

    /// Bytes from `end` to the end of its cluster.
    fn room(&self, end: u64) -> u64 {
        let cluster_size = 1 << self.cluster_bits;
        cluster_size - end % cluster_size
    }

    fn remember(&mut self, end: u64) {
        if !end.is_multiple_of(1 << self.cluster_bits) {
            self.free_ends.push(end);
        }
        if self.free_ends.len() > MAX_FREE_ENDS
            && let Some(least) = self.free_ends.iter().copied().min_by_key(|&end| self.room(end))
        {
            self.free_ends.retain(|&end| end != least);
        }
    }

    fn per_block(&self) -> u64 {
        1 << (self.cluster_bits + 3 - self.refcount_order)
    }

    fn take(&mut self, count: u64) {
        self.next += count;
        let wanted = self.next.div_ceil(self.per_block()) as usize - self.blocks.len();
        let per_block = self.per_block() as usize;
        self.open.resize_with(wanted.max(self.open.len()), || vec![0; per_block]);
    }

    fn place(&self, cluster: u64) -> (usize, usize) {
        let block = (cluster / self.per_block()) as usize;
        (block - self.blocks.len(), (cluster % self.per_block()) as usize)
    }

    fn count(&self, cluster: u64) -> u16 {
        let (block, index) = self.place(cluster);
        self.open.get(block).and_then(|counts| counts.get(index)).copied().unwrap_or(0)
    }

    fn refer(&mut self, clusters: RangeInclusive<u64>) {
        for cluster in clusters {
            let (block, index) = self.place(cluster);
            if let Some(count) = self.open.get_mut(block).and_then(|counts| counts.get_mut(index)) {
                *count += 1;
            }
        }
    }

    /// Writes the blocks that nothing can change any more; they take clusters themselves.
    fn write_final_blocks(&mut self, target: &dyn TargetStorage) -> Result<()> {
        // An old end that nothing fits into would keep all later blocks in memory.
        let oldest = self.next.saturating_sub(self.per_block()) << self.cluster_bits;
        self.free_ends.retain(|&end| end >= oldest);
        loop {
            let free_ends = self.free_ends.iter().map(|end| end >> self.cluster_bits);
            let changing = free_ends.fold(self.next, u64::min);
            if (self.blocks.len() as u64 + 1) * self.per_block() > changing {
                return Ok(());
            }
            let own = self.next;
            self.take(1);
            self.refer(own..=own);
            self.write_block(own << self.cluster_bits, target)?;
        }
    }

    fn write_block(&mut self, offset: u64, target: &dyn TargetStorage) -> Result<()> {
        let counts = self.open.pop_front().unwrap_or_default();
        self.blocks.push(offset);
        target.write_all_at(offset, &encode(&counts, self.refcount_order))
    }

    /// Writes the last blocks and the refcount table.
    pub(crate) fn finish(mut self, target: &dyn TargetStorage) -> Result<RefcountTable> {
        let cluster_size = 1 << self.cluster_bits;
        // The blocks and the table are counted by the blocks: grow until nothing changes.
        let (written, mut total) = (self.blocks.len() as u64, self.next);
        let (blocks, table_clusters) = loop {
            let blocks = total.div_ceil(self.per_block());
            let table_clusters = (blocks * ENTRY_SIZE).div_ceil(cluster_size);
            let wanted = self.next + (blocks - written) + table_clusters;
            if wanted == total {
                break (blocks, table_clusters);
            }
            total = wanted;
        };
        let first = self.next;
        self.take(total - first);
        self.refer(first..=total - 1);
        let table = first + (blocks - written);
        for own in first..table {
            self.write_block(own << self.cluster_bits, target)?;
        }
        let entries: Vec<u8> = self.blocks.iter().flat_map(|offset| offset.to_be_bytes()).collect();
        let offset = table << self.cluster_bits;
        target.zero_range(offset, table_clusters << self.cluster_bits)?;
        target.write_all_at(offset, &entries)?;
        let file_size = offset + (entries.len() as u64).next_multiple_of(SECTOR);
        Ok(RefcountTable { offset, clusters: table_clusters, file_size })
    }
}

/// A refcount block: big-endian numbers; narrow ones begin at the least significant bit of their byte.
fn encode(counts: &[u16], refcount_order: u32) -> Vec<u8> {
    match refcount_order {
        0..=2 => {
            let bits = 1 << refcount_order;
            let byte = |part: &[u16]| part.iter().rev().fold(0, |byte, &count| byte << bits | count as u8);
            counts.chunks(8 / bits).map(byte).collect()
        }
        3 => counts.iter().map(|&count| count as u8).collect(),
        4 => counts.iter().flat_map(|&count| count.to_be_bytes()).collect(),
        5 => counts.iter().flat_map(|&count| u32::from(count).to_be_bytes()).collect(),
        _ => counts.iter().flat_map(|&count| u64::from(count).to_be_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::MemTarget;

    #[test]
    fn a_count_never_overflows() {
        let (mut allocator, target) = (Allocator::new(21, 4), MemTarget::default());
        let mut last = None;
        for _ in 0..=u16::MAX {
            let place = allocator.packed(1, &target).unwrap();
            assert!(last < Some(place));
            last = Some(place);
        }
        assert_eq!(last, Some(1 << 21), "the last one found its cluster full of references");
        assert_eq!((allocator.count(0), allocator.count(1)), (u16::MAX, 1));
    }

    #[test]
    fn narrow_counts_start_at_the_lowest_bit() {
        assert_eq!(encode(&[1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1], 0), [0b1101, 0x81]);
        assert_eq!(encode(&[1, 2, 3, 0], 1), [0b0011_1001]);
        assert_eq!(encode(&[0xa, 0xb], 2), [0xba]);
        assert_eq!(encode(&[255, 1], 3), [255, 1]);
        assert_eq!(encode(&[0x102], 4), [1, 2]);
        assert_eq!(encode(&[0x102], 5), [0, 0, 1, 2]);
        assert_eq!(encode(&[0x102], 6), [0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn a_narrow_count_never_overflows() {
        for order in 0..4 {
            let (mut allocator, target) = (Allocator::new(16, order), MemTarget::default());
            let most = allocator.most_references();
            for _ in 0..300 {
                let place = allocator.packed(1000, &target).unwrap();
                assert!(allocator.count(place >> 16) <= most, "{order}");
            }
            let packed = if order < 3 { most.min(66) } else { 66 };
            assert!(allocator.next >= 300 / u64::from(packed), "{order}: {}", allocator.next);
        }
    }

    #[test]
    fn blocks_in_memory_stay_few() {
        let (mut allocator, target) = (Allocator::new(9, 4), MemTarget::default());
        for len in (0..20_000).map(|i| 1 + i * 37 % 511) {
            allocator.packed(len, &target).unwrap();
            allocator.clusters(1 + len % 3, &target).unwrap();
            assert!(allocator.open.len() <= 3, "{} blocks", allocator.open.len());
        }
    }

    #[test]
    fn a_free_end_before_much_plain_data_keeps_no_blocks_in_memory() {
        let (mut allocator, target) = (Allocator::new(9, 4), MemTarget::default());
        allocator.packed(1, &target).unwrap();
        for _ in 0..5_000 {
            allocator.clusters(1, &target).unwrap();
            assert!(allocator.open.len() <= 3, "{} blocks", allocator.open.len());
        }
    }
}
