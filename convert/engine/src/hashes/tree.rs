//! BLAKE3 out of order: each block is a subtree, whose chaining values are merged as soon as both sides are there.
//!
//! BLAKE3 paper, section 2.1: the left side of a node holds the largest power of two of chunks that leaves something to
//! the right. A block is 4096 chunks, so every aligned run of 2^n blocks is a subtree of its own.

use super::zeros;
use crate::digest::{BLOCK_SIZE, block_count};
use crate::turns::locked;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A subtree by its place: (first block, level); it spans 2^level blocks, or less at the disk's end.
type Place = (u64, u32);

/// The tree of one disk. Workers are never far apart, so that few subtrees wait for their other side.
pub(super) struct HashTree {
    size: u64,
    /// The hash of a disk of one block: it is the root itself.
    only: Mutex<Option<Hash>>,
    waiting: Mutex<BTreeMap<Place, ChainingValue>>,
}

impl HashTree {
    pub(super) fn new(size: u64) -> Self {
        let only = (size == 0).then(|| Hasher::new().finalize());
        Self { size, only: Mutex::new(only), waiting: Mutex::default() }
    }

    /// Takes block `index` in slices.
    pub(super) fn block<'a>(&self, index: u64, slices: impl Iterator<Item = &'a [u8]>) {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(index * BLOCK_SIZE);
        for slice in slices {
            hasher.update(slice);
        }
        if self.size <= BLOCK_SIZE {
            *locked(&self.only) = Some(hasher.finalize());
        } else {
            self.merge(index, hasher.finalize_non_root());
        }
    }

    /// Takes a run of zeros that begins and ends with a block, or at the disk's end. Chunks are numbered in BLAKE3: what
    /// is known of one block of zeros says nothing about the next.
    pub(super) fn zeros(&self, offset: u64, len: u64) {
        for at in (0..len).step_by(BLOCK_SIZE as usize) {
            self.block((offset + at) / BLOCK_SIZE, zeros((len - at).min(BLOCK_SIZE)));
        }
    }

    fn merge(&self, index: u64, value: ChainingValue) {
        let blocks = block_count(self.size);
        let mut waiting = locked(&self.waiting);
        let (mut at, mut level, mut value) = (index, 0, value);
        loop {
            let span = 1u64 << level;
            // The root is merged in another way, at the end.
            let is_root = at & !span == 0 && blocks <= span * 2;
            let other = if is_root { None } else { waiting.remove(&(at ^ span, level)) };
            let Some(other) = other else { break };
            let (left, right) = if at & span == 0 { (&value, &other) } else { (&other, &value) };
            value = merge_subtrees_non_root(left, right, Mode::Hash);
            (at, level) = (at & !span, level + 1);
        }
        waiting.insert((at, level), value);
    }

    /// The hash, when every block was there.
    ///
    /// # Errors
    /// `Contract` when one was not.
    pub(super) fn finish(self) -> Result<Hash> {
        let missing = || Error::contract("a block is missing in the disk's BLAKE3");
        if self.size <= BLOCK_SIZE {
            return locked(&self.only).ok_or_else(missing);
        }
        // What is left are the subtrees on the right edge, larger ones first.
        let waiting = locked(&self.waiting);
        let mut next = 0;
        for (at, level) in waiting.keys() {
            if *at != next {
                return Err(missing());
            }
            next = at + (1 << level);
        }
        if next < block_count(self.size) {
            return Err(missing());
        }
        let mut values = waiting.values().rev();
        let mut right = *values.next().ok_or_else(missing)?;
        let mut values = values.peekable();
        while let Some(left) = values.next() {
            if values.peek().is_none() {
                return Ok(merge_subtrees_root(left, &right, Mode::Hash));
            }
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        Err(missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The library's plain hash of the same bytes.
    fn judged(size: u64) -> Hash {
        let mut hasher = Hasher::new();
        zeros(size).for_each(|part| {
            hasher.update(part);
        });
        hasher.finalize()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn blocks_in_any_order_give_the_plain_hash(
            blocks in 0u64..19,
            rest in prop_oneof![Just(0u64), Just(1), Just(1023), Just(1024), Just(1025), 0..BLOCK_SIZE],
            key in any::<u64>(),
        ) {
            let size = blocks * BLOCK_SIZE + rest;
            let tree = HashTree::new(size);
            let mut order: Vec<u64> = (0..block_count(size)).collect();
            order.sort_by_key(|index| blake3::hash(&(index ^ key).to_le_bytes()).as_bytes().to_vec());
            for index in order {
                let at = index * BLOCK_SIZE;
                tree.zeros(at, (size - at).min(BLOCK_SIZE));
            }
            prop_assert_eq!(tree.finish().unwrap(), judged(size));
        }
    }

    #[test]
    fn few_values_wait_while_blocks_come_nearly_in_order() {
        let tree = HashTree::new(1 << 40);
        for index in 0..1000u64 {
            // Eight workers: each block comes up to seven too late.
            tree.merge(index / 8 * 8 + (7 - index % 8), [index as u8; 32]);
            assert!(locked(&tree.waiting).len() <= 20, "{index}");
        }
    }
}
