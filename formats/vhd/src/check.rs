//! The check of a VHD image: footers, checksums, BAT, places of the blocks, the batmap of XenServer.

mod batmap;
mod places;

use crate::error::VhdError;
use crate::layout::{BAT_ENTRY_LEN, MAX_LOCATOR, PARENT_LOCATORS, SECTOR, bitmap_len};
use crate::parse::{Area, DiskType, Dynamic, Found, locators};
use crate::read::{load_footer, load_header};
use crate::table::{Bat, PAGE, entry_at};
use format_core::{CheckReport, Error, ErrorKind, LayerContext, Result, Storage};
use places::{Place, Places};
use std::sync::Arc;

/// Entries of a BAT that are looked at, and blocks in use that are kept: 64 MiB of memory. A disk of 2040 GiB in blocks
/// of 2 MiB has a million.
const MAX_ENTRIES: u64 = 1 << 26;
const MAX_USED: usize = 8 << 20;
/// With more errors than this, what is called a BAT is none.
const MAX_ERRORS: u64 = 1 << 16;

pub(crate) fn check(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<CheckReport> {
    let storage = storage.as_ref();
    // What would be refused for a checksum is a finding here, so the rest is looked at too.
    let found = load_footer(storage, true)?;
    let end = storage.size().saturating_sub(found.tail_len);
    let mut report = CheckReport::default();
    check_footers(&found, end, &mut report);
    match found.image.disk_type.header_at() {
        None => check_fixed(&found, end, &mut report),
        Some(at) => {
            let dynamic = load_header(storage, at, found.image.virtual_size, end, true)?;
            if let Some(wrong) = &dynamic.ignored {
                report.error(wrong.to_string(), Some(at));
            }
            check_blocks(storage, &found, &dynamic, end, &mut report)?;
        }
    }
    Ok(report)
}

fn check_footers(found: &Found, end: u64, report: &mut CheckReport) {
    if let Some(wrong) = &found.ignored {
        report.error(wrong.to_string(), Some(end));
    }
    if let Some(damage) = &found.tail_damage {
        report.error(format!("the end of the file has no footer that can be used: {damage}"), Some(end));
    }
    if found.copy_differs {
        report.error("the copy of the footer at the start is damaged or another one", Some(0));
    }
    if found.image.is_saved_state {
        report.note("the machine was saved, not shut down", Some(end));
    }
}

fn check_fixed(found: &Found, end: u64, report: &mut CheckReport) {
    let virtual_size = found.image.virtual_size;
    if virtual_size > end {
        report.error(VhdError::CutOff { virtual_size, available: end }.to_string(), None);
    }
    // Where the geometry is the size, what it leaves of the last cylinder is there too.
    let used = virtual_size.max(found.footer.current_size);
    if let Some(leaked) = end.checked_sub(used).filter(|leaked| *leaked > 0) {
        report.leak(format!("{leaked:#x} bytes between the disk and the footer"), used, leaked);
    }
    report.image_end = end.saturating_add(found.tail_len);
}

fn check_blocks(
    storage: &dyn Storage,
    found: &Found,
    dynamic: &Dynamic,
    end: u64,
    report: &mut CheckReport,
) -> Result<()> {
    let bat = Bat::new(dynamic, found.image.virtual_size, end);
    report.total_chunks = bat.blocks;
    let used = scan_bat(storage, &bat, report)?;
    report.allocated_chunks = used.len() as u64;
    let mut places = Places::new(bat.block_size, found.image.virtual_size);
    for area in dynamic.used {
        places.add(area, "the headers or the BAT");
    }
    // Entries behind those of the disk are room of the BAT too.
    let whole_bat = u64::from(dynamic.header.max_table_entries) * BAT_ENTRY_LEN;
    let after = dynamic.bat.offset.saturating_add(whole_bat).checked_next_multiple_of(SECTOR);
    let after = after.unwrap_or(u64::MAX);
    places.add(Area { offset: dynamic.bat.offset, length: after - dynamic.bat.offset }, "the BAT");
    if matches!(found.image.disk_type, DiskType::Differencing(_)) {
        add_locators(dynamic, end, &mut places, report);
    }
    if let Some(map) = batmap::find(storage, found, after, end, bat.blocks, report)? {
        for area in map.areas {
            places.add(area, "the batmap");
        }
        batmap::check(storage, &map, &bat, &used, report)?;
    }
    report.fragmented_chunks = places.fragmented(&used);
    places.finish(used, end, report);
    report.image_end = report.image_end.saturating_add(found.tail_len);
    Ok(())
}

fn add_locators(dynamic: &Dynamic, end: u64, places: &mut Places, report: &mut CheckReport) {
    match locators(&dynamic.header, end) {
        Err(wrong) => report.error(wrong.to_string(), None),
        Ok(found) => {
            debug_assert!(found.len() <= PARENT_LOCATORS, "as many as the header has");
            for locator in found {
                let length = u64::from(locator.length.min(MAX_LOCATOR));
                places.add(Area { offset: locator.offset, length }, "a parent locator");
            }
        }
    }
}

/// The blocks that have a place that can be right, in the order of the disk.
fn scan_bat(storage: &dyn Storage, bat: &Bat, report: &mut CheckReport) -> Result<Vec<Place>> {
    let limit = |text: String| Error::new(ErrorKind::Limit, text).in_format(crate::FORMAT.name);
    if bat.blocks > MAX_ENTRIES {
        return Err(limit(format!(
            "the BAT has {:#x} entries, at most {MAX_ENTRIES:#x} are checked",
            bat.blocks
        )));
    }
    let mut used = Vec::new();
    let mut page = Vec::new();
    for block in 0..bat.blocks {
        let (area, at) = bat.page_of(block);
        if at == 0 {
            page.resize(area.length.min(PAGE) as usize, 0);
            storage.read_exact_at(area.offset, &mut page)?;
        }
        let entry = entry_at(&page, at).ok_or_else(|| Error::contract("a BAT page without its entry"))?;
        match bat.place(block, entry) {
            Ok(None) => {}
            Ok(Some(_)) if used.len() < MAX_USED => used.push(Place { sector: entry, block: block as u32 }),
            Ok(Some(_)) => return Err(limit(format!("more than {MAX_USED:#x} blocks are in use"))),
            Err(wrong) if report.errors < MAX_ERRORS => {
                report.error(wrong.to_string(), Some(area.offset + at as u64));
            }
            Err(wrong) => return Err(Error::from(wrong).context("more wrong entries than a BAT can have")),
        }
    }
    Ok(used)
}

/// Bytes of a whole block with its bitmap.
fn stride(block_size: u64) -> u64 {
    bitmap_len(block_size) + block_size
}
