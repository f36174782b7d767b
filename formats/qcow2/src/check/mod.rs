//! The check of an image's structure: which clusters are used, and whether the reference counts say so.
//!
//! Counted as QEMU counts: a count that is too low is an error, one that is too high a leak.

mod counts;
pub(crate) mod refcounts;
mod tables;

use crate::crypto::HeaderPlace;
use crate::layout::*;
use crate::open::{data_file, load_header};
use crate::parse::Header;
use crate::{bitmaps, snapshots};
use counts::{Counts, PAGE, Use, limit};
use format_core::{CheckReport, DenyAll, Error, ErrorKind, LayerContext, Result, Severity, Storage};
use refcounts::{Refcounts, is_hole};
use std::sync::Arc;
use tables::L2Tables;

/// Entries of L1 and bitmap tables, those of all snapshots together.
const MAX_ENTRIES: u64 = 64 << 20;
/// Leaks that are remembered, 16 bytes each. Those beyond stay what they are.
const MAX_LEAKS: usize = 4 << 20;
/// Findings in words: more than a report keeps.
const MAX_WORDS: usize = 100;

struct Check<'a> {
    storage: &'a dyn Storage,
    header: &'a Header,
    refcounts: Refcounts<'a>,
    counts: Counts,
    report: CheckReport,
    entries_read: u64,
    leaks: Vec<Leak>,
}

/// A cluster whose count is too high.
pub(crate) struct Leak {
    pub cluster: u64,
    /// How often it is used.
    pub used: u64,
}

/// The leaks of an image that is going to be changed in place.
///
/// # Errors
/// `Corrupt` when anything else is wrong: a change would make it worse.
pub(crate) fn check_for_update(storage: &Arc<dyn Storage>) -> Result<Vec<Leak>> {
    let (report, leaks) = run(storage, &LayerContext::new(Arc::new(DenyAll)))?;
    if report.errors == 0 {
        return Ok(leaks);
    }
    let first = report.findings.iter().find(|finding| finding.severity == Severity::Error);
    let first = first.map(|finding| finding.message.as_str()).unwrap_or_default();
    let text = format!("the image has {} errors in its structure, the first: {first}", report.errors);
    Err(Error::new(ErrorKind::Corrupt, text).hint("convert it anew, with --force and without --sync"))
}

pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    run(&storage, context).map(|(report, _)| report).map_err(|e| e.in_format(crate::FORMAT.name))
}

fn run(storage: &Arc<dyn Storage>, context: &LayerContext) -> Result<(CheckReport, Vec<Leak>)> {
    let mut header = load_header(storage.as_ref())?;
    let mut geometry = header.geometry;
    data_file(storage, &header, &mut geometry, context)?;
    header.geometry = geometry;
    let mut check = Check {
        storage: storage.as_ref(),
        header: &header,
        refcounts: Refcounts::load(storage.as_ref(), &header)?,
        counts: Counts::default(),
        report: CheckReport::default(),
        entries_read: 0,
        leaks: Vec::new(),
    };
    check.report.total_chunks = geometry.virtual_size.div_ceil(geometry.cluster_size());
    check.notes();
    check.refcount_structures()?;
    check.used(0, geometry.cluster_size(), Use::Alone, 1, "the header")?;
    let mut tables = L2Tables::default();
    check.l1(&mut tables, header.l1.offset, header.l1.entries, true)?;
    check.snapshots(&mut tables)?;
    check.l2_tables(&tables)?;
    check.crypto_header()?;
    check.bitmaps()?;
    check.compare()?;
    Ok((check.report, check.leaks))
}

