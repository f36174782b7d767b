//! Directory entries: 32 bytes each (`fatgen103`, "FAT Directory Structure"), long names in front of their short entry
//! ("FAT Long Directory Entries").

use crate::boot_sector::{ENTRY_LEN, Width};
use crate::name::{self, ShortName};
use driver_core::block::{byte, le16, le32, put};
use std::ops::Range;

pub(crate) type Slot = [u8; ENTRY_LEN];

pub(crate) const ATTR_LABEL: u8 = 0x08;
pub(crate) const ATTR_FOLDER: u8 = 0x10;
pub(crate) const ATTR_ARCHIVE: u8 = 0x20;
const ATTR_LONG: u8 = 0x0f;
/// First byte of an entry that is free, and of one behind which all are.
pub(crate) const DELETED: u8 = 0xe5;
pub(crate) const END: u8 = 0;
const LAST_LONG: u8 = 0x40;
/// Characters in one entry of a long name, and entries of the longest.
const UNITS: usize = 13;
const MAX_LONG: u8 = 20;
/// Where the characters are in there.
const UNIT_PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// One name in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its entries in the folder, by number; the last is the short one.
    pub(crate) slots: Range<usize>,
    /// The name to show.
    pub(crate) name: String,
    /// The short name, in upper case.
    pub(crate) alias: String,
    pub(crate) attr: u8,
    /// First cluster; 0 for an empty file.
    pub(crate) first: u32,
    pub(crate) size: u32,
}

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        self.attr & ATTR_FOLDER != 0
    }

    /// FAT keeps the case of names but does not tell them apart by it.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        // What could not be decoded has no name.
        !name.contains('\u{fffd}') && (self.name.to_lowercase() == name || self.alias.to_lowercase() == name)
    }
}

/// The date and time of an entry (`fatgen103`, "Date and Time Formats").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) date: u16,
    pub(crate) time: u16,
    /// Hundredths of a second on top of `time`, which counts two seconds.
    pub(crate) hundredths: u8,
}

/// A long name that is being collected.
struct Long {
    start: usize,
    checksum: u8,
    /// The number that the next entry must have; 0 when it is complete.
    next: u8,
    units: Vec<u16>,
}

/// The names in the bytes of a folder; `.`, `..` and the volume label are none.
pub(crate) fn parse(bytes: &[u8], width: Width) -> Vec<Entry> {
    let (slots, _) = bytes.as_chunks::<ENTRY_LEN>();
    let mut entries = Vec::new();
    let mut long: Option<Long> = None;
    for (number, slot) in slots.iter().enumerate() {
        let attr = byte(slot, 11);
        match byte(slot, 0) {
            END => break,
            DELETED => long = None,
            _ if attr & 0x3f == ATTR_LONG => long = collect(long, number, slot),
            _ if attr & ATTR_LABEL != 0 || is_dot(slot) => long = None,
            _ => entries.push(short_entry(number, slot, long.take(), width)),
        }
    }
    entries
}

fn is_dot(slot: &Slot) -> bool {
    slot.starts_with(b".          ") || slot.starts_with(b"..         ")
}

fn collect(long: Option<Long>, number: usize, slot: &Slot) -> Option<Long> {
    let (ord, checksum) = (byte(slot, 0), byte(slot, 13));
    let units = UNIT_PLACES.map(|at| le16(slot, at));
    if ord & LAST_LONG != 0 {
        let count = ord & !LAST_LONG;
        let fits = (1..=MAX_LONG).contains(&count);
        return fits.then(|| Long { start: number, checksum, next: count - 1, units: units.to_vec() });
    }
    let mut long = long.filter(|long| long.next == ord && ord > 0 && long.checksum == checksum)?;
    // They come last part first.
    long.units.splice(0..0, units);
    long.next -= 1;
    Some(long)
}

fn short_entry(number: usize, slot: &Slot, long: Option<Long>, width: Width) -> Entry {
    let short: ShortName = slot.first_chunk().copied().unwrap_or_default();
    let long = long.filter(|long| long.next == 0 && long.checksum == name::checksum(&short));
    let text = long.as_ref().map(|long| name::decode_long(&long.units)).filter(|name| !name.is_empty());
    let start = if text.is_some() { long.map_or(number, |long| long.start) } else { number };
    let high = if width == Width::Fat32 { u32::from(le16(slot, 20)) << 16 } else { 0 };
    let attr = byte(slot, 11);
    Entry {
        slots: start..number + 1,
        name: text.unwrap_or_else(|| name::decode_short(&short, byte(slot, 12))),
        alias: name::decode_short(&short, 0),
        attr,
        first: high | u32::from(le16(slot, 26)),
        size: if attr & ATTR_FOLDER != 0 { 0 } else { le32(slot, 28) },
    }
}

/// A short entry.
pub(crate) fn new_short(short: &ShortName, attr: u8, stamp: Stamp) -> Slot {
    let mut slot = [0; ENTRY_LEN];
    put(&mut slot, 0, short);
    put(&mut slot, 11, &[attr]);
    put(&mut slot, 13, &[stamp.hundredths]);
    put(&mut slot, 14, &stamp.time.to_le_bytes());
    put(&mut slot, 16, &stamp.date.to_le_bytes());
    touch(&mut slot, stamp);
    slot
}

/// Sets the times of the last change and access.
pub(crate) fn touch(slot: &mut Slot, stamp: Stamp) {
    put(slot, 18, &stamp.date.to_le_bytes());
    put(slot, 22, &stamp.time.to_le_bytes());
    put(slot, 24, &stamp.date.to_le_bytes());
}

/// Sets where the content is.
pub(crate) fn set_content(slot: &mut Slot, first: u32, size: u32, width: Width) {
    if width == Width::Fat32 {
        put(slot, 20, &((first >> 16) as u16).to_le_bytes());
    }
    put(slot, 26, &(first as u16).to_le_bytes());
    put(slot, 28, &size.to_le_bytes());
}

/// A short entry under another name. The case bits go: they spoke of the old name.
pub(crate) fn renamed(slot: &Slot, short: &ShortName) -> Slot {
    let mut slot = *slot;
    put(&mut slot, 0, short);
    slot[12] &= !(name::LOWER_BASE | name::LOWER_EXTENSION);
    slot
}

/// The entries of a long name, in the order in which they stand before the short one.
pub(crate) fn new_long(long: &str, short: &ShortName) -> Vec<Slot> {
    let units: Vec<u16> = long.encode_utf16().collect();
    let checksum = name::checksum(short);
    let count = units.len().div_ceil(UNITS);
    let part = |number: usize| {
        let mut slot = [0; ENTRY_LEN];
        let last = if number + 1 == count { LAST_LONG } else { 0 };
        put(&mut slot, 0, &[(number as u8 + 1) | last, 0]);
        put(&mut slot, 11, &[ATTR_LONG, 0, checksum]);
        for (place, at) in UNIT_PLACES.iter().zip(number * UNITS..) {
            // A name that does not fill its entry ends with 0; what follows is 0xffff.
            let filler = if at == units.len() { 0 } else { 0xffff };
            put(&mut slot, *place, &units.get(at).copied().unwrap_or(filler).to_le_bytes());
        }
        slot
    };
    (0..count).rev().map(part).collect()
}
