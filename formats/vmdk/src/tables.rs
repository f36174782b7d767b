//! Grain directory and grain tables of all sparse extents: from a guest offset to a place in the file.

use crate::cache::Cache;
use crate::error::VmdkError;
use crate::layout::{GRAIN_MARKER_LEN, SECTOR};
use crate::parse::Reserved;
use format_core::{Result, Storage};
use std::sync::Arc;

/// How many absent tables one look-up counts, so that a look-up stays cheap in a huge empty disk.
const ABSENT_AT_ONCE: usize = 1024;

/// What a grain table says of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Not in this file.
    Absent,
    /// Zeros, whatever the parent holds.
    Zero,
    /// Stored at this host offset.
    At(u64),
}

/// How table entries are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries {
    /// 32 bits, a sector; 1 may mean zeros.
    Sectors { zeroed_grains: bool, compressed: bool },
    /// 64 bits, a kind and a grain number; grains start at this host offset.
    SeSparse { grains_at: u64 },
}

/// Sizes of an extent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) entries: Entries,
    pub(crate) grain_bytes: u64,
    pub(crate) table_entries: u64,
    /// Bytes of the extent that belong to the disk.
    pub(crate) size: u64,
}

impl Shape {
    /// Bytes of an entry.
    pub(crate) fn entry_bytes(&self) -> u64 {
        match self.entries {
            Entries::Sectors { .. } => 4,
            Entries::SeSparse { .. } => 8,
        }
    }

    /// Bytes of a table.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.table_entries * self.entry_bytes()
    }

    /// Bytes of `grain` that belong to the disk: less than a whole grain at the disk's end.
    pub(crate) fn used_bytes(&self, grain: u64) -> u64 {
        self.size.saturating_sub(grain.saturating_mul(self.grain_bytes)).min(self.grain_bytes)
    }

    /// How many grains the disk has.
    pub(crate) fn grains(&self) -> u64 {
        self.size.div_ceil(self.grain_bytes)
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.entries, Entries::Sectors { compressed: true, .. })
    }
}

/// Where the tables lie, and what no table and no grain may overlap.
pub(crate) struct Directory {
    /// Host offsets of the tables; 0 where there is none, as that is the header's place.
    pub(crate) tables: Vec<u64>,
    pub(crate) reserved: Reserved,
}

impl Directory {
    /// Checks that every table lies in the file and over nothing else.
    pub(crate) fn check(&self, shape: &Shape, size: u64) -> Result<(), VmdkError> {
        let len = shape.table_bytes();
        for (index, &at) in self.tables.iter().enumerate().filter(|(_, at)| **at != 0) {
            if at.saturating_add(len) > size {
                return Err(VmdkError::TableOutside { index, at, len, size });
            }
            if self.reserved.overlap(at, len) {
                return Err(VmdkError::TableOverlaps { index, at });
            }
        }
        Ok(())
    }
}

/// Neighbouring grains that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// What the first grain is.
    pub(crate) entry: Entry,
    /// How many grains.
    pub(crate) grains: u64,
}

/// The tables of one extent.
pub(crate) struct Tables {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) shape: Shape,
    pub(crate) directory: Directory,
    cache: Arc<Cache>,
    /// The extent's number among those that share the cache.
    extent: u64,
}

impl Tables {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        shape: Shape,
        directory: Directory,
        cache: Arc<Cache>,
        extent: u64,
    ) -> Result<Self> {
        directory.check(&shape, storage.size())?;
        Ok(Self { storage, shape, directory, cache, extent })
    }

    /// The run from `grain` to the end of its table of grains that `joins` says belong to the first.
    ///
    /// `joins` gets the first entry, the distance in grains, and the entry there.
    pub(crate) fn run(&self, grain: u64, joins: impl Fn(Entry, u64, Entry) -> bool) -> Result<Run> {
        let per_table = self.shape.table_entries;
        let (index, within) = ((grain / per_table) as usize, grain % per_table);
        let tables = self.directory.tables.get(index..).unwrap_or_default();
        let absent = tables.iter().take(ABSENT_AT_ONCE).take_while(|&&table| table == 0).count();
        if absent > 0 {
            return Ok(Run { entry: Entry::Absent, grains: absent as u64 * per_table - within });
        }
        let table = self.table(index)?;
        let rest = table.get((within * self.shape.entry_bytes()) as usize..).unwrap_or_default();
        let mut entries = (grain..).zip(rest.chunks_exact(self.shape.entry_bytes() as usize));
        let Some((_, first)) = entries.next() else { return Err(VmdkError::NoDirectory.into()) };
        let first = self.entry(grain, first)?;
        let belongs = |&(number, raw): &(u64, &[u8])| {
            // A broken entry ends the run; it is reported when it is asked for itself.
            self.shape.used_bytes(number) > 0
                && self.entry(number, raw).is_ok_and(|entry| joins(first, number - grain, entry))
        };
        Ok(Run { entry: first, grains: 1 + entries.take_while(belongs).count() as u64 })
    }

    /// The bytes of table `index`, which must be there.
    pub(crate) fn table(&self, index: usize) -> Result<Arc<Vec<u8>>> {
        let at = self.directory.tables.get(index).copied().filter(|at| *at != 0);
        let at = at.ok_or(VmdkError::NoDirectory)?;
        self.cache.get(self.extent << 32 | index as u64, || {
            let mut bytes = vec![0; self.shape.table_bytes() as usize];
            self.storage.read_exact_at(at, &mut bytes)?;
            Ok(bytes)
        })
    }

    /// What the entry `raw` says of `grain`.
    pub(crate) fn entry(&self, grain: u64, raw: &[u8]) -> Result<Entry, VmdkError> {
        let at = match self.shape.entries {
            Entries::Sectors { zeroed_grains, .. } => match raw.first_chunk().map(|b| u32::from_le_bytes(*b))
            {
                None | Some(0) => return Ok(Entry::Absent),
                Some(1) if zeroed_grains => return Ok(Entry::Zero),
                Some(sector) => u64::from(sector) * SECTOR,
            },
            Entries::SeSparse { grains_at } => {
                let raw = raw.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                let bad = VmdkError::SeSparseEntry { grain, raw };
                match raw >> 60 {
                    0 if raw == 0 => return Ok(Entry::Absent),
                    1 | 2 => return Ok(Entry::Zero),
                    3 => {
                        // The number's lowest twelve bits come first.
                        let number = (raw >> 48 & 0xfff) | (raw & 0xffff_ffff_ffff) << 12;
                        let at = number.checked_mul(self.shape.grain_bytes);
                        at.and_then(|at| at.checked_add(grains_at)).ok_or(bad)?
                    }
                    _ => return Err(bad),
                }
            }
        };
        let size = self.storage.size();
        let len = match self.shape.is_compressed() {
            true => GRAIN_MARKER_LEN,
            false => self.shape.used_bytes(grain),
        };
        if at.saturating_add(len) > size {
            return Err(VmdkError::GrainOutside { grain, at, len, size });
        }
        if self.directory.reserved.overlap(at, len) {
            return Err(VmdkError::GrainOverlaps { grain, at });
        }
        Ok(Entry::At(at))
    }
}
