//! The log: finding the active sequence and what it changes (MS-VHDX 2.3).
//!
//! ```text
//!  a ring of 4 KiB sectors:  … ┌ entry n-1 ┬ entry n ───────────────────┬ entry n+1 (torn) ─ …
//!                              │           │ header+descriptors │ data… │
//!                              ▲ tail      ▲ head of the active sequence: the newest valid entry
//! ```
//!
//! An entry counts only when its checksum, its GUID and all its sequence numbers are right, so an entry that was torn
//! by a crash ends the sequence as if it had never been written.

use super::record;
use crate::error::VhdxError;
use crate::layout::{
    DATA_DESCRIPTOR_SIGNATURE, DATA_SECTOR_SIGNATURE, LOG_DESCRIPTOR_LEN, LOG_ENTRY_HEADER_LEN,
    LOG_ENTRY_SIGNATURE, LOG_SECTOR, LogDescriptor, LogEntryHeader, ZERO_SIGNATURE,
};
use format_core::units::{GIB, MIB};
use uuid::Uuid;

/// The longest log that is replayed; products write 1 MiB. It bounds the memory that a replay takes.
pub(crate) const MAX_LOG: u64 = 32 * MIB;
/// How many bytes of entries are checked before a log that overlaps itself is refused.
const MAX_CHECKED: u64 = GIB;

/// What replaying a log comes to.
#[derive(Clone, Debug)]
pub(crate) enum LogState {
    /// The log was opened and never written.
    Empty,
    /// The changes in the order in which they apply.
    Replay(Replay),
}

#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) changes: Vec<Change>,
    /// How many entries they come from.
    pub(crate) entries: usize,
    /// The file must be at least this long, or it was cut off.
    pub(crate) flushed_file_offset: u64,
    /// The file is at least this long after the replay.
    pub(crate) last_file_offset: u64,
}

/// One descriptor, applied to file bytes; all numbers are multiples of 4 KiB.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Data { offset: u64, sector: Box<[u8; LOG_SECTOR]> },
    Zero { offset: u64, length: u64 },
}

/// Finds the active sequence in the bytes of the log region (at most [`MAX_LOG`]); entries with a wrong checksum only
/// count where they are not `checked`.
pub(crate) fn parse_log(log: &[u8], guid: Uuid, checked: bool) -> Result<LogState, VhdxError> {
    let (sectors, rest) = log.as_chunks::<LOG_SECTOR>();
    if sectors.is_empty() || !rest.is_empty() {
        return Err(VhdxError::Short { wanted: LOG_SECTOR, len: log.len() });
    }
    let mut ring = Ring { sectors, guid, ignores_checksums: !checked, checked: 0 };
    let entries = (0..sectors.len()).map(|at| ring.entry_at(at)).collect::<Result<Vec<_>, _>>()?;
    let Some(active) = active_sequence(&entries) else {
        let written = (0..sectors.len()).any(|at| ring.header_at(at).is_some());
        return if written { Err(VhdxError::LogBroken { guid }) } else { Ok(LogState::Empty) };
    };
    let mut replay =
        Replay { changes: Vec::new(), entries: active.len(), flushed_file_offset: 0, last_file_offset: 0 };
    for &at in &active {
        ring.changes_of(at, &mut replay);
    }
    Ok(LogState::Replay(replay))
}

/// A checked entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u64,
    /// In sectors.
    length: usize,
    tail: usize,
}

/// The sectors at which the entries of the active sequence start, from its tail to its head.
fn active_sequence(entries: &[Option<Entry>]) -> Option<Vec<usize>> {
    let mut best: Option<(u64, usize)> = None;
    let mut start = 0;
    while start < entries.len() {
        let run = run_from(entries, start);
        let last = run.clone().last();
        let Some((at, head)) = last.filter(|(_, head)| run.clone().any(|(at, _)| at == head.tail)) else {
            start += 1;
            continue;
        };
        if best.is_none_or(|(sequence, _)| head.sequence > sequence) {
            best = Some((head.sequence, start));
        }
        let next = (at + head.length) % entries.len();
        if next <= start {
            break; // wrapped: every start from here on was looked at
        }
        start = next;
    }
    let (_, start) = best?;
    let run: Vec<_> = run_from(entries, start).collect();
    let tail = run.last()?.1.tail;
    Some(run.iter().map(|(at, _)| *at).skip_while(|at| *at != tail).collect())
}

/// Entries that follow each other from `start` with consecutive sequence numbers, at most once around the ring.
fn run_from(entries: &[Option<Entry>], start: usize) -> impl Iterator<Item = (usize, Entry)> + Clone {
    let (mut at, mut used, mut expected) = (start, 0, None);
    std::iter::from_fn(move || {
        let entry = entries.get(at).copied().flatten()?;
        used += entry.length;
        if used > entries.len() || expected.is_some_and(|expected| expected != Some(entry.sequence)) {
            return None;
        }
        let here = at;
        at = (at + entry.length) % entries.len();
        expected = Some(entry.sequence.checked_add(1));
        Some((here, entry))
    })
}

/// The log as a ring of sectors.
struct Ring<'a> {
    sectors: &'a [[u8; LOG_SECTOR]],
    guid: Uuid,
    ignores_checksums: bool,
    /// Bytes of entries that were checked so far.
    checked: u64,
}

