//! A target that keeps nothing but how long it would be.

use crate::{Result, TargetStorage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Measures an image without writing it. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct CountingTarget {
    len: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
    is_other: bool,
}

impl CountingTarget {
    /// Bytes of all files of the image once it is committed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.len.load(Ordering::Relaxed) + self.others.load(Ordering::Relaxed)
    }
}

impl TargetStorage for CountingTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.len.fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::Relaxed);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> Option<&str> {
        Some("image")
    }

    fn sibling(&self, _name: &str) -> Result<Box<dyn TargetStorage>> {
        Ok(Box::new(Self { len: Arc::default(), others: Arc::clone(&self.others), is_other: true }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        if self.is_other {
            self.others.fetch_add(self.len.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_an_image_are_counted() {
        let target = CountingTarget::default();
        let other = target.sibling("image-flat").unwrap();
        other.write_all_at(10, b"abc").unwrap();
        other.commit().unwrap();
        target.write_all_at(0, b"abc").unwrap();
        target.set_len(2).unwrap();
        Box::new(target.clone()).commit().unwrap();
        assert_eq!(target.total(), 15);
    }
}
