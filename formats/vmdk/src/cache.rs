//! A small cache that many threads share: bounded, in shards, never locked while a value is made.

use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 8;
/// Shards are searched from end to end, so they stay short.
const MAX_VALUES: usize = 1024;

/// Oldest first.
type Entries<T> = Vec<(u64, Arc<T>)>;

/// The most recently used values by key.
pub(crate) struct Cache<T> {
    shards: Vec<Mutex<Entries<T>>>,
    per_shard: usize,
}

impl<T> Cache<T> {
    /// A cache of at most `capacity` values, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_VALUES);
        let shards = capacity.min(SHARDS);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            per_shard: (capacity / shards).max(1),
        }
    }

    /// The value of `key`, made by `make` if it is not there. Two threads may make the same value at once.
    pub(crate) fn get<E>(&self, key: u64, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let value = Arc::new(make()?);
        self.with(key, |entries| {
            if entries.len() >= self.per_shard {
                entries.remove(0);
            }
            entries.push((key, Arc::clone(&value)));
        });
        Ok(value)
    }

    /// The value of `key` if it is there.
    pub(crate) fn find(&self, key: u64) -> Option<Arc<T>> {
        self.with(key, |entries| {
            let at = entries.iter().rposition(|(found, _)| *found == key)?;
            let entry = entries.remove(at);
            let value = Arc::clone(&entry.1);
            entries.push(entry);
            Some(value)
        })
    }

    fn with<R>(&self, key: u64, action: impl FnOnce(&mut Entries<T>) -> R) -> R {
        let shard = (key % self.shards.len() as u64) as usize;
        // A shard holds no invariant that a panic elsewhere could break.
        action(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_never_more_than_its_capacity() {
        let cache = Cache::new(16);
        for key in 0..100 {
            assert_eq!(*cache.get(key, || Ok::<_, ()>(key * 2)).unwrap(), key * 2);
        }
        assert_eq!((0..100).filter(|&key| cache.find(key).is_some()).count(), 16);
        assert_eq!(*cache.get(99, || Err(())).unwrap(), 198);
        assert!(cache.get(1, || Err(())).is_err());
        assert!(Cache::<u8>::new(0).get(1, || Ok::<_, ()>(1)).is_ok());
    }
}