impl<'a> Ring<'a> {
    fn sector(&self, at: usize) -> &'a [u8; LOG_SECTOR] {
        const NONE: &[u8; LOG_SECTOR] = &[0; LOG_SECTOR];
        at.checked_rem(self.sectors.len()).and_then(|at| self.sectors.get(at)).unwrap_or(NONE)
    }

    /// The header at a sector that claims to start an entry of this log.
    fn header_at(&self, at: usize) -> Option<LogEntryHeader> {
        let sector = self.sector(at);
        if !sector.starts_with(&LOG_ENTRY_SIGNATURE) {
            return None;
        }
        let header: LogEntryHeader = record(sector, 0, LOG_ENTRY_HEADER_LEN).ok()?;
        (Uuid::from_bytes_le(header.log_guid) == self.guid).then_some(header)
    }

    /// The entry at a sector if everything about it is right.
    fn entry_at(&mut self, at: usize) -> Result<Option<Entry>, VhdxError> {
        let Some(header) = self.header_at(at) else { return Ok(None) };
        let (length, tail) = (header.entry_length as usize, header.tail as usize);
        let ring = self.sectors.len() * LOG_SECTOR;
        let whole = length % LOG_SECTOR == 0 && tail % LOG_SECTOR == 0;
        if !whole || length == 0 || length > ring || tail >= ring || header.sequence_number == 0 {
            return Ok(None);
        }
        self.checked += length as u64;
        if self.checked > MAX_CHECKED {
            return Err(VhdxError::LogOverlaps);
        }
        let entry =
            Entry { sequence: header.sequence_number, length: length / LOG_SECTOR, tail: tail / LOG_SECTOR };
        let is_right = self.ignores_checksums || self.checksum(at, entry.length) == header.checksum;
        let valid = is_right && self.descriptors_are_right(at, &header, entry.length);
        Ok(valid.then_some(entry))
    }

    fn checksum(&self, at: usize, length: usize) -> u32 {
        let mut first = *self.sector(at);
        first[4..8].fill(0);
        (1..length)
            .fold(crc32c::crc32c(&first), |sum, next| crc32c::crc32c_append(sum, self.sector(at + next)))
    }

    fn descriptors_are_right(&self, at: usize, header: &LogEntryHeader, length: usize) -> bool {
        let count = header.descriptor_count as usize;
        let Some(mut data) = descriptor_sectors(count).filter(|&sectors| sectors <= length) else {
            return false;
        };
        for index in 0..count {
            let Some(descriptor) = self.descriptor(at, index) else { return false };
            let aligned = |value: u64| value.is_multiple_of(LOG_SECTOR as u64);
            if descriptor.sequence_number != header.sequence_number || !aligned(descriptor.file_offset) {
                return false;
            }
            let zeros = u64::from_le_bytes(descriptor.leading_bytes);
            match descriptor.signature {
                ZERO_SIGNATURE if aligned(zeros) && descriptor.file_offset.checked_add(zeros).is_some() => {}
                DATA_DESCRIPTOR_SIGNATURE
                    if descriptor.file_offset.checked_add(LOG_SECTOR as u64).is_some() =>
                {
                    if data >= length || !is_data_sector(self.sector(at + data), header.sequence_number) {
                        return false;
                    }
                    data += 1;
                }
                _ => return false,
            }
        }
        true
    }

    /// Descriptor `index` of the entry at a sector; they follow the header and never straddle a sector.
    fn descriptor(&self, at: usize, index: usize) -> Option<LogDescriptor> {
        let place = LOG_ENTRY_HEADER_LEN + index * LOG_DESCRIPTOR_LEN;
        record(self.sector(at + place / LOG_SECTOR), place % LOG_SECTOR, LOG_DESCRIPTOR_LEN).ok()
    }

    /// Appends what a checked entry changes; it becomes the head of the replay.
    fn changes_of(&self, at: usize, replay: &mut Replay) {
        let Some(header) = self.header_at(at) else { return };
        replay.flushed_file_offset = header.flushed_file_offset;
        replay.last_file_offset = header.last_file_offset;
        let count = header.descriptor_count as usize;
        let Some(mut data) = descriptor_sectors(count) else { return };
        for descriptor in (0..count).filter_map(|index| self.descriptor(at, index)) {
            let offset = descriptor.file_offset;
            replay.changes.push(if descriptor.signature == ZERO_SIGNATURE {
                Change::Zero { offset, length: u64::from_le_bytes(descriptor.leading_bytes) }
            } else {
                let mut sector = Box::new(*self.sector(at + data));
                sector[..8].copy_from_slice(&descriptor.leading_bytes);
                sector[LOG_SECTOR - 4..].copy_from_slice(&descriptor.trailing_bytes);
                data += 1;
                Change::Data { offset, sector }
            });
        }
    }
}

/// Sectors that the header and `count` descriptors take.
fn descriptor_sectors(count: usize) -> Option<usize> {
    let bytes = count.checked_mul(LOG_DESCRIPTOR_LEN)?.checked_add(LOG_ENTRY_HEADER_LEN)?;
    Some(bytes.div_ceil(LOG_SECTOR))
}

fn is_data_sector(sector: &[u8; LOG_SECTOR], sequence: u64) -> bool {
    let (high, low) = ((sequence >> 32) as u32, sequence as u32);
    sector.starts_with(&DATA_SECTOR_SIGNATURE)
        && sector[4..8] == high.to_le_bytes()
        && sector[LOG_SECTOR - 4..] == low.to_le_bytes()
}
