//! Tables and inflated grains that many threads share: bounded in bytes, in shards, never locked while one is made.

use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 8;
/// Shards are searched from end to end, so they stay short.
const MAX_PER_SHARD: usize = 128;

/// Oldest first.
type Entries = Vec<(u64, Arc<Vec<u8>>)>;

/// The most recently used values by key.
pub(crate) struct Cache {
    shards: [Mutex<Entries>; SHARDS],
    bytes_per_shard: usize,
}

impl Cache {
    /// A cache of about `bytes`; the newest value of a shard is kept even if it is larger.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { shards: Default::default(), bytes_per_shard: bytes / SHARDS }
    }

    /// The value of `key`, made by `make` if it is not there. Two threads may make the same value at once.
    pub(crate) fn get<E>(
        &self,
        key: u64,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Vec<u8>>, E> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let value = Arc::new(make()?);
        self.with(key, |entries| {
            let mut kept = value.len() + entries.iter().map(|(_, value)| value.len()).sum::<usize>();
            while !entries.is_empty() && (kept > self.bytes_per_shard || entries.len() >= MAX_PER_SHARD) {
                kept -= entries.remove(0).1.len();
            }
            entries.push((key, Arc::clone(&value)));
        });
        Ok(value)
    }

    /// The value of `key` if it is there.
    pub(crate) fn find(&self, key: u64) -> Option<Arc<Vec<u8>>> {
        self.with(key, |entries| {
            let at = entries.iter().rposition(|(found, _)| *found == key)?;
            let entry = entries.remove(at);
            let value = Arc::clone(&entry.1);
            entries.push(entry);
            Some(value)
        })
    }

    fn with<R>(&self, key: u64, action: impl FnOnce(&mut Entries) -> R) -> R {
        let [first, ..] = &self.shards;
        let shard = self.shards.get((key % SHARDS as u64) as usize).unwrap_or(first);
        // A shard holds no invariant that a panic elsewhere could break.
        action(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_never_more_than_its_bytes() {
        let cache = Cache::new(8 * 2 * 100);
        for key in 0..100u64 {
            assert_eq!(cache.get(key, || Ok::<_, ()>(vec![key as u8; 100])).unwrap()[0], key as u8);
        }
        assert_eq!((0..100).filter(|&key| cache.find(key).is_some()).count(), 16);
        assert_eq!(cache.get(99, || Err(())).unwrap().len(), 100);
        assert!(cache.get(1, || Err(())).is_err());
        // One that is larger than a shard pushes out all others of its shard.
        assert!(cache.get(0, || Ok::<_, ()>(vec![0; 5000])).is_ok());
        assert!(cache.find(0).is_some() && cache.find(96).is_none() && cache.find(97).is_some());
    }

    #[test]
    fn empty_values_are_bounded_by_their_number() {
        let cache = Cache::new(0);
        for key in 0..10_000 {
            assert!(cache.get(key, || Ok::<_, ()>(Vec::new())).is_ok());
        }
        assert!(cache.shards.iter().all(|shard| shard.lock().unwrap().len() <= MAX_PER_SHARD));
    }
}
