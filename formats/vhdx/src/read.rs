//! A VHDX image as a layer.

use crate::error::VhdxError;
use crate::layout::{
    HEADER_LEN, HEADER_OFFSETS, HEADER_SECTION, METADATA_TABLE_LEN, PARENT_LOCATOR, REGION_TABLE_LEN,
    REGION_TABLE_OFFSETS,
};
use crate::parse::{
    Facts, Headers, Items, LogState, MAX_LOG, Parameters, ParentLocator, Region, Regions, parse_headers,
    parse_locator, parse_log, parse_metadata_table, parse_parameters, parse_region_table,
};
use crate::replay::Replayed;
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
    let headers = load_headers(storage.as_ref()).map_err(|e| e.context("load headers"))?;
    let mut warnings = Vec::new();
    let (storage, is_replayed) =
        replay_log(storage, &headers, &mut warnings).map_err(|e| e.context("replay log"))?;
    let log = (!headers.log_guid.is_nil())
        .then_some(Region { offset: headers.log_offset, length: headers.log_length });
    let regions = load_regions(storage.as_ref(), log, &mut warnings)?;
    let items = load_items(storage.as_ref(), &regions).map_err(|e| e.context("load metadata"))?;
    let load = |id| load_item(storage.as_ref(), &regions, &items, id);
    let facts = parse_parameters(load).map_err(|e| e.context("load metadata"))?;
    let parameters = facts.parameters;
    let (needed, length) = (parameters.bat_len(), regions.bat.length);
    if needed > length {
        return Err(VhdxError::BatTooSmall { needed, length }.into());
    }
    let parent = if parameters.has_parent {
        let bytes = load(PARENT_LOCATOR)?.ok_or(VhdxError::ItemMissing { name: "parent locator" })?;
        Some(parent_ref(parse_locator(&bytes)?, context.gate.as_ref()))
    } else {
        None
    };
    let header_section = Region { offset: 0, length: HEADER_SECTION };
    let used = [header_section, regions.bat, regions.metadata].into_iter().chain(log).collect();
    let bat = Bat { parameters, region: regions.bat, used, file_size: storage.size() };
    let identity = headers.data_write_guid.to_string();
    let pages = PageCache::default();
    Ok(Box::new(VhdxLayer { storage, bat, pages, facts, is_replayed, identity, parent, warnings }))
}

fn load_headers(storage: &dyn Storage) -> Result<Headers> {
    let size = storage.size();
    if size < HEADER_SECTION {
        return Err(VhdxError::TooShort { size }.into());
    }
    let mut identifier = [0; 8];
    storage.read_exact_at(0, &mut identifier)?;
    let [mut first, mut second] = [[0; HEADER_LEN]; 2];
    let [first_at, second_at] = HEADER_OFFSETS;
    storage.read_exact_at(first_at, &mut first)?;
    storage.read_exact_at(second_at, &mut second)?;
    Ok(parse_headers(identifier, &first, &second, size)?)
}

/// The file behind its log, and whether there was anything to replay.
fn replay_log(
    storage: Arc<dyn Storage>,
    headers: &Headers,
    warnings: &mut Vec<Warning>,
) -> Result<(Arc<dyn Storage>, bool)> {
    if headers.log_guid.is_nil() {
        return Ok((storage, false));
    }
    let length = headers.log_length;
    if length > MAX_LOG {
        return Err(VhdxError::LogTooLarge { length, max: MAX_LOG }.into());
    }
    let mut log = vec![0; length as usize];
    storage.read_exact_at(headers.log_offset, &mut log)?;
    let replay = match parse_log(&log, headers.log_guid)? {
        LogState::Empty => {
            warnings.push(Warning::new(
                "vhdx-log-empty",
                "the image was not closed, but its log holds no writes that were under way",
            ));
            return Ok((storage, false));
        }
        LogState::Replay(replay) => replay,
    };
    let (flushed, size) = (replay.flushed_file_offset, storage.size());
    if size < flushed {
        return Err(VhdxError::CutOff { flushed, size }.into());
    }
    let (entries, changes) = (replay.entries, replay.changes.len());
    warnings.push(Warning::new(
        "vhdx-log-replayed",
        format!("the image was not closed: {entries} log entries with {changes} changes were replayed in memory, the file is as it was"),
    ));
    Ok((Arc::new(Replayed::new(storage, replay.changes, replay.last_file_offset)), true))
}

/// The first copy of the region table that is whole.
fn load_regions(storage: &dyn Storage, log: Option<Region>, warnings: &mut Vec<Warning>) -> Result<Regions> {
    for (copy, at) in REGION_TABLE_OFFSETS.into_iter().enumerate() {
        let mut bytes = vec![0; REGION_TABLE_LEN];
        storage.read_exact_at(at, &mut bytes)?;
        let found = parse_region_table(&bytes, log, storage.size()).map_err(|e| Error::from(e).at(at))?;
        if let Some(regions) = found {
            if copy > 0 {
                warnings.push(Warning::new(
                    "vhdx-region-table-damaged",
                    "the first copy of the region table is damaged, the second was taken",
                ));
            }
            return Ok(regions);
        }
    }
    Err(VhdxError::NoRegionTable.into())
}

fn load_items(storage: &dyn Storage, regions: &Regions) -> Result<Items> {
    let mut bytes = vec![0; METADATA_TABLE_LEN];
    let Region { offset, length } = regions.metadata;
    storage.read_exact_at(offset, &mut bytes)?;
    parse_metadata_table(&bytes, length).map_err(|e| Error::from(e).at(offset))
}

/// Reads a metadata item; its place was checked to be in the region and at most 1 MiB long.
fn load_item(storage: &dyn Storage, regions: &Regions, items: &Items, id: Uuid) -> Result<Option<Vec<u8>>> {
    let Some(place) = items.find(id) else { return Ok(None) };
    let mut bytes = vec![0; place.length as usize];
    storage.read_exact_at(regions.metadata.offset.saturating_add(place.offset.into()), &mut bytes)?;
    Ok(Some(bytes))
}

/// A parent has one identity but a child may name two (while a merge is under way either can be right), so with
/// two the parent's own header decides. Whether it is the right file is checked by the chain in any case.
fn parent_ref(locator: ParentLocator, gate: &dyn Gate) -> ParentRef {
    let ParentLocator { linkages, names } = locator;
    let found = match linkages.as_slice() {
        [_] => None,
        _ => names.iter().find_map(|name| gate.open(name).ok()),
    };
    let actual = found.and_then(|parent| load_headers(&parent.storage).ok()).map(|h| h.data_write_guid);
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
