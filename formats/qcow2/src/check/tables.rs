//! The walk over L1 and L2 tables. A table that snapshots share is read once.

use super::Check;
use super::counts::{Use, limit};
use super::refcounts::is_hole;
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::read::read_words;
use crate::table::Unit;
use format_core::Result;
use std::collections::BTreeMap;

/// Entries of a table that are read together.
const BATCH: u64 = 64 << 10;
/// Distinct L2 tables: as many as the largest L1 table names.
const MAX_L2_TABLES: usize = 4 << 20;

/// How many L1 entries name an L2 table.
#[derive(Clone, Copy, Debug, Default)]
struct References {
    all: u64,
    /// Of these, such of the current state.
    active: u64,
}

/// The L2 tables of an image by their host offset.
#[derive(Default)]
pub(super) struct L2Tables {
    tables: BTreeMap<u64, References>,
}

impl Check<'_> {
    /// Reads a table of the file in batches; the caller checked that it lies in the file.
    pub(super) fn entries(
        &mut self,
        offset: u64,
        count: u64,
        mut each: impl FnMut(&mut Self, u64, u64) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < count {
            let batch = BATCH.min(count - done);
            let at = offset.saturating_add(done * ENTRY_SIZE);
            if !is_hole(self.storage, at, batch * ENTRY_SIZE)? {
                for (index, entry) in (done..).zip(read_words(self.storage, at, batch as usize)?) {
                    each(self, index, entry)?;
                }
            }
            done += batch;
        }
        Ok(())
    }

    /// Counts an L1 table, and notes the L2 tables that it names.
    pub(super) fn l1(&mut self, found: &mut L2Tables, offset: u64, count: u64, active: bool) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.charge(count)?;
        if !self.in_file(offset, count * ENTRY_SIZE, "the L1 table")? {
            return Ok(());
        }
        self.entries(offset, count, |check, index, entry| {
            if entry == 0 {
                return Ok(());
            }
            let at = offset.saturating_add(index * ENTRY_SIZE);
            match check.header.geometry.l2_table(entry) {
                Ok(None) => Ok(()),
                Ok(Some(table)) => check.l2_reference(found, L1Reference { entry, table, index, at }, active),
                Err(fault) => {
                    let error = Qcow2Error::L1Entry { index, entry, at, fault };
                    check.error(|| error.to_string(), at);
                    Ok(())
                }
            }
        })
    }

    fn l2_reference(&mut self, found: &mut L2Tables, place: L1Reference, active: bool) -> Result<()> {
        let L1Reference { entry, table, index, at } = place;
        if found.tables.len() >= MAX_L2_TABLES && !found.tables.contains_key(&table) {
            return Err(limit("the image has too many L2 tables to be checked"));
        }
        let references = found.tables.entry(table).or_default();
        references.all += 1;
        references.active += u64::from(active);
        self.used(table, self.header.geometry.cluster_size(), Use::L2, 1, "an L2 table")?;
        if active {
            self.copied(table, entry, || format!("L1 entry {index}"), at)?;
        }
        Ok(())
    }

    /// The flag "copied" says that the reference count is one.
    fn copied(&mut self, host: u64, entry: u64, what: impl Fn() -> String, at: u64) -> Result<()> {
        let refcount = self.refcounts.get(host >> self.header.geometry.cluster_bits)?;
        if (refcount == 1) != (entry & COPIED != 0) {
            let flag = u8::from(entry & COPIED != 0);
            let text = || {
                let what = what();
                format!("{what} is {entry:#x}: its copied flag is {flag}, the reference count is {refcount}")
            };
            self.error(text, at);
        }
        Ok(())
    }

    /// Counts what all L2 tables name.
    pub(super) fn l2_tables(&mut self, found: &L2Tables) -> Result<()> {
        for (&table, references) in &found.tables {
            if !is_hole(self.storage, table, self.header.geometry.cluster_size())? {
                self.l2(table, *references)?;
            }
        }
        Ok(())
    }

    fn l2(&mut self, table: u64, references: References) -> Result<()> {
        let geometry = self.header.geometry;
        let words = read_words(self.storage, table, geometry.table_words())?;
        let units = geometry.units_per_cluster();
        let mut next = None;
        for index in 0..geometry.table_coverage() >> geometry.cluster_bits {
            let entry = geometry.entry(&words, index * units);
            if entry == 0 && units == 1 {
                continue;
            }
            let unit = geometry.unit(&words, index * units);
            if let Err(fault) = unit {
                let error = Qcow2Error::L2Entry { index, table, entry, fault };
                self.error(|| error.to_string(), table.saturating_add(index * units.min(2) * ENTRY_SIZE));
            }
            if let Ok(Unit::Compressed(place)) = unit {
                self.used(place.offset, place.len, Use::Data, references.all, "a compressed cluster")?;
                self.report.allocated_chunks += references.active;
                self.report.compressed_chunks += references.active;
                self.report.fragmented_chunks += references.active;
                continue;
            }
            if entry & L2_COMPRESSED != 0 || !geometry.has_cluster(entry) {
                continue;
            }
            let host = entry & OFFSET_MASK;
            self.report.allocated_chunks += references.active;
            if next.is_some_and(|next| next != host) {
                self.report.fragmented_chunks += references.active;
            }
            next = host.checked_add(geometry.cluster_size());
            self.data_cluster(
                host,
                entry,
                references,
                || format!("L2 entry {index} of the table at {table:#x}"),
                table,
            )?;
        }
        Ok(())
    }

    fn data_cluster(
        &mut self,
        host: u64,
        entry: u64,
        references: References,
        what: impl Fn() -> String,
        at: u64,
    ) -> Result<()> {
        let geometry = self.header.geometry;
        // An external data file has no reference counts; a place outside is told once, by the entry's fault.
        if geometry.data_file_size.is_some() || host >= geometry.file_size {
            return Ok(());
        }
        self.used(host, geometry.cluster_size(), Use::Data, references.all, "a data cluster")?;
        if references.active > 0 && host.is_multiple_of(geometry.cluster_size()) {
            self.copied(host, entry, what, at)?;
        }
        Ok(())
    }
}

/// An L1 entry and where it is.
struct L1Reference {
    entry: u64,
    table: u64,
    index: u64,
    at: u64,
}
