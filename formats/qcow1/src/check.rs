//! The check of an image's structure: every entry in its place, nothing used twice, no cluster lost.

use crate::error::QcowError;
use crate::layout::{ENTRY_LEN, HEADER_LEN};
use crate::parse::{Cluster, Geometry};
use crate::table::{load_header, table_at};
use format_core::units::SECTOR;
use format_core::{CheckReport, Claims, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<CheckReport> {
    let (image, _) = load_header(storage.as_ref()).map_err(|e| e.context("load header"))?;
    let geometry = image.geometry;
    let total_chunks = geometry.size.div_ceil(geometry.cluster_size());
    let mut check = Check {
        storage: storage.as_ref(),
        geometry,
        owned: Claims::new(SECTOR),
        touched: Claims::new(geometry.cluster_size()),
        report: CheckReport { total_chunks, ..CheckReport::default() },
        last_end: None,
    };
    // The header, the name and the L1 table may share a sector.
    check.touch(0, HEADER_LEN as u64)?;
    check.owned.claim(0, HEADER_LEN as u64)?;
    if let Some((offset, len)) = image.backing_name {
        check.touch(offset, len.into())?;
        check.owned.claim(offset, len.into())?;
    }
    // QEMU fills the last sector of the L1 table, counted from its start.
    let left = geometry.file_size - geometry.l1_table_offset;
    check.touch(geometry.l1_table_offset, geometry.l1_len().next_multiple_of(SECTOR).min(left))?;
    check.owned.claim(geometry.l1_table_offset, geometry.l1_len())?;
    check.l1_table()?;
    check.leaks();
    Ok(check.report)
}

struct Check<'a> {
    storage: &'a dyn Storage,
    geometry: Geometry,
    /// Sectors with an owner. Compressed clusters share the sectors at their ends.
    owned: Claims,
    /// Clusters of the file in which anything lies.
    touched: Claims,
    report: CheckReport,
    /// Where the last data ends.
    last_end: Option<u64>,
}

impl Check<'_> {
    fn l1_table(&mut self) -> Result<()> {
        let (geometry, storage) = (self.geometry, self.storage);
        table_at(geometry.l1_table_offset, geometry.l1_len()).for_entries(storage, |index, entry| {
            let at = geometry.l1_table_offset + index * ENTRY_LEN;
            match geometry.l2_table(entry) {
                Ok(Some(table)) => {
                    let what = || format!("the L2 table of L1 entry {index}");
                    if self.own(table, geometry.l2_len(), what)? {
                        self.l2_table(table, index * geometry.l2_coverage())?;
                    }
                }
                Ok(None) => {}
                Err(place) => {
                    self.report.error(QcowError::L1Entry { index, at, place }.to_string(), Some(at));
                }
            }
            Ok(())
        })
    }

    /// The table for the guest's clusters from `guest`.
    fn l2_table(&mut self, table: u64, guest: u64) -> Result<()> {
        let geometry = self.geometry;
        table_at(table, geometry.l2_len()).for_entries(self.storage, |index, entry| {
            let at = table + index * ENTRY_LEN;
            let what = || format!("the cluster of L2 entry {index} of the table at {table:#x}");
            let guest = guest.saturating_add(index * geometry.cluster_size());
            match geometry.cluster(entry, guest) {
                Ok(Cluster::Unallocated) => {}
                Ok(Cluster::Data(host)) => {
                    // The last one may be shorter.
                    let len = geometry.cluster_size().min(geometry.file_size - host);
                    self.count(host, len, false);
                    self.own(host, len, what)?;
                }
                Ok(Cluster::Compressed { offset, len }) => {
                    self.count(offset, len, true);
                    let (start, end) = (offset.next_multiple_of(SECTOR), (offset + len) / SECTOR * SECTOR);
                    self.touch(offset, len)?;
                    self.own(start, end.saturating_sub(start), what)?;
                }
                Err(place) => {
                    let error = QcowError::L2Entry { index, table, at, place };
                    self.report.error(error.to_string(), Some(at));
                }
            }
            Ok(())
        })
    }

    fn count(&mut self, host: u64, len: u64, compressed: bool) {
        self.report.allocated_chunks += 1;
        self.report.compressed_chunks += u64::from(compressed);
        self.report.fragmented_chunks += u64::from(self.last_end.is_some_and(|end| end != host));
        self.last_end = Some(host + len);
    }

    /// Marks bytes that were found to lie in the file.
    fn touch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.report.image_end = self.report.image_end.max(offset + len);
        self.touched.claim(offset, len).map(|_| ())
    }

    /// Marks bytes that have one owner; whether they had none yet.
    fn own(&mut self, offset: u64, len: u64, what: impl FnOnce() -> String) -> Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        self.touch(offset, len)?;
        let again = self.owned.claim(offset, len)?;
        if again > 0 {
            let text = format!("{} at {offset:#x} is used by something else, too", what());
            self.report.error(text, Some(offset));
        }
        Ok(again == 0)
    }

    /// Whole clusters of the file in which nothing lies.
    fn leaks(&mut self) {
        let cluster_size = self.geometry.cluster_size();
        let total = self.geometry.file_size / cluster_size;
        // A cluster that the file holds only in part may be touched, too.
        let partial = u64::from(
            !self.geometry.file_size.is_multiple_of(cluster_size)
                && self.touched.contains(total * cluster_size),
        );
        let lost = total.saturating_sub(self.touched.count() - partial);
        // Not farther than as many clusters as are touched.
        let first = (0..total).map(|cluster| cluster * cluster_size).find(|at| !self.touched.contains(*at));
        if let Some(first) = first {
            let text = format!("{lost} clusters of {cluster_size:#x} bytes are used by nothing");
            self.report.leak(text, first, lost.saturating_mul(cluster_size));
            self.report.leaks = lost;
        }
    }
}
