//! A set of a disk's blocks.

use crate::digest::block_count;

/// A set of 4 MiB blocks, a bit for each of the disk.
#[derive(Debug, Default)]
pub(crate) struct BlockSet {
    bits: Vec<u64>,
}

impl BlockSet {
    /// An empty set for the blocks of a disk of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self { bits: vec![0; block_count(size).div_ceil(64) as usize] }
    }

    /// An empty set for the blocks of the same disk.
    pub(crate) fn empty_like(&self) -> Self {
        Self { bits: vec![0; self.bits.len()] }
    }

    /// Adds a block of the disk.
    pub(crate) fn insert(&mut self, index: u64) {
        if let Some(word) = self.bits.get_mut((index / 64) as usize) {
            *word |= 1 << (index % 64);
        }
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        self.bits.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub(crate) fn len(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        let blocks = self.bits.len() as u64 * 64;
        (0..blocks).filter(|&index| self.contains(index))
    }
}
