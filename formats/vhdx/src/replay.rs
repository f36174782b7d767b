//! The file as it is after its log was replayed: a view that never writes.

use crate::layout::LOG_SECTOR;
use crate::parse::Change;
use format_core::{Result, Storage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A storage with the changes of a log over it. Takes memory for the data sectors of the log; zeroed ranges are kept
/// as ranges.
pub(crate) struct Replayed {
    storage: Arc<dyn Storage>,
    /// By file offset; never overlapping, everything a multiple of 4 KiB.
    patches: BTreeMap<u64, Patch>,
    size: u64,
}

enum Patch {
    Data(Box<[u8; LOG_SECTOR]>),
    Zero(u64),
}

impl Patch {
    fn len(&self) -> u64 {
        match self {
            Self::Data(_) => LOG_SECTOR as u64,
            Self::Zero(length) => *length,
        }
    }
}

impl Replayed {
    /// Applies `changes` in order; the file then has at least `last_file_offset` bytes.
    pub(crate) fn new(storage: Arc<dyn Storage>, changes: Vec<Change>, last_file_offset: u64) -> Self {
        let mut patches = BTreeMap::new();
        for change in changes {
            let (offset, patch) = match change {
                Change::Data { offset, sector } => (offset, Patch::Data(sector)),
                Change::Zero { offset, length } => (offset, Patch::Zero(length)),
            };
            if patch.len() > 0 {
                cut(&mut patches, offset, offset.saturating_add(patch.len()));
                patches.insert(offset, patch);
            }
        }
        let last = patches.iter().next_back().map_or(0, |(offset, patch)| offset.saturating_add(patch.len()));
        let size = storage.size().max(last_file_offset).max(last);
        Self { storage, patches, size }
    }
}

/// Makes room: removes what lies from `start` to `end`, keeps what sticks out.
fn cut(patches: &mut BTreeMap<u64, Patch>, start: u64, end: u64) {
    let first = patches.range(..start).next_back().map_or(start, |(offset, _)| *offset);
    let touched: Vec<u64> = patches.range(first..end).map(|(offset, _)| *offset).collect();
    for offset in touched {
        // Only zeroed ranges are longer than one sector, so only they can stick out.
        let Some(&Patch::Zero(length)) = patches.get(&offset) else {
            if offset >= start {
                patches.remove(&offset);
            }
            continue;
        };
        let old_end = offset.saturating_add(length);
        if old_end <= start {
            continue;
        }
        patches.remove(&offset);
        if offset < start {
            patches.insert(offset, Patch::Zero(start - offset));
        }
        if old_end > end {
            patches.insert(end, Patch::Zero(old_end - end));
        }
    }
}

impl Storage for Replayed {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let stored = self.storage.size().saturating_sub(offset).min(buf.len() as u64);
        let end = offset.saturating_add(buf.len() as u64);
        if end > self.size {
            // The storage below words the error.
            return self.storage.read_exact_at(offset, buf);
        }
        // `stored` is at most the length of the buffer.
        let (inside, beyond) = buf.split_at_mut(stored as usize);
        if !inside.is_empty() {
            self.storage.read_exact_at(offset, inside)?;
        }
        beyond.fill(0);
        let first = self.patches.range(..=offset).next_back().map_or(offset, |(offset, _)| *offset);
        for (&at, patch) in self.patches.range(first..end) {
            let (from, to) = (at.max(offset), at.saturating_add(patch.len()).min(end));
            let Some(len) = to.checked_sub(from).filter(|&len| len > 0) else { continue };
            let (target, skip, len) = ((from - offset) as usize, (from - at) as usize, len as usize);
            let Some(target) = buf.get_mut(target..target + len) else { continue };
            match patch {
                Patch::Zero(_) => target.fill(0),
                Patch::Data(sector) => {
                    if let Some(source) = sector.get(skip..skip + len) {
                        target.copy_from_slice(source);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::MemStorage;
    use proptest::prelude::*;

    const SECTOR: u64 = LOG_SECTOR as u64;
    const SECTORS: u64 = 12;

    proptest! {
        #[test]
        fn every_order_of_changes_reads_like_a_file_that_was_written(
            changes in prop::collection::vec((0..SECTORS, 0..4u64, 1..255u8, any::<bool>()), 0..20),
            at in 0..SECTORS * SECTOR, len in 0..3 * SECTOR,
        ) {
            let base: Vec<u8> = (0..8 * SECTOR).map(|i| (i % 251) as u8).collect();
            let mut expected = base.clone();
            expected.resize((SECTORS * SECTOR) as usize, 0);
            let mut list = Vec::new();
            for (sector, length, value, is_data) in changes {
                let (offset, length) = (sector * SECTOR, length.min(SECTORS - sector) * SECTOR);
                if is_data {
                    list.push(Change::Data { offset, sector: Box::new([value; LOG_SECTOR]) });
                    expected[offset as usize..][..LOG_SECTOR].fill(value);
                } else {
                    list.push(Change::Zero { offset, length });
                    expected[offset as usize..][..length as usize].fill(0);
                }
            }
            let view = Replayed::new(Arc::new(MemStorage(base)), list, SECTORS * SECTOR);
            prop_assert_eq!(view.size(), SECTORS * SECTOR);
            let len = len.min(SECTORS * SECTOR - at) as usize;
            let mut found = vec![0xee; len];
            view.read_exact_at(at, &mut found).unwrap();
            prop_assert!(found == expected[at as usize..][..len]);
            prop_assert!(view.read_exact_at(SECTORS * SECTOR - 1, &mut [0; 2]).is_err());
        }
    }
}
