//! A hosted sparse extent, written in any order and from many threads.
//!
//! ```text
//!  header · descriptor · directory, its tables · directory, its tables · grains
//!                        └─ the redundant ones ┘
//! ```
//!
//! All tables have their place from the start, as VMware's products want it, and lie in a row: the place of an entry
//! follows from the grain's number. So nothing is kept in memory but the next free sector, whatever the size of the disk.
//! A table that is never written is a hole of the file: 512 entries of 0.

use super::options::Plan;
use super::{DESCRIPTOR_SECTORS, GRAIN, GRAIN_SECTORS, TABLE_ENTRIES, contract, encode, entry_of, pad};
use crate::layout::{FLAG_NEWLINES, FLAG_REDUNDANT, FLAG_ZEROED_GRAIN, NEWLINES, SECTOR, SparseExtentHeader};
use format_core::{Error, Result, TargetStorage};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an entry.
const ENTRY: u64 = 4;
/// Sectors of a grain table.
const TABLE_SECTORS: u64 = TABLE_ENTRIES * ENTRY / SECTOR;
/// The entry of a grain of zeros.
const ZEROED: u32 = 1;
/// Entries that are written at once at most.
const PIECE: u64 = 1 << 16;

/// Where the parts of an extent lie, in sectors.
#[derive(Clone, Copy, Debug)]
struct Layout {
    capacity: u64,
    tables: u64,
    directory_sectors: u64,
    redundant: u64,
    directory: u64,
    over_head: u64,
}

/// One extent that is being written.
pub(crate) struct SparseExtent {
    layout: Layout,
    zeroed_grain: bool,
    /// The first sector of the file that no grain has.
    next: AtomicU64,
    /// Whether tables may hold entries of an interrupted run.
    resumed: bool,
}

impl Layout {
    fn new(capacity: u64) -> Self {
        let tables = capacity.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
        let directory_sectors = (tables * ENTRY).div_ceil(SECTOR);
        let redundant = 1 + DESCRIPTOR_SECTORS;
        let directory = redundant + directory_sectors + tables * TABLE_SECTORS;
        let end = directory + directory_sectors + tables * TABLE_SECTORS;
        let over_head = end.next_multiple_of(GRAIN_SECTORS);
        Self { capacity, tables, directory_sectors, redundant, directory, over_head }
    }

    /// Byte of the entry of `grain` below the directory at `directory`.
    fn entry_at(&self, directory: u64, grain: u64) -> u64 {
        (directory + self.directory_sectors) * SECTOR + grain * ENTRY
    }
}

impl SparseExtent {
    /// Starts an extent of `capacity` sectors, which `Plan` found to be few enough.
    pub(crate) fn create(capacity: u64, plan: &Plan, target: &dyn TargetStorage) -> Result<Self> {
        let layout = Layout::new(capacity);
        target.zero_range(0, layout.over_head * SECTOR)?;
        let next = AtomicU64::new(layout.over_head);
        Ok(Self { layout, zeroed_grain: plan.zeroed_grain, next, resumed: false })
    }

    /// Goes on with an extent whose grains ended before the sector `next`.
    pub(crate) fn resume(capacity: u64, next: u64, plan: &Plan, target: &dyn TargetStorage) -> Result<Self> {
        let layout = Layout::new(capacity);
        let grains =
            next.checked_sub(layout.over_head).filter(|sectors| sectors.is_multiple_of(GRAIN_SECTORS));
        if grains.is_none_or(|sectors| sectors > capacity.next_multiple_of(GRAIN_SECTORS)) {
            return Err(Error::corrupt(format!("the grains of the interrupted run end at sector {next:#x}")));
        }
        target.resume_at(next * SECTOR)?;
        // It may have been interrupted after the header was written.
        target.write_all_at(0, &[0; SECTOR as usize])?;
        Ok(Self { layout, zeroed_grain: plan.zeroed_grain, next: AtomicU64::new(next), resumed: true })
    }

    /// The first sector of the file that no grain has; the file ends there now.
    pub(crate) fn next(&self, target: &dyn TargetStorage) -> Result<u64> {
        let next = self.next.load(Ordering::Relaxed);
        target.set_len(next * SECTOR)?;
        Ok(next)
    }

    /// Takes back entries that an interrupted run wrote later than its state says.
    pub(crate) fn forget(&self, offset: u64, len: u64, target: &dyn TargetStorage) -> Result<()> {
        if !self.resumed {
            return Ok(());
        }
        let (grain, end) = (offset / GRAIN, (offset + len).div_ceil(GRAIN));
        [self.layout.redundant, self.layout.directory].into_iter().try_for_each(|directory| {
            target.zero_range(self.layout.entry_at(directory, grain), (end - grain) * ENTRY)
        })
    }

