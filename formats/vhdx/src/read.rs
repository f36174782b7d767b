//! A VHDX image as a layer.

use crate::load::{Loaded, load, load_headers};
use crate::parse::{Facts, Parameters, ParentLocator};
use crate::table::{Bat, Block, entry_at};
use format_core::{
    Details, Error, Extent, ExtentKind, Gate, HostRange, Layer, LayerContext, Page, PageCache, ParentRef,
    Result, Run, Storage, Warning, bit_run_lsb, check_guest_range, read_runs,
};
use std::sync::Arc;
use uuid::Uuid;

/// Keys of [`Layer::details`] that a child asks its parent for.
pub(crate) const LOGICAL_SECTOR_KEY: &str = "logical-sector-size";
pub(crate) const DISK_ID_KEY: &str = "virtual-disk-id";

struct VhdxLayer {
    /// The file as it is after its log was replayed.
    storage: Arc<dyn Storage>,
    bat: Bat,
    pages: PageCache,
    facts: Facts,
    is_replayed: bool,
    identity: String,
    parent: Option<ParentRef>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let loaded = load(storage, context.access.ignore_checksums)?;
    let Loaded { storage, headers, is_replayed, facts, bat, locator, warnings, .. } = loaded;
    let parent = locator.map(|locator| parent_ref(locator, context.gate.as_ref()));
    let identity = headers.data_write_guid.to_string();
    let pages = PageCache::default();
    Ok(Box::new(VhdxLayer { storage, bat, pages, facts, is_replayed, identity, parent, warnings }))
}

/// A parent has one identity but a child may name two (while a merge is under way either can be right), so with
/// two the parent's own header decides. Whether it is the right file is checked by the chain in any case.
fn parent_ref(locator: ParentLocator, gate: &dyn Gate) -> ParentRef {
    let ParentLocator { linkages, names } = locator;
    let found = match linkages.as_slice() {
        [_] => None,
        _ => names.iter().find_map(|name| gate.open(name).ok()),
    };
    let actual =
        found.and_then(|parent| load_headers(&parent.storage, false).ok()).map(|h| h.data_write_guid);
    let wanted = linkages.iter().find(|guid| Some(**guid) == actual).or(linkages.first());
    ParentRef { names, format: Some(crate::FORMAT.name.into()), identity: wanted.map(Uuid::to_string) }
}

impl VhdxLayer {
    fn parameters(&self) -> &Parameters {
        &self.bat.parameters
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.parameters().virtual_size;
        check_guest_range(size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }

    /// The page of a table at file offset `at`: regions and bitmap blocks are whole MiB inside the file.
    fn page(&self, at: u64) -> Result<Page> {
        self.pages.page(self.storage.as_ref(), at, PageCache::MAX_PAGE)
    }

    /// The run at `offset`, which is inside the disk; it ends with the BAT page at the latest, and no later than the
    /// first block boundary after `enough` bytes. With `in_one_piece` a Data run is also one run of the file.
    fn run_at(&self, offset: u64, enough: u64, in_one_piece: bool) -> Result<Run> {
        let block_size = self.parameters().block_size;
        let (block, inside) = (offset / block_size, offset % block_size);
        let (page_at, mut place) = self.bat.page_of(self.bat.index(block));
        let page = self.page(page_at)?;
        let failed = |e| Error::from(e).at(page_at + place as u64);
        let first = self.bat.payload(block, entry_at(&page, place).unwrap_or(0)).map_err(failed)?;
        let (kind, host) = match first {
            Block::NotPresent => (ExtentKind::Unallocated, 0),
            Block::Zero => (ExtentKind::Zero, 0),
            Block::Full(host) => (ExtentKind::Data, host),
            Block::Partial(host) => return self.partial_run(block, inside, host),
        };
        let mut len = self.bat.block_len(block) - inside;
        let mut next = block + 1;
        while len < enough && next < self.parameters().blocks() {
            // A bitmap entry stands between the last block of a chunk and the next.
            let step = self.bat.index(next) - self.bat.index(next - 1);
            place += step as usize * 8;
            // A damaged entry further on is reported when it is asked for itself.
            let Some(Ok(found)) = entry_at(&page, place).map(|entry| self.bat.payload(next, entry)) else {
                break;
            };
            let expected = match found {
                Block::Full(at) if in_one_piece && at != host + inside + len => break,
                Block::Full(_) => ExtentKind::Data,
                Block::Zero => ExtentKind::Zero,
                Block::NotPresent => ExtentKind::Unallocated,
                Block::Partial(_) => break,
            };
            if expected != kind {
                break;
            }
            len += self.bat.block_len(next);
            next += 1;
        }
        Ok(Run { kind, len, host: host + inside })
    }

    /// The run of sectors at `inside` of a partially present block that are all here or all the parent's.
    fn partial_run(&self, block: u64, inside: u64, host: u64) -> Result<Run> {
        let (page_at, place) = self.bat.page_of(self.bat.bitmap_index(block));
        let page = self.page(page_at)?;
        let entry = entry_at(&page, place).unwrap_or(0);
        let failed = |e| Error::from(e).at(page_at + place as u64);
        let (bitmap_at, start) = self.bat.bitmap(block, entry).map_err(failed)?;
        let bitmap = self.page(bitmap_at)?;
        let sector = self.parameters().logical_sector_size;
        let (first, end) = (inside / sector, self.bat.block_len(block) / sector);
        // A block has at most 2^19 sectors.
        let (present, bits) =
            bit_run_lsb(bitmap.get(start..).unwrap_or_default(), first as usize, end as usize);
        let kind = if present { ExtentKind::Data } else { ExtentKind::Unallocated };
        let len = (first + bits as u64) * sector - inside;
        Ok(Run { kind, len, host: host + inside })
    }
}

impl Layer for VhdxLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.parameters().virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.parameters().block_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.run_at(offset, u64::MAX, false)?;
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let end = offset + buf.len() as u64;
        read_runs(self.storage.as_ref(), offset, buf, |at| self.run_at(at, end.saturating_sub(at), true))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.run_at(offset, u64::MAX, true).ok()?;
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        let Facts { parameters, is_fixed, physical_sector_size, virtual_disk_id } = self.facts;
        let subformat = match (parameters.has_parent, is_fixed) {
            (true, _) => "differencing",
            (false, true) => "fixed",
            (false, false) => "dynamic",
        };
        let mut details = Details::from_iter([
            ("subformat".into(), subformat.into()),
            ("block-size".into(), parameters.block_size.into()),
            (LOGICAL_SECTOR_KEY.into(), parameters.logical_sector_size.into()),
            ("physical-sector-size".into(), physical_sector_size.into()),
            (DISK_ID_KEY.into(), virtual_disk_id.to_string().into()),
            ("data-write-guid".into(), self.identity.clone().into()),
            ("log-replayed".into(), self.is_replayed.into()),
        ]);
        if let Some(linkage) = self.parent.as_ref().and_then(|parent| parent.identity.clone()) {
            details.insert("parent-linkage".into(), linkage.into());
        }
        details
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn identity(&self) -> Option<&str> {
        Some(&self.identity)
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
