//! The check of a VHDX image: headers, region tables, log, BAT, places of blocks and bitmaps.

mod places;

use crate::layout::{
    BAT_ENTRY_LEN, BAT_STATE_MASK, BITMAP_BLOCK, REGION_SIGNATURE, REGION_TABLE_LEN, REGION_TABLE_OFFSETS,
    SB_BLOCK_PRESENT,
};
use crate::load::{Loaded, load};
use crate::parse::is_checksum_right;
use crate::table::{Bat, Block, PAGE, entry_at};
use format_core::{CheckReport, Error, LayerContext, Result, Storage};
use places::Places;
use std::sync::Arc;

/// With more errors than this, what is called a BAT is none.
const MAX_ERRORS: u64 = 1 << 16;

pub(crate) fn check(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    // What would be refused for a checksum is a finding here, so the rest is looked at too.
    let loaded = load(Arc::clone(&storage), true)?;
    check_headers(&loaded, &mut report);
    check_region_tables(loaded.storage.as_ref(), &mut report)?;
    for warning in &loaded.warnings {
        match warning.code {
            "vhdx-log-replayed" | "vhdx-log-empty" => report.note(warning.message.clone(), None),
            // The headers and the region tables were reported above.
            _ if warning.message.contains("of the log") => report.error(warning.message.clone(), None),
            _ => {}
        }
    }
    let mut places = Places::new(&loaded)?;
    scan_bat(&loaded, &mut places, &mut report)?;
    places.finish(loaded.storage.size(), &mut report);
    Ok(report)
}

fn check_headers(loaded: &Loaded, report: &mut CheckReport) {
    match loaded.headers.are_valid {
        [true, true] => {}
        [false, false] => report.error("neither header has its checksum", None),
        // One of them is always about to be replaced.
        [first, _] => {
            let which = if first { "second" } else { "first" };
            report.note(format!("the {which} header is not valid, the other is the current one"), None);
        }
    }
}

fn check_region_tables(storage: &dyn Storage, report: &mut CheckReport) -> Result<()> {
    let mut whole = Vec::new();
    for at in REGION_TABLE_OFFSETS {
        let mut bytes = vec![0; REGION_TABLE_LEN];
        storage.read_exact_at(at, &mut bytes)?;
        if bytes.starts_with(&REGION_SIGNATURE) && is_checksum_right(&bytes) {
            whole.push(bytes);
        } else {
            report.error("this copy of the region table has not its signature or not its checksum", Some(at));
        }
    }
    if let [first, second] = whole.as_slice()
        && first != second
    {
        report.error("the two copies of the region table differ", None);
    }
    Ok(())
}

/// Looks at every entry of the BAT.
fn scan_bat(loaded: &Loaded, places: &mut Places, report: &mut CheckReport) -> Result<()> {
    let Loaded { storage, bat, .. } = loaded;
    let parameters = &bat.parameters;
    let (ratio, blocks) = (parameters.chunk_ratio(), parameters.blocks());
    report.total_chunks = blocks;
    let mut page = vec![0; PAGE as usize];
    // The first partially present block of the chunk that is looked at.
    let mut partial = None;
    for index in 0..parameters.bat_len() / BAT_ENTRY_LEN {
        let (page_at, place) = bat.page_of(index);
        if place == 0 {
            storage.read_exact_at(page_at, &mut page)?;
        }
        let at = page_at + place as u64;
        let entry = entry_at(&page, place).ok_or_else(|| Error::contract("a BAT page without its entry"))?;
        let chunk = index / (ratio + 1);
        if index % (ratio + 1) == ratio {
            check_bitmap(bat, chunk, entry, partial.take(), at, places, report)?;
            continue;
        }
        let block = index - chunk;
        if block >= blocks {
            continue;
        }
        match bat.payload(block, entry) {
            Ok(Block::NotPresent | Block::Zero) => {}
            Ok(Block::Full(host)) => places.block(block, host, report)?,
            Ok(Block::Partial(host)) => {
                partial.get_or_insert(block);
                places.block(block, host, report)?;
            }
            Err(wrong) if report.errors < MAX_ERRORS => report.error(wrong.to_string(), Some(at)),
            Err(wrong) => return Err(Error::from(wrong).context("more wrong entries than a BAT can have")),
        }
    }
    Ok(())
}

/// The entry of a sector bitmap; only in a differencing image it means something.
fn check_bitmap(
    bat: &Bat,
    chunk: u64,
    entry: u64,
    partial: Option<u64>,
    at: u64,
    places: &mut Places,
    report: &mut CheckReport,
) -> Result<()> {
    if !bat.parameters.has_parent {
        if entry & BAT_STATE_MASK != 0 {
            report.note(format!("chunk {chunk} has a sector bitmap, and the image no parent"), Some(at));
        }
        return Ok(());
    }
    if entry & BAT_STATE_MASK != SB_BLOCK_PRESENT && partial.is_none() {
        return Ok(());
    }
    // The first block of the chunk, where none needs the bitmap.
    let block = partial.unwrap_or(chunk * bat.parameters.chunk_ratio());
    match bat.bitmap_place(block, entry) {
        Ok(host) => {
            places.claim(format_args!("the sector bitmap of chunk {chunk}"), host, BITMAP_BLOCK, report)
        }
        Err(wrong) => {
            report.error(wrong.to_string(), Some(at));
            Ok(())
        }
    }
}