    /// Stores whole grains from `offset`; only the last one of the disk may be short.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8], target: &dyn TargetStorage) -> Result<()> {
        let count = (bytes.len() as u64).div_ceil(GRAIN);
        let first = self.next.fetch_add(count * GRAIN_SECTORS, Ordering::Relaxed);
        let last = entry_of(first + (count.max(1) - 1) * GRAIN_SECTORS)?;
        let host = first * SECTOR;
        target.write_all_at(host, bytes)?;
        let missing = count * GRAIN - bytes.len() as u64;
        if missing > 0 {
            target.zero_range(host + bytes.len() as u64, missing)?;
        }
        let entries = (entry_of(first)?..=last).step_by(GRAIN_SECTORS as usize);
        self.enter(offset / GRAIN, &entries.flat_map(u32::to_le_bytes).collect::<Vec<_>>(), target)
    }

    /// Makes whole grains from `offset` read as zeros, and hide the parent.
    pub(crate) fn hide_at(&self, offset: u64, len: u64, target: &dyn TargetStorage) -> Result<()> {
        if !self.zeroed_grain {
            return Err(contract(format!("{len:#x} bytes at {offset:#x} cannot hide a parent")));
        }
        let (mut grain, end) = (offset / GRAIN, (offset + len).div_ceil(GRAIN));
        while grain < end {
            let count = (end - grain).min(PIECE);
            self.enter(grain, &ZEROED.to_le_bytes().repeat(count as usize), target)?;
            grain += count;
        }
        Ok(())
    }

    /// Writes the entries of a run of grains into both sets of tables.
    fn enter(&self, grain: u64, entries: &[u8], target: &dyn TargetStorage) -> Result<()> {
        for directory in [self.layout.redundant, self.layout.directory] {
            target.write_all_at(self.layout.entry_at(directory, grain), entries)?;
        }
        Ok(())
    }

    /// Writes everything but the header.
    pub(crate) fn finish(&self, target: &dyn TargetStorage) -> Result<()> {
        let layout = &self.layout;
        target.set_len(self.next.load(Ordering::Relaxed) * SECTOR)?;
        for directory in [layout.redundant, layout.directory] {
            let first_table = directory + layout.directory_sectors;
            for table in (0..layout.tables).step_by(PIECE as usize) {
                let tables = table..layout.tables.min(table + PIECE);
                let entries: Result<Vec<_>> = tables
                    .map(|table| Ok(entry_of(first_table + table * TABLE_SECTORS)?.to_le_bytes()))
                    .collect();
                target.write_all_at(directory * SECTOR + table * ENTRY, &entries?.concat())?;
            }
        }
        Ok(())
    }

    /// Header and embedded descriptor; an extent of a split disk leaves the latter's place empty, as VMware's do.
    pub(crate) fn head(&self, descriptor: &[u8]) -> Result<Vec<u8>> {
        let zeroed = if self.zeroed_grain { FLAG_ZEROED_GRAIN } else { 0 };
        let mut bytes = encode(&SparseExtentHeader {
            version: if self.zeroed_grain { 2 } else { 1 },
            flags: FLAG_NEWLINES | FLAG_REDUNDANT | zeroed,
            capacity: self.layout.capacity,
            grain_size: GRAIN_SECTORS,
            descriptor_offset: 1,
            descriptor_size: DESCRIPTOR_SECTORS,
            num_gtes_per_gt: TABLE_ENTRIES as u32,
            rgd_offset: self.layout.redundant,
            gd_offset: self.layout.directory,
            over_head: self.layout.over_head,
            unclean_shutdown: 0,
            newlines: NEWLINES,
            compress_algorithm: 0,
        })?;
        pad(&mut bytes);
        bytes.extend(descriptor);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::{CreateRequest, ErrorKind, MemTarget};

    #[test]
    fn a_file_of_more_than_2_tib_is_refused_before_it_is_written() {
        let request = CreateRequest { virtual_size: 4 << 40, ..CreateRequest::default() };
        let (plan, target) = (Plan::new(&request).unwrap(), MemTarget::default());
        let extent = SparseExtent::create(plan.capacity_sectors, &plan, &target).unwrap();
        let last = (1 << 32) - GRAIN_SECTORS;
        extent.next.store(last - GRAIN_SECTORS, Ordering::Relaxed);
        let counting = format_core::CountingTarget::default();
        extent.write_at(0, &[1; 2 * GRAIN as usize], &counting).unwrap();
        let written = MemTarget::failing_after(0);
        let error = extent.write_at(GRAIN * 7, &[1; GRAIN as usize], &written).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "the target would have said Temporary");
    }

    #[test]
    fn many_grains_are_hidden_in_pieces() {
        let mut options = std::collections::BTreeMap::new();
        options.insert("zeroed_grain".to_owned(), "on".to_owned());
        let grains = PIECE + 3;
        let request = CreateRequest { virtual_size: grains * GRAIN, options, parent: None };
        let (plan, target) = (Plan::new(&request).unwrap(), MemTarget::default());
        let extent = SparseExtent::create(plan.capacity_sectors, &plan, &target).unwrap();
        extent.hide_at(GRAIN, (grains - 1) * GRAIN, &target).unwrap();
        extent.finish(&target).unwrap();
        Box::new(target.clone()).commit().unwrap();
        let bytes = target.committed_bytes().unwrap();
        for directory in [extent.layout.redundant, extent.layout.directory] {
            let at = extent.layout.entry_at(directory, 0) as usize;
            let entries: Vec<_> = bytes[at..].chunks(4).take(grains as usize + 1).collect();
            assert!(entries[0] == [0; 4] && entries[grains as usize] == [0; 4]);
            assert!(entries[1..grains as usize].iter().all(|entry| *entry == [1, 0, 0, 0]));
        }
    }
}
