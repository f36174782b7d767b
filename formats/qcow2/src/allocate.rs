//! Host clusters for the writer, and their reference counts.
//!
//! Clusters are handed out in ascending order and never given back, so the counts of a refcount block are final once
//! everything later lies behind it. Such blocks are written at once; memory holds one or two of them.

use crate::layout::ENTRY_SIZE;
use format_core::{Result, TargetStorage};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Hands out host clusters.
pub(crate) struct Allocator {
    cluster_bits: u32,
    /// The first cluster that was never handed out.
    next: u64,
    /// Where compressed data may go on: behind the last, in the same cluster.
    packed_end: Option<u64>,
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
    /// Size of the whole file in bytes.
    pub file_size: u64,
}

impl Allocator {
    /// An allocator for an empty file.
    pub(crate) fn new(cluster_bits: u32) -> Self {
        Self { cluster_bits, next: 0, packed_end: None, blocks: Vec::new(), open: VecDeque::new() }
    }

    /// Host offset of `count` new clusters in a row.
    pub(crate) fn clusters(&mut self, count: u64, target: &dyn TargetStorage) -> Result<u64> {
        let first = self.next;
        self.take(count);
        self.refer(first..=self.next - 1);
        self.write_final_blocks(target)?;
        Ok(first << self.cluster_bits)
    }

    /// Host offset of `len` bytes for a compressed cluster, right behind the last one where possible.
    pub(crate) fn packed(&mut self, len: u64, target: &dyn TargetStorage) -> Result<u64> {
        let start = match self.packed_end {
            Some(end) if self.goes_on(end, len) => end,
            _ => self.next << self.cluster_bits,
        };
        let last = (start + len - 1) >> self.cluster_bits;
        self.take((last + 1).saturating_sub(self.next));
        self.refer(start >> self.cluster_bits..=last);
        self.packed_end = Some(start + len).filter(|end| !end.is_multiple_of(1 << self.cluster_bits));
        self.write_final_blocks(target)?;
        Ok(start)
    }

    /// Whether `len` bytes at `end` stay in its cluster or run into unused ones.
    fn goes_on(&self, end: u64, len: u64) -> bool {
        let cluster = end >> self.cluster_bits;
        let (fits, at_the_end) = ((end + len - 1) >> self.cluster_bits == cluster, cluster + 1 == self.next);
        (fits || at_the_end) && self.count(cluster) < u16::MAX
    }

    fn per_block(&self) -> u64 {
        1 << (self.cluster_bits - 1)
    }

    fn take(&mut self, count: u64) {
        self.next += count;
        let wanted = self.next.div_ceil(self.per_block()) as usize - self.blocks.len();
        let empty = vec![0; self.per_block() as usize];
        self.open.resize(wanted.max(self.open.len()), empty);
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
        loop {
            let changing = self.packed_end.map_or(self.next, |end| end >> self.cluster_bits);
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
        let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        target.write_all_at(offset, &bytes)
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
        target.write_all_at(offset, &entries)?;
        Ok(RefcountTable { offset, clusters: table_clusters, file_size: total << self.cluster_bits })
    }
}
