//! The region table (MS-VHDX 2.2.3).

use super::{is_checksum_right, record};
use crate::error::VhdxError;
use crate::layout::{
    BAT_REGION, HEADER_SECTION, MAX_TABLE_ENTRIES, METADATA_REGION, REGION_REQUIRED, REGION_SIGNATURE,
    REGION_TABLE_ENTRY_LEN, REGION_TABLE_HEADER_LEN, RegionTableEntry, RegionTableHeader,
};
use format_core::units::MIB;
use uuid::Uuid;

/// A run of file bytes with one use; inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Region {
    pub(crate) fn overlaps(&self, other: &Region) -> bool {
        self.offset < other.offset.saturating_add(other.length)
            && other.offset < self.offset.saturating_add(self.length)
    }
}

/// Where the two regions lie that make a disk, and those that need not be understood.
#[derive(Clone, Debug)]
pub(crate) struct Regions {
    pub(crate) bat: Region,
    pub(crate) metadata: Region,
    pub(crate) unknown: Vec<Region>,
}

/// Checks one copy of the region table; `Ok(None)` when the copy is damaged and the other should be taken.
///
/// `log` is the area that the log takes, `size` the size of the file; a wrong checksum is damage where `checked`.
pub(crate) fn parse_region_table(
    bytes: &[u8],
    log: Option<Region>,
    size: u64,
    checked: bool,
) -> Result<Option<Regions>, VhdxError> {
    if !bytes.starts_with(&REGION_SIGNATURE) || checked && !is_checksum_right(bytes) {
        return Ok(None);
    }
    let header: RegionTableHeader = record(bytes, 0, REGION_TABLE_HEADER_LEN)?;
    if header.entry_count > MAX_TABLE_ENTRIES {
        return Err(VhdxError::EntryCount { table: "region", count: header.entry_count });
    }
    let mut seen: Vec<(Uuid, Region)> = Vec::new();
    for index in 0..header.entry_count as usize {
        let at = REGION_TABLE_HEADER_LEN + index * REGION_TABLE_ENTRY_LEN;
        let entry: RegionTableEntry = record(bytes, at, REGION_TABLE_ENTRY_LEN)?;
        let (guid, region) = checked_region(&entry, size)?;
        if seen.iter().any(|(known, _)| *known == guid) {
            return Err(VhdxError::RegionTwice { guid });
        }
        seen.push((guid, region));
    }
    check_overlaps(seen.iter().map(|(_, region)| *region).chain(log))?;
    let find = |guid, name| {
        let found = seen.iter().find(|(known, _)| *known == guid).map(|(_, region)| *region);
        found.ok_or(VhdxError::RegionMissing { name })
    };
    let (bat, metadata) = (find(BAT_REGION, "BAT")?, find(METADATA_REGION, "metadata")?);
    let known = [BAT_REGION, METADATA_REGION];
    let unknown = seen.iter().filter(|(guid, _)| !known.contains(guid)).map(|(_, region)| *region).collect();
    Ok(Some(Regions { bat, metadata, unknown }))
}

fn checked_region(entry: &RegionTableEntry, size: u64) -> Result<(Uuid, Region), VhdxError> {
    let guid = Uuid::from_bytes_le(entry.guid);
    if guid != BAT_REGION && guid != METADATA_REGION && entry.flags & REGION_REQUIRED != 0 {
        return Err(VhdxError::RegionUnknown { guid });
    }
    let (offset, length) = (entry.file_offset, u64::from(entry.length));
    let inside = offset.checked_add(length).is_some_and(|end| end <= size);
    if !inside || length == 0 || length % MIB != 0 || offset % MIB != 0 || offset < HEADER_SECTION {
        return Err(VhdxError::RegionPlace { guid, offset, length, size });
    }
    Ok((guid, Region { offset, length }))
}

fn check_overlaps(areas: impl Iterator<Item = Region>) -> Result<(), VhdxError> {
    let mut areas: Vec<Region> = areas.collect();
    areas.sort_by_key(|area| area.offset);
    for pair in areas.windows(2) {
        if let [first, second] = pair
            && first.overlaps(second)
        {
            return Err(VhdxError::Overlap { first: first.offset, second: second.offset });
        }
    }
    Ok(())
}
