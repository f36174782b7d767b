//! Whether the tables that were saved of a disk agree: each is told in several files, and a damaged one is known by that.

use crate::error::ClonezillaError;
use crate::table::{Part, Table};

/// The first entry of a table in a sector, and what a sector with one ends with.
const ENTRIES: usize = 446;
const END: [u8; 2] = [0x55, 0xaa];

fn contradict(what: String, (file, left): (&str, u64), (other, right): (&str, u64)) -> ClonezillaError {
    ClonezillaError::Contradict { what, file: file.into(), left, other: other.into(), right }
}

/// Compares two tables of the same disk, each with its file. A table without partitions tells nothing.
pub(crate) fn tables((file, left): (&str, &Table), (other, right): (&str, &Table)) -> Vec<ClonezillaError> {
    let mut faults = Vec::new();
    if left.parts.is_empty() || right.parts.is_empty() {
        return faults;
    }
    if left.sector != right.sector {
        faults.push(contradict("the bytes of a sector".into(), (file, left.sector), (other, right.sector)));
    }
    let find = |table: &Table, number: u32| table.parts.iter().find(|part| part.number == number).cloned();
    for one in &left.parts {
        faults.extend(parts((file, Some(one)), (other, find(right, one.number).as_ref())));
    }
    for one in right.parts.iter().filter(|one| find(left, one.number).is_none()) {
        faults.extend(parts((file, None), (other, Some(one))));
    }
    faults
}

/// Compares what two files say about one partition.
fn parts(
    (file, left): (&str, Option<&Part>),
    (other, right): (&str, Option<&Part>),
) -> Option<ClonezillaError> {
    let name = left.or(right).map_or("", |part| part.name.as_str());
    let numbers =
        |part: Option<&Part>| part.map_or([0; 3], |part| [part.len, part.start, part.is_extended().into()]);
    let whats = ["the bytes of", "the place of", "whether logical ones lie in"];
    let both = numbers(left).into_iter().zip(numbers(right));
    let (what, (one, two)) = whats.into_iter().zip(both).find(|(_, (one, two))| one != two)?;
    Some(contradict(format!("{what} {name}"), (file, one), (other, two)))
}

/// The first sector of a disk: `table` is what `file` says about it, none for a GPT.
pub(crate) fn mbr(name: &str, mbr: &[u8], table: Option<(&str, &Table)>) -> Vec<ClonezillaError> {
    let Some(found) = sector(mbr) else { return vec![no_sector(name, mbr)] };
    let Some((file, table)) = table else { return Vec::new() };
    let mut faults = Vec::new();
    for (at, number) in (1..=4).enumerate() {
        let (id, start, count) = entry(found, at);
        let told = table.parts.iter().find(|part| part.number == number);
        let part_name = told.map_or_else(|| format!("partition {number}"), |part| part.name.clone());
        let bytes = |count: u32| u64::from(count) * table.sector;
        let own = Part { name: part_name, number, start: bytes(start), len: bytes(count), id };
        let own = Some(own).filter(|own| own.id != 0 && own.len > 0);
        faults.extend(parts((name, own.as_ref()), (file, told)));
    }
    faults
}

/// The first table of logical partitions.
pub(crate) fn ebr(name: &str, bytes: &[u8], (file, table): (&str, &Table)) -> Vec<ClonezillaError> {
    let Some(found) = sector(bytes) else { return vec![no_sector(name, bytes)] };
    let extended = table.parts.iter().find(|part| part.is_extended());
    let first = table.parts.iter().find(|part| part.number > 4);
    let (id, start, count) = entry(found, 0);
    let (Some(extended), Some(first)) = (extended, first) else { return Vec::new() };
    if id == 0 || count == 0 {
        return Vec::new();
    }
    let start = (u64::from(start) * table.sector).saturating_add(extended.start);
    let own = Part { start, len: u64::from(count) * table.sector, id, ..first.clone() };
    parts((name, Some(&own)), (file, Some(first))).into_iter().collect()
}

fn sector(bytes: &[u8]) -> Option<&[u8; 512]> {
    <&[u8; 512]>::try_from(bytes).ok().filter(|sector| sector.ends_with(&END))
}

fn no_sector(name: &str, bytes: &[u8]) -> ClonezillaError {
    ClonezillaError::Sector { file: name.into(), found: bytes.len() as u64 }
}

/// Type, first sector and count of an entry.
fn entry(bytes: &[u8; 512], number: usize) -> (u8, u32, u32) {
    let at = ENTRIES + number * 16;
    let word = |at: usize| {
        bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
    };
    (bytes.get(at + 4).copied().unwrap_or(0), word(at + 8), word(at + 12))
}
