//! What of a disk could not be read.

use format_core::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bounds the memory; a disk with more gaps is beyond help.
const MAX_LOSSES: usize = 100_000;

/// A range of guest bytes that could not be read and became zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
    /// Why the first of them could not be read.
    pub reason: String,
    /// Whether each of them was tried: false where a run was passed over because all before it was bad.
    #[serde(skip)]
    pub is_tried: bool,
}

/// What was lost, gathered while the disk is read. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<BTreeMap<u64, LostRange>>>);

impl Losses {
    /// Every range, ascending; neighbours are joined and keep the first one's reason.
    #[must_use]
    pub fn ranges(&self) -> Vec<LostRange> {
        let mut joined: Vec<LostRange> = Vec::new();
        for range in self.locked().values() {
            match joined.last_mut() {
                // Workers find them in any order.
                Some(last) if last.offset + last.len >= range.offset && last.is_tried == range.is_tried => {
                    last.len = last.len.max(range.offset + range.len - last.offset);
                }
                _ => joined.push(range.clone()),
            }
        }
        joined
    }

    /// Whether the byte at `offset` is known to be lost, and how many bytes from there are alike; `None` where they
    /// have no end.
    pub(crate) fn run_at(&self, offset: u64) -> (bool, Option<u64>) {
        let lost = self.locked();
        if let Some((start, range)) = lost.range(..=offset).next_back()
            && offset - start < range.len
        {
            return (true, Some(start + range.len - offset));
        }
        (false, lost.range(offset..).next().map(|(start, _)| start - offset))
    }

    /// Notes a range that starts in no other one, or within one that has its end too.
    ///
    /// # Errors
    /// `error` itself when there are too many ranges.
    pub(crate) fn add(&self, offset: u64, len: u64, is_tried: bool, error: Error) -> Result<()> {
        let mut lost = self.locked();
        if let Some((start, before)) = lost.range_mut(..=offset).next_back()
            && *start + before.len >= offset
            && before.is_tried == is_tried
        {
            before.len = before.len.max(offset + len - start);
            return Ok(());
        }
        if lost.len() >= MAX_LOSSES {
            return Err(error.context("too much of the disk cannot be read"));
        }
        lost.insert(offset, LostRange { offset, len, reason: error.to_string(), is_tried });
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<u64, LostRange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
