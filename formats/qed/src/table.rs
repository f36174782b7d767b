//! The two levels of tables, read in pages.

use crate::error::QedError;
use crate::layout::{HEADER_LEN, Header};
use crate::parse::{Cluster, Geometry, Image, parse_backing_name, parse_header};
use format_core::{ExtentKind, PageCache, Result, Run, Storage, WordTable};

/// Unused L1 entries that one question looks at.
const MAX_SCAN_L1: u64 = 64;

/// Reads and checks the header; the name of the backing file where there is one.
pub(crate) fn load_header(storage: &dyn Storage) -> Result<(Image, Option<String>)> {
    let size = storage.size();
    if size < HEADER_LEN as u64 {
        return Err(QedError::TooShort { size }.into());
    }
    let mut bytes = [0; HEADER_LEN];
    storage.read_exact_at(0, &mut bytes)?;
    let image = parse_header(&Header::read(&bytes)?, size)?;
    let Some((offset, len)) = image.backing_name else { return Ok((image, None)) };
    let mut name = vec![0; len as usize];
    storage.read_exact_at(offset.into(), &mut name)?;
    let name = parse_backing_name(&name, offset)?;
    Ok((image, Some(name)))
}

pub(crate) struct Tables {
    pub(crate) geometry: Geometry,
    pages: PageCache,
}

impl Tables {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, pages: PageCache::default() }
    }

    /// The run of equal clusters from `offset`, which is inside the disk; it ends with the page of the table at the
    /// latest. Data clusters of a run follow each other in the file.
    pub(crate) fn run_at(&self, storage: &dyn Storage, offset: u64) -> Result<Run> {
        let geometry = &self.geometry;
        let (cluster_size, coverage) = (geometry.cluster_size, geometry.l2_coverage());
        let left = geometry.image_size - offset;
        let (l1_index, in_table) = (offset / coverage, offset % coverage);
        let l1 =
            table_at(geometry.l1_table_offset, geometry.table_len).entry(&self.pages, storage, l1_index)?;
        let found = geometry.l2_table(l1.value);
        let found = found.map_err(|place| QedError::L1Entry { index: l1_index, at: l1.at, place })?;
        let Some(table) = found else {
            let more = (1..MAX_SCAN_L1).take_while(|steps| l1.further(*steps) == Some(0)).count() as u64;
            let len = (coverage - in_table).saturating_add(coverage.saturating_mul(more));
            return Ok(Run { kind: ExtentKind::Unallocated, len: len.min(left), host: 0 });
        };
        let (index, inside) = (in_table / cluster_size, in_table % cluster_size);
        let l2 = table_at(table, geometry.table_len).entry(&self.pages, storage, index)?;
        let cluster = geometry.cluster(l2.value).map_err(|place| QedError::L2Entry {
            index,
            table,
            at: l2.at,
            place,
        })?;
        let mut clusters = 1;
        // A bad entry further on is reported when it is asked for itself.
        while clusters * cluster_size - inside < left
            && let Some(Ok(next)) = l2.further(clusters).map(|entry| geometry.cluster(entry))
            && follows(cluster, next, clusters * cluster_size)
        {
            clusters += 1;
        }
        let (kind, host) = match cluster {
            Cluster::Unallocated => (ExtentKind::Unallocated, 0),
            Cluster::Zero => (ExtentKind::Zero, 0),
            Cluster::Data(host) => (ExtentKind::Data, host + inside),
        };
        Ok(Run { kind, len: (clusters * cluster_size - inside).min(left), host })
    }
}

/// Whether `next` can be read together with `first`, which lies `distance` bytes before it.
fn follows(first: Cluster, next: Cluster, distance: u64) -> bool {
    match (first, next) {
        (Cluster::Data(first), Cluster::Data(next)) => first.checked_add(distance) == Some(next),
        _ => first == next,
    }
}

/// The table of `len` bytes at host offset `at`.
pub(crate) fn table_at(at: u64, len: u64) -> WordTable {
    WordTable { at, len, order: u64::from_le_bytes }
}
