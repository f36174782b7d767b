//! A bounded cache that many readers share. What is in it is immutable, so a hit holds a lock only to clone an `Arc`,
//! and nothing is loaded or decompressed under a lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

const SHARDS: u64 = 8;

/// Slices by key, at most about `budget` bytes of them.
pub(crate) struct Cache<T> {
    shards: [RwLock<Shard<T>>; SHARDS as usize],
    shard_budget: usize,
}

/// Evicts the oldest entry first: disks are mostly read in order, and this needs no bookkeeping on a hit.
struct Shard<T> {
    entries: HashMap<u64, Arc<[T]>>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl<T> Cache<T> {
    /// A cache of `budget` bytes; a shard always keeps its newest entry, whatever its size.
    pub(crate) fn new(budget: usize) -> Self {
        let shard = || RwLock::new(Shard { entries: HashMap::new(), order: VecDeque::new(), bytes: 0 });
        Self { shards: std::array::from_fn(|_| shard()), shard_budget: budget / SHARDS as usize }
    }

    pub(crate) fn get(&self, key: u64) -> Option<Arc<[T]>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).entries.get(&key).cloned()
    }

    pub(crate) fn insert(&self, key: u64, value: Arc<[T]>) {
        let mut shard = self.shard(key).write().unwrap_or_else(PoisonError::into_inner);
        let bytes = size_of_val(&*value);
        if shard.entries.contains_key(&key) {
            return;
        }
        while shard.bytes + bytes > self.shard_budget
            && let Some(oldest) = shard.order.pop_front()
        {
            shard.bytes -= shard.entries.remove(&oldest).map_or(0, |gone| size_of_val(&*gone));
        }
        shard.bytes += bytes;
        shard.order.push_back(key);
        shard.entries.insert(key, value);
    }

    fn shard(&self, key: u64) -> &RwLock<Shard<T>> {
        // Keys are often multiples of a power of two: spread them over the shards by their high bits.
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.shards[(spread % SHARDS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_budget_and_keeps_the_newest() {
        let cache = Cache::<u64>::new(8 * 8 * 10);
        for key in 0..1000 {
            cache.insert(key << 16, vec![key; 5].into());
            assert_eq!(cache.get(key << 16).unwrap()[0], key);
        }
        let held = (0..1000).filter(|key| cache.get(key << 16).is_some()).count();
        assert!((8..=16).contains(&held), "{held} entries of 40 bytes in 8 shards of 80 bytes");
        cache.insert(7, vec![7; 1000].into());
        assert!(cache.get(7).is_some(), "an entry larger than the budget is kept alone");
    }
}
