//! The check of an image's structure: every entry in its place, no cluster used twice, none lost.

use crate::error::QedError;
use crate::layout::ENTRY_LEN;
use crate::parse::{Cluster, Geometry};
use crate::table::{load_header, table_at};
use format_core::{CheckReport, Claims, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<CheckReport> {
    let (image, _) = load_header(storage.as_ref()).map_err(|e| e.context("load header"))?;
    let geometry = image.geometry;
    let mut report = CheckReport {
        total_chunks: geometry.image_size.div_ceil(geometry.cluster_size),
        image_end: geometry.header_end.max(geometry.l1_table_offset + geometry.table_len),
        ..CheckReport::default()
    };
    if image.needs_check {
        report.note("the image was not closed: the newest writes may be missing", None);
    }
    let mut claims = Claims::new(geometry.cluster_size);
    claims.claim(0, geometry.header_end)?;
    claims.claim(geometry.l1_table_offset, geometry.table_len)?;
    let mut check = Check { storage: storage.as_ref(), geometry, claims, report, last: None };
    check.l1_table()?;
    check.leaks();
    Ok(check.report)
}

struct Check<'a> {
    storage: &'a dyn Storage,
    geometry: Geometry,
    claims: Claims,
    report: CheckReport,
    /// Where the last data cluster lies.
    last: Option<u64>,
}

impl Check<'_> {
    fn l1_table(&mut self) -> Result<()> {
        let geometry = self.geometry;
        let storage = self.storage;
        table_at(geometry.l1_table_offset, geometry.table_len).for_entries(storage, |index, entry| {
            let at = geometry.l1_table_offset + index * ENTRY_LEN;
            let table = match geometry.l2_table(entry) {
                Ok(Some(table)) => table,
                Ok(None) => return Ok(()),
                Err(place) => {
                    self.report.error(QedError::L1Entry { index, at, place }.to_string(), Some(at));
                    return Ok(());
                }
            };
            if self.claim(table, geometry.table_len, || format!("the L2 table of L1 entry {index}"))? {
                self.l2_table(table)?;
            }
            Ok(())
        })
    }

    fn l2_table(&mut self, table: u64) -> Result<()> {
        let geometry = self.geometry;
        table_at(table, geometry.table_len).for_entries(self.storage, |index, entry| {
            let at = table + index * ENTRY_LEN;
            match geometry.cluster(entry) {
                Ok(Cluster::Unallocated | Cluster::Zero) => {}
                Ok(Cluster::Data(host)) => {
                    self.report.allocated_chunks += 1;
                    let follows = self.last.is_none_or(|last| last + geometry.cluster_size == host);
                    self.report.fragmented_chunks += u64::from(!follows);
                    self.last = Some(host);
                    self.claim(host, geometry.cluster_size, || {
                        format!("the cluster of L2 entry {index} of the table at {table:#x}")
                    })?;
                }
                Err(place) => {
                    self.report.error(QedError::L2Entry { index, table, at, place }.to_string(), Some(at));
                }
            }
            Ok(())
        })
    }

    /// Claims clusters that were found to lie in the file; whether all of them were free.
    fn claim(&mut self, offset: u64, len: u64, what: impl FnOnce() -> String) -> Result<bool> {
        self.report.image_end = self.report.image_end.max(offset + len);
        let again = self.claims.claim(offset, len)?;
        if again > 0 {
            let text = format!("{} at {offset:#x} is used by something else, too", what());
            self.report.error(text, Some(offset));
        }
        Ok(again == 0)
    }

    /// Clusters that nothing claimed.
    fn leaks(&mut self) {
        let cluster_size = self.geometry.cluster_size;
        let total = self.geometry.file_size / cluster_size;
        let lost = total.saturating_sub(self.claims.count());
        // Not farther than as many clusters as are claimed.
        let first = (0..total).map(|cluster| cluster * cluster_size).find(|at| !self.claims.contains(*at));
        if let Some(first) = first {
            let text = format!("{lost} clusters of {cluster_size:#x} bytes are used by nothing");
            self.report.leak(text, first, lost.saturating_mul(cluster_size));
            self.report.leaks = lost;
        }
    }
}
