//! A VHD image as a layer.

use crate::error::VhdError;
use crate::layout::{FOOTER_LEN, HEADER_LEN, OLD_FOOTER_LEN, SECTOR};
use crate::parse::{Area, DiskType, Dynamic, Found, find_footer, locators, names, parse_header};
use crate::table::{Bat, entry_at};
use format_core::{
    Details, Error, Extent, ExtentKind, HostRange, Layer, LayerContext, PageCache, ParentRef, Result, Run,
    Storage, Warning, bit_run_msb, check_guest_range, read_runs,
};
use std::sync::Arc;
use uuid::Uuid;

struct VhdLayer {
    storage: Arc<dyn Storage>,
    virtual_size: u64,
    /// `None` for a fixed disk.
    blocks: Option<Blocks>,
    identity: String,
    parent: Option<ParentRef>,
    warnings: Vec<Warning>,
    details: Details,
}

struct Blocks {
    bat: Bat,
    pages: PageCache,
    /// Only in a differencing image the bitmaps mean something.
    has_bitmaps: bool,
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let ignore = context.access.ignore_checksums;
    let found = load_footer(storage.as_ref(), ignore)?;
    let virtual_size = found.image.virtual_size;
    let identity = found.image.unique_id.to_string();
    let mut warnings = warnings(&found);
    // The footer was found inside the file.
    let end = storage.size().saturating_sub(found.tail_len);
    let (mut blocks, mut parent) = (None, None);
    if let Some(at) = found.image.disk_type.header_at() {
        let dynamic = load_header(storage.as_ref(), at, virtual_size, end, ignore)?;
        warnings.extend(dynamic.ignored.as_ref().map(checksum_ignored));
        let differs = matches!(found.image.disk_type, DiskType::Differencing(_));
        if differs {
            let loaded = load_parent(storage.as_ref(), &dynamic, end, &mut warnings);
            parent = Some(loaded.map_err(|e| e.context("load parent locators"))?);
        }
        blocks = Some(Blocks::new(&dynamic, virtual_size, end, differs));
    } else if virtual_size > end {
        return Err(VhdError::CutOff { virtual_size, available: end }.into());
    }
    let details = details(&found, blocks.as_ref(), parent.as_ref());
    Ok(Box::new(VhdLayer { storage, virtual_size, blocks, identity, parent, warnings, details }))
}

fn details(found: &Found, blocks: Option<&Blocks>, parent: Option<&ParentRef>) -> Details {
    let disk_type = match found.image.disk_type {
        DiskType::Fixed => "fixed",
        DiskType::Dynamic(_) => "dynamic",
        DiskType::Differencing(_) => "differencing",
    };
    let creator = String::from_utf8_lossy(&found.footer.creator_application);
    let size_from = if found.image.is_by_geometry { "geometry" } else { "current-size" };
    let mut details = Details::from_iter([
        ("disk-type".into(), disk_type.into()),
        ("creator".into(), creator.trim_end_matches(['\0', ' ']).into()),
        ("size-convention".into(), size_from.into()),
        ("unique-id".into(), found.image.unique_id.to_string().into()),
    ]);
    if let Some(blocks) = blocks {
        details.insert("block-size".into(), blocks.bat.block_size.into());
    }
    if let Some(parent) = parent {
        details.insert("parent-names".into(), parent.names.clone().into());
        details.insert("parent-unique-id".into(), parent.identity.clone().into());
    }
    details
}

/// Finds the footer that is to be believed.
pub(crate) fn load_footer(storage: &dyn Storage, ignore_checksums: bool) -> Result<Found> {
    let size = storage.size();
    if size < OLD_FOOTER_LEN as u64 {
        return Err(VhdError::TooShort { size }.into());
    }
    let len = size.min(FOOTER_LEN as u64) as usize;
    let (mut head, mut tail) = (vec![0; len], vec![0; len]);
    storage.read_exact_at(0, &mut head)?;
    storage.read_exact_at(size - len as u64, &mut tail)?;
    find_footer(&head, &tail, ignore_checksums).map_err(|e| Error::from(e).context("load footer"))
}

fn warnings(found: &Found) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(damage) = &found.tail_damage {
        warnings.push(Warning::new(
            "vhd-footer-damaged",
            format!("the copy at the start was taken for the footer at the end: {damage}"),
        ));
    }
    if found.copy_differs {
        warnings.push(Warning::new(
            "vhd-footer-copy-differs",
            "the copy of the footer at the start is damaged or another one, the footer at the end was taken",
        ));
    }
    if let Some(wrong) = &found.ignored {
        warnings.push(checksum_ignored(wrong));
    }
    if found.image.is_saved_state {
        warnings.push(Warning::new(
            "vhd-saved-state",
            "the machine was saved, not shut down: what it held in memory only is not on this disk",
        ));
    }
    warnings
}

fn checksum_ignored(wrong: &VhdError) -> Warning {
    Warning::new("vhd-checksum-ignored", format!("{wrong}: what it says may be wrong, and so the disk"))
}

