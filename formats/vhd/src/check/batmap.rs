//! The batmap of XenServer: a bit for each block that has all its sectors. Readers may trust it instead of the bitmaps.

use super::MAX_ERRORS;
use super::places::Place;
use crate::layout::{SECTOR, bitmap_len};
use crate::parse::{Area, Found};
use crate::table::Bat;
use format_core::{CheckReport, Result, Storage, bit_run_msb};

const CREATOR: [u8; 4] = *b"tap\0";
const COOKIE: [u8; 8] = *b"tdbatmap";
/// The version whose checksum means something.
const VERSION: u32 = 0x0001_0002;

/// Bytes of bitmaps that are compared: twice what a disk of 2040 GiB has.
const MAX_COMPARED: u64 = 1 << 30;

/// A batmap that was found.
pub(super) struct Batmap {
    bits: Vec<u8>,
    /// Its header and its bits.
    pub(super) areas: [Area; 2],
}

/// Looks for the batmap of `blocks` blocks behind the BAT.
pub(super) fn find(
    storage: &dyn Storage,
    found: &Found,
    after: u64,
    end: u64,
    blocks: u64,
    report: &mut CheckReport,
) -> Result<Option<Batmap>> {
    let mut header = [0; 28];
    let inside = after.checked_add(SECTOR).is_some_and(|header_end| header_end <= end);
    if found.footer.creator_application != CREATOR || !inside {
        return Ok(None);
    }
    storage.read_exact_at(after, &mut header)?;
    if !header.starts_with(&COOKIE) {
        return Ok(None);
    }
    let field = |at: usize| {
        let bytes = header.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    };
    let offset = u64::from(field(8)) << 32 | u64::from(field(12));
    let length = u64::from(field(16)) * SECTOR;
    if offset.checked_add(length).is_none_or(|map_end| map_end > end) || length < blocks.div_ceil(8) {
        let text = format!("the batmap is at {offset:#x}+{length:#x}, too short or not in the file");
        report.error(text, Some(after));
        return Ok(None);
    }
    // As long as the bits of the blocks, which are limited, in whole sectors.
    let wanted = length.min(blocks.div_ceil(8).next_multiple_of(SECTOR));
    let mut bits = vec![0; wanted as usize];
    storage.read_exact_at(offset, &mut bits)?;
    if field(20) == VERSION && wanted == length {
        let computed = !bits.iter().fold(0, |sum: u32, byte| sum.wrapping_add((*byte).into()));
        if field(24) != computed {
            let text =
                format!("the batmap's checksum is {:#010x}, its bytes have {computed:#010x}", field(24));
            report.error(text, Some(after));
        }
    }
    let areas = [Area { offset: after, length: SECTOR }, Area { offset, length }];
    Ok(Some(Batmap { bits, areas }))
}

/// Compares the batmap with the bitmaps of the blocks, `used` being in the order of the disk.
pub(super) fn check(
    storage: &dyn Storage,
    map: &Batmap,
    bat: &Bat,
    used: &[Place],
    report: &mut CheckReport,
) -> Result<()> {
    let mut bitmap = vec![0; bitmap_len(bat.block_size) as usize];
    let mut compared = 0;
    for place in used {
        let block = place.block as usize;
        if !bit_run_msb(&map.bits, block, block + 1).0 {
            continue;
        }
        let at = u64::from(place.sector) * SECTOR;
        compared += bitmap.len() as u64;
        if compared > MAX_COMPARED || report.errors > MAX_ERRORS {
            report.note("the rest of the batmap is not compared with the bitmaps", None);
            break;
        }
        storage.read_exact_at(at, &mut bitmap)?;
        let sectors = (bat.block_len(place.block.into()) / SECTOR) as usize;
        let (value, run) = bit_run_msb(&bitmap, 0, sectors);
        if sectors > 0 && (!value || run < sectors) {
            let text = format!("the batmap says that block {block} has all its sectors, its bitmap does not");
            report.error(text, Some(at));
        }
    }
    Ok(())
}
