//! Blobs that were read last, for pieces that two reads share.

use format_core::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are kept.
const MOST: usize = 32 << 20;

/// A blob that one thread reads while others wait for it.
type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// Blobs by their numbers, the one used last at the end.
#[derive(Default)]
pub(crate) struct BlobCache(Mutex<Vec<(u32, usize, Slot)>>);

impl BlobCache {
    /// The blob `number`, if it is kept.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<Vec<u8>>> {
        let slot =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|s| s.0 == number)?.2.clone();
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The blob `number`, which `read` gives when it is not kept.
    pub(crate) fn get_or(&self, number: u32, read: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Vec<u8>>> {
        let slot = self.slot(number);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = kept.as_ref() {
            return Ok(Arc::clone(blob));
        }
        let blob = Arc::new(read()?);
        *kept = Some(Arc::clone(&blob));
        drop(kept);
        self.make_room(number, blob.len());
        Ok(blob)
    }

    fn slot(&self, number: u32) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = slots.iter().position(|slot| slot.0 == number) {
            slots[at..].rotate_left(1);
        } else {
            slots.push((number, 0, Slot::default()));
        }
        slots.last().map(|slot| Arc::clone(&slot.2)).unwrap_or_default()
    }

    /// Notes that `number` has `len` bytes, and gives up what was not used for longest.
    fn make_room(&self, number: u32, len: usize) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter_mut().filter(|slot| slot.0 == number).for_each(|slot| slot.1 = len);
        let mut kept: usize = slots.iter().map(|slot| slot.1).sum();
        // Slots of no length are being read, or failed.
        while kept > MOST || slots.len() > 1024 {
            kept -= slots.remove(0).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::Error;

    #[test]
    fn blobs_are_read_once_and_room_is_bounded() {
        let cache = BlobCache::default();
        assert!(cache.get(1).is_none());
        assert!(cache.get_or(1, || Err(Error::corrupt("x"))).is_err());
        assert_eq!(*cache.get_or(1, || Ok(vec![1])).unwrap(), [1]);
        assert_eq!(*cache.get_or(1, || Ok(vec![2])).unwrap(), [1]);
        for number in 2..100 {
            cache.get_or(number, || Ok(vec![0; 1 << 20])).unwrap();
        }
        assert!(cache.get(1).is_none() && cache.get(99).is_some());
        let kept: usize = cache.0.lock().unwrap().iter().map(|slot| slot.1).sum();
        assert!(kept <= MOST);
    }
}