impl Check<'_> {
    fn notes(&mut self) {
        let incompatible = self.header.v3.incompatible_features;
        if incompatible & INCOMPAT_DIRTY != 0 {
            self.report
                .note("the image was not closed properly (dirty bit): reference counts may be stale", None);
        }
        if incompatible & INCOMPAT_CORRUPT != 0 {
            self.report.note("QEMU marked the image as corrupt", None);
        }
    }

    /// Adds an error. Of very many, which no report keeps, the words are not made.
    fn error(&mut self, text: impl FnOnce() -> String, at: u64) {
        let text = if self.report.findings.len() < MAX_WORDS { text() } else { String::new() };
        self.report.error(text, Some(at));
    }

    /// Counts the clusters that `len` bytes touch.
    fn used(&mut self, offset: u64, len: u64, kind: Use, times: u64, what: &str) -> Result<()> {
        let bits = self.header.geometry.cluster_bits;
        let end = offset.saturating_add(len).div_ceil(1 << bits);
        let mut overlap = None;
        for cluster in offset >> bits..end {
            if self.counts.add(cluster, kind, times)? {
                overlap = overlap.or(Some(cluster << bits));
            }
        }
        if let Some(at) = overlap {
            self.error(
                || format!("{what} at {offset:#x} overlaps another use of the cluster at {at:#x}"),
                at,
            );
        }
        Ok(())
    }

    /// Bounds the work on tables of which many may share a place.
    fn charge(&mut self, entries: u64) -> Result<()> {
        self.entries_read = self.entries_read.saturating_add(entries);
        if self.entries_read > MAX_ENTRIES {
            return Err(limit("the tables are too large to be checked"));
        }
        Ok(())
    }

    /// Counts a structure that is alone in its clusters; tells whether it lies in the file.
    fn in_file(&mut self, offset: u64, len: u64, what: &str) -> Result<bool> {
        let (file_size, cluster_size) = (self.header.geometry.file_size, self.header.geometry.cluster_size());
        if !offset.is_multiple_of(cluster_size) {
            let text =
                format!("{what} at {offset:#x} is at no multiple of the cluster size {cluster_size:#x}");
            self.report.error(text, Some(offset));
            return Ok(false);
        }
        if offset.checked_add(len).is_none_or(|end| end > file_size) {
            let text = format!(
                "{what} of {len:#x} bytes at {offset:#x} leaves the file, which ends at {file_size:#x}"
            );
            self.report.error(text, Some(offset));
            return Ok(false);
        }
        self.used(offset, len, Use::Alone, 1, what)?;
        Ok(true)
    }

    fn refcount_structures(&mut self) -> Result<()> {
        let geometry = self.header.geometry;
        let (offset, clusters) =
            (self.header.v2.refcount_table_offset, self.header.v2.refcount_table_clusters);
        self.used(offset, u64::from(clusters) << geometry.cluster_bits, Use::Alone, 1, "the refcount table")?;
        for index in 0..self.refcounts.table.len() {
            let block = self.refcounts.table.get(index).copied().unwrap_or(0);
            if block == 0 {
                continue;
            }
            let before = self.report.errors;
            let inside = self.in_file(block, geometry.cluster_size(), &format!("refcount block {index}"))?;
            // What is used twice would be read twice, and is wrong once at least. A hole holds zeros as no block does.
            let skipped = !inside
                || self.report.errors > before
                || is_hole(self.storage, block, geometry.cluster_size())?;
            if skipped && let Some(entry) = self.refcounts.table.get_mut(index) {
                *entry = 0;
            }
        }
        Ok(())
    }

    fn snapshots(&mut self, tables: &mut L2Tables) -> Result<()> {
        let offset = self.header.v2.snapshots_offset;
        let table = match snapshots::load(self.storage, self.header) {
            Ok(table) => table,
            Err(error) => {
                self.report.error(format!("the snapshot table: {error}"), Some(offset));
                return Ok(());
            }
        };
        if table.len > 0 {
            self.in_file(offset, table.len, "the snapshot table")?;
        }
        for snapshot in &table.snapshots {
            self.l1(tables, snapshot.l1_table_offset, snapshot.l1_size.into(), false)?;
        }
        Ok(())
    }

    fn crypto_header(&mut self) -> Result<()> {
        if let Some(HeaderPlace { offset, len }) = self.header.extensions.crypto {
            self.in_file(offset, len, "the encryption header")?;
        }
        Ok(())
    }

    fn bitmaps(&mut self) -> Result<()> {
        let bitmaps = match bitmaps::load(self.storage, self.header) {
            Ok(bitmaps) => bitmaps,
            Err(error) => {
                self.report.error(error.to_string(), None);
                return Ok(());
            }
        };
        if let (Some(place), false) = (self.header.extensions.bitmaps, bitmaps.is_empty()) {
            self.in_file(place.directory_offset, place.directory_size, "the bitmap directory")?;
        }
        let cluster_size = self.header.geometry.cluster_size();
        for bitmap in &bitmaps {
            let (offset, count) = (bitmap.table_offset, u64::from(bitmap.table_entries));
            self.charge(count)?;
            if count == 0 || !self.in_file(offset, count * ENTRY_SIZE, "a bitmap table")? {
                continue;
            }
            self.entries(offset, count, |check, _, entry| {
                if entry & OFFSET_MASK != 0 {
                    check.in_file(entry & OFFSET_MASK, cluster_size, "a bitmap's cluster")?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The counts that were found against those that the file keeps: first where it keeps some, then the rest.
    fn compare(&mut self) -> Result<()> {
        let geometry = self.header.geometry;
        let clusters = geometry.file_size.div_ceil(geometry.cluster_size());
        let per_block = self.refcounts.per_block();
        let step = per_block.min(PAGE);
        for block in 0..self.refcounts.table.len() as u64 {
            if !self.refcounts.has_block(block) {
                continue;
            }
            let start = block.saturating_mul(per_block);
            let mut first = start;
            while first < clusters.min(start.saturating_add(per_block)) {
                let len = step.min(clusters - first);
                let kept = self.refcounts.piece(first, len)?;
                self.compare_piece(first, len, kept.as_deref());
                first += len;
            }
        }
        for page in self.counts.pages() {
            for first in (page * PAGE..page * PAGE + PAGE).step_by(step as usize) {
                if !self.refcounts.has_block(first / per_block) {
                    self.compare_piece(first, step.min(clusters.saturating_sub(first)), None);
                }
            }
        }
        Ok(())
    }

    /// `kept` is `None` where the file keeps only zeros.
    fn compare_piece(&mut self, first: u64, clusters: u64, kept: Option<&[u64]>) {
        let geometry = self.header.geometry;
        for index in 0..clusters {
            let kept = kept.and_then(|kept| kept.get(index as usize)).copied().unwrap_or(0);
            let used = self.counts.get(first + index);
            let at = (first + index) << geometry.cluster_bits;
            if kept > 0 || used > 0 {
                self.report.image_end = self.report.image_end.max(at.saturating_add(geometry.cluster_size()));
            }
            let text =
                || format!("the cluster at {at:#x} has the reference count {kept}, it is used {used} times");
            if kept < used {
                self.error(text, at);
            } else if kept > used {
                if self.leaks.len() < MAX_LEAKS {
                    self.leaks.push(Leak { cluster: first + index, used });
                }
                let text = if self.report.findings.len() < MAX_WORDS { text() } else { String::new() };
                self.report.leak(text, at, geometry.cluster_size());
            }
        }
    }
}
