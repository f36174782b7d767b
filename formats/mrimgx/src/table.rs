//! Which partitions the disk's own table has, to tell which of them the backup left out.

use crate::error::MrimgxError;
use crate::layout::{BOOT_RECORD, EXTENDED_LENS};
use format_core::Bytes;

/// The types of entries that hold further tables, and that of a protective entry.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;
/// Where the entries of a boot record lie, and its signature.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE: usize = 510;
/// More than any disk has.
const MAX_ENTRIES: usize = 4096;

/// A boot record of the extended partition, with its place on the disk in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootRecord {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The entries of the extended partition table in `bytes`.
pub(crate) fn parse_extended(bytes: &[u8], disk_size: u64) -> Result<Vec<BootRecord>, MrimgxError> {
    let length = bytes.len() as u64;
    let Ok(count) = Bytes::new(bytes, 0).u32_le(0) else {
        return if bytes.is_empty() {
            Ok(Vec::new())
        } else {
            Err(MrimgxError::Extended { length, count: 0 })
        };
    };
    let fits = |len: &&usize| (count as usize).checked_mul(**len) == Some(bytes.len() - 4);
    let len = *EXTENDED_LENS.iter().find(fits).ok_or(MrimgxError::Extended { length, count })?;
    let mut records = Vec::new();
    for (entry, fields) in bytes[4..].chunks_exact(len).enumerate() {
        let offset = Bytes::new(fields, 0).u64_le(BOOT_RECORD).unwrap_or(u64::MAX);
        let record = fields.get(..BOOT_RECORD).unwrap_or_default();
        let is_inside = offset.checked_add(BOOT_RECORD as u64).is_some_and(|end| end <= disk_size);
        if !is_inside || !offset.is_multiple_of(BOOT_RECORD as u64) || !has_signature(record) {
            return Err(MrimgxError::BootRecord { entry, offset });
        }
        records.push(BootRecord { offset, bytes: record.to_vec() });
    }
    Ok(records)
}

/// Where the partitions of the disk start, in bytes; as far as the table can be read.
pub(crate) fn starts(track0: &[u8], records: &[BootRecord], sector: u64) -> Vec<u64> {
    if has_protective(track0) {
        return gpt_starts(track0, sector);
    }
    let mut starts: Vec<_> = entries(track0).into_iter().map(|lba| lba.saturating_mul(sector)).collect();
    for record in records {
        let logical = entries(&record.bytes).into_iter().take(1);
        starts.extend(logical.map(|lba| record.offset.saturating_add(lba.saturating_mul(sector))));
    }
    starts
}

/// Where the extended partitions of the first track begin and end, in bytes.
pub(crate) fn extended_ranges(track0: &[u8], sector: u64) -> Vec<std::ops::Range<u64>> {
    if !has_signature(track0) {
        return Vec::new();
    }
    let entries = track0.get(ENTRIES..SIGNATURE).unwrap_or_default().chunks_exact(ENTRY);
    let ranges = entries.filter_map(|entry| {
        let fields = Bytes::new(entry, 0);
        let start = u64::from(fields.u32_le(8).ok()?).saturating_mul(sector);
        let len = u64::from(fields.u32_le(12).ok()?).saturating_mul(sector);
        EXTENDED.contains(&fields.u8(4).ok()?).then_some(start..start.saturating_add(len))
    });
    ranges.collect()
}

/// Whether the disk has a GPT.
pub(crate) fn has_protective(track0: &[u8]) -> bool {
    has_signature(track0) && kinds(track0).any(|(kind, _)| kind == PROTECTIVE)
}

/// Whether a sector ends as boot records do.
pub(crate) fn has_signature(record: &[u8]) -> bool {
    record.get(SIGNATURE..SIGNATURE + 2) == Some(&[0x55, 0xaa])
}

/// Type and first sector of the entries of a boot record.
fn kinds(record: &[u8]) -> impl Iterator<Item = (u8, u64)> {
    let entries = record.get(ENTRIES..SIGNATURE).unwrap_or_default().chunks_exact(ENTRY);
    entries.filter_map(|entry| {
        let fields = Bytes::new(entry, 0);
        Some((fields.u8(4).ok()?, u64::from(fields.u32_le(8).ok()?)))
    })
}

/// First sectors of partitions in a boot record.
fn entries(record: &[u8]) -> Vec<u64> {
    if !has_signature(record) {
        return Vec::new();
    }
    kinds(record).filter(|(kind, _)| *kind != 0 && !EXTENDED.contains(kind)).map(|(_, lba)| lba).collect()
}

fn gpt_starts(track0: &[u8], sector: u64) -> Vec<u64> {
    let header = track0.get(sector as usize..).unwrap_or_default();
    if !header.starts_with(b"EFI PART") {
        return Vec::new();
    }
    let fields = Bytes::new(header, sector);
    let (Ok(lba), Ok(count), Ok(len)) = (fields.u64_le(72), fields.u32_le(80), fields.u32_le(84)) else {
        return Vec::new();
    };
    let at = usize::try_from(lba.saturating_mul(sector)).unwrap_or(usize::MAX);
    let entries = track0.get(at..).unwrap_or_default().chunks_exact((len as usize).max(128));
    let used = entries.take((count as usize).min(MAX_ENTRIES)).filter(|entry| entry[..16] != [0; 16]);
    used.filter_map(|entry| Some(Bytes::new(entry, 0).u64_le(32).ok()?.saturating_mul(sector))).collect()
}