/// The dynamic header at `offset` of a file with `end` bytes in front of its footer.
pub(crate) fn load_header(
    storage: &dyn Storage,
    offset: u64,
    virtual_size: u64,
    end: u64,
    ignore_checksums: bool,
) -> Result<Dynamic> {
    let inside = offset.checked_add(HEADER_LEN as u64).is_some_and(|header_end| header_end <= end);
    if offset < FOOTER_LEN as u64 || !inside {
        return Err(VhdError::HeaderPlace { offset, size: end }.into());
    }
    let mut bytes = [0; HEADER_LEN];
    storage.read_exact_at(offset, &mut bytes)?;
    parse_header(&bytes, offset, virtual_size, end, ignore_checksums).map_err(|e| Error::from(e).at(offset))
}

fn load_parent(
    storage: &dyn Storage,
    dynamic: &Dynamic,
    end: u64,
    warnings: &mut Vec<Warning>,
) -> Result<ParentRef> {
    let mut paths = Vec::new();
    for locator in locators(&dynamic.header, end)? {
        let mut bytes = vec![0; locator.length as usize];
        storage.read_exact_at(locator.offset, &mut bytes)?;
        paths.push((locator, bytes));
    }
    let names = names(&paths, &dynamic.header)?;
    let wanted = Uuid::from_bytes(dynamic.header.parent_unique_id);
    if wanted.is_nil() {
        // XenServer makes differences to raw disks, which have no identity.
        warnings.push(Warning::new(
            "vhd-parent-unproven",
            format!("the image does not say which file is its parent: {:?} is taken by its name", names),
        ));
        return Ok(ParentRef { names, format: None, identity: None });
    }
    Ok(ParentRef { names, format: Some(crate::FORMAT.name.into()), identity: Some(wanted.to_string()) })
}

impl Blocks {
    fn new(dynamic: &Dynamic, virtual_size: u64, end: u64, has_bitmaps: bool) -> Self {
        Self { bat: Bat::new(dynamic, virtual_size, end), pages: PageCache::default(), has_bitmaps }
    }

    /// The run at `offset`, which is inside the disk; it ends with the BAT page at the latest. A Data run of more than
    /// one block is only given where `in_one_piece` is false.
    fn run_at(&self, storage: &dyn Storage, offset: u64, in_one_piece: bool) -> Result<Run> {
        let bat = &self.bat;
        let (block, inside) = (offset / bat.block_size, offset % bat.block_size);
        let (page_area, mut place) = bat.page_of(block);
        let page = self.pages.page(storage, page_area.offset, page_area.length as usize)?;
        let failed = |e| Error::from(e).at(page_area.offset + place as u64);
        let entry = entry_at(&page, place).ok_or_else(|| Error::contract("a BAT page without its entry"))?;
        let here = bat.place(block, entry).map_err(failed)?;
        let mut len = bat.block_len(block) - inside;
        let (kind, host) = match here {
            Some(bitmap) if self.has_bitmaps => return self.partial_run(storage, bitmap, inside, len),
            Some(bitmap) => (ExtentKind::Data, bitmap.offset + bitmap.length + inside),
            None => (ExtentKind::Unallocated, 0),
        };
        if kind == ExtentKind::Data && in_one_piece {
            return Ok(Run { kind, len, host });
        }
        for next in block + 1..bat.blocks {
            place += size_of::<u32>();
            // A damaged entry further on is reported when it is asked for itself.
            let Some(Ok(found)) = entry_at(&page, place).map(|entry| bat.place(next, entry)) else { break };
            if found.is_some() != (kind == ExtentKind::Data) {
                break;
            }
            len += bat.block_len(next);
        }
        Ok(Run { kind, len, host })
    }

    /// The run of sectors at `inside` of a block that are all here or all the parent's, `len` bytes at most.
    fn partial_run(&self, storage: &dyn Storage, bitmap: Area, inside: u64, len: u64) -> Result<Run> {
        let bits = self.pages.page(storage, bitmap.offset, bitmap.length as usize)?;
        // A block has at most 2^19 sectors.
        let (first, end) = (inside / SECTOR, (inside + len).div_ceil(SECTOR));
        let (present, run) = bit_run_msb(&bits, first as usize, end as usize);
        let kind = if present { ExtentKind::Data } else { ExtentKind::Unallocated };
        let len = ((first + run as u64) * SECTOR - inside).min(len);
        Ok(Run { kind, len, host: bitmap.offset + bitmap.length + inside })
    }
}

impl VhdLayer {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for VhdLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.blocks.as_ref().map_or(1, |blocks| blocks.bat.block_size)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let Some(blocks) = &self.blocks else {
            let extent = self.storage.data_at(offset)?;
            return Ok(Extent { len: extent.len.min(self.virtual_size - offset), ..extent });
        };
        let run = blocks.run_at(self.storage.as_ref(), offset, false)?;
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let Some(blocks) = &self.blocks else { return self.storage.read_exact_at(offset, buf) };
        let storage = self.storage.as_ref();
        read_runs(storage, offset, buf, |at| blocks.run_at(storage, at, true))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let storage = Arc::clone(&self.storage);
        let Some(blocks) = &self.blocks else {
            return Some(HostRange { storage, offset, len: self.virtual_size - offset });
        };
        let run = blocks.run_at(self.storage.as_ref(), offset, true).ok()?;
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        self.details.clone()
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
