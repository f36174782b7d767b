//! L1 and L2 tables of an image that is changed in place.

use super::refcounts::Refcounts;
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::parse::Header;
use crate::read::read_words;
use crate::table::Geometry;
use format_core::{Error, Result, UpdateStorage};
use std::collections::BTreeMap;
use std::ops::Range;

/// L2 tables in memory: 32 MiB.
const MAX_BYTES: u64 = 32 << 20;

/// The L1 table and the L2 tables that changed, or were looked at, since they were written last.
pub(super) struct Tables {
    geometry: Geometry,
    l1_offset: u64,
    l1: Vec<u64>,
    /// By number of the L1 entry.
    l2: BTreeMap<u64, L2>,
}

struct L2 {
    host: u64,
    words: Vec<u64>,
    /// No L1 entry in the file names it.
    is_new: bool,
    /// Words that are not in the file.
    changed: Range<usize>,
}

impl Tables {
    pub(super) fn load(storage: &dyn UpdateStorage, header: &Header) -> Result<Self> {
        let l1 = read_words(storage, header.l1.offset, header.l1.needed)?;
        Ok(Self { geometry: header.geometry, l1_offset: header.l1.offset, l1, l2: BTreeMap::new() })
    }

    pub(super) fn is_full(&self) -> bool {
        self.l2.len() as u64 * self.geometry.cluster_size() > MAX_BYTES
    }

    /// The L2 entry of the guest offset; `None` where there is no table.
    pub(super) fn known_entry(&mut self, storage: &dyn UpdateStorage, at: u64) -> Result<Option<u64>> {
        let (index, word) = self.place(at);
        if !self.l2.contains_key(&index) {
            let entry = self.l1.get(index as usize).copied().unwrap_or(0);
            let found = self.geometry.l2_table(entry).map_err(|fault| {
                let at = self.l1_offset.saturating_add(index * ENTRY_SIZE);
                Qcow2Error::L1Entry { index, entry, at, fault }
            })?;
            let Some(host) = found else { return Ok(None) };
            let words = read_words(storage, host, self.geometry.table_words())?;
            self.l2.insert(index, L2 { host, words, is_new: false, changed: 0..0 });
        }
        Ok(self.l2.get(&index).and_then(|table| table.words.get(word)).copied())
    }

    /// As [`Tables::known_entry`], with a new table where there is none.
    pub(super) fn entry(
        &mut self,
        storage: &dyn UpdateStorage,
        refcounts: &mut Refcounts,
        at: u64,
    ) -> Result<u64> {
        if let Some(entry) = self.known_entry(storage, at)? {
            return Ok(entry);
        }
        let host = refcounts.allocate(1)?;
        let words = vec![0; self.geometry.table_words()];
        self.l2.insert(self.place(at).0, L2 { host, words, is_new: true, changed: 0..0 });
        Ok(0)
    }

    /// Changes an entry that was asked for before.
    pub(super) fn set(&mut self, storage: &dyn UpdateStorage, at: u64, entry: u64) -> Result<()> {
        let (index, word) = self.place(at);
        self.known_entry(storage, at)?;
        let place = self.l2.get_mut(&index).and_then(|table| {
            let changed = &mut table.changed;
            Some((table.words.get_mut(word)?, changed))
        });
        let (old, changed) = place.ok_or_else(|| Error::contract(format!("no L2 entry for {at:#x}")))?;
        if *old != entry {
            *old = entry;
            *changed = if changed.start == changed.end {
                word..word + 1
            } else {
                changed.start.min(word)..changed.end.max(word + 1)
            };
        }
        Ok(())
    }

    /// Number of the L1 entry, and of the entry in its table.
    fn place(&self, at: u64) -> (u64, usize) {
        (self.geometry.l1_index(at), self.geometry.unit_index(at) as usize)
    }

    /// Writes the tables that nothing in the file refers to yet.
    pub(super) fn write_new(&self, storage: &dyn UpdateStorage) -> Result<()> {
        for table in self.l2.values().filter(|table| table.is_new) {
            storage.write_all_at(table.host, &big_endian(&table.words))?;
        }
        Ok(())
    }

    /// Writes the entries that make the changes visible, and forgets the tables; tells whether there were any.
    pub(super) fn write_entries(&mut self, storage: &dyn UpdateStorage) -> Result<bool> {
        let mut any = false;
        for (index, table) in &mut self.l2 {
            if table.is_new {
                let entry = table.host | COPIED;
                let at = self.l1_offset + index * ENTRY_SIZE;
                storage.write_all_at(at, &entry.to_be_bytes())?;
                if let Some(place) = self.l1.get_mut(*index as usize) {
                    *place = entry;
                }
                self.geometry.file_size =
                    self.geometry.file_size.max(table.host + self.geometry.cluster_size());
            } else if table.changed.start < table.changed.end {
                let words = table.words.get(table.changed.clone()).unwrap_or_default();
                storage
                    .write_all_at(table.host + table.changed.start as u64 * ENTRY_SIZE, &big_endian(words))?;
            } else {
                continue;
            }
            any = true;
        }
        self.l2.clear();
        Ok(any)
    }
}

pub(super) fn big_endian(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
