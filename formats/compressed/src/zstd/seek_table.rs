//! The table at the end of a seekable file: how long each frame is, and how much it holds.
//!
//! ```text
//!  0x184d2a5e · length · (packed u32 · unpacked u32 · [low half of XXH64 u32]) for each frame · number · flags · 0x8f92eab1
//! ```

use super::frame::SKIPPABLE;
use crate::error::Result;
use format_core::Storage;

const MAGIC: u32 = 0x8f92_eab1;
const FRAME_MAGIC: u32 = SKIPPABLE | 0xe;
const FOOTER_LEN: u64 = 9;
const HEADER_LEN: u64 = 8;
const HAS_CHECKSUMS: u8 = 0x80;
const RESERVED: u8 = 0x7c;

/// A frame's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) packed: u32,
    pub(crate) unpacked: u32,
    pub(crate) checksum: Option<u32>,
}

/// Where a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeekTable {
    /// Where the frames end and the table begins.
    pub(crate) start: u64,
    frames: u64,
    entry_len: u64,
}

impl SeekTable {
    /// The table at the end of `storage`, if its parts agree with each other.
    pub(crate) fn find(storage: &dyn Storage) -> Result<Option<Self>> {
        let Some(footer_at) = storage.size().checked_sub(FOOTER_LEN) else { return Ok(None) };
        let mut footer = [0; FOOTER_LEN as usize];
        storage.read_exact_at(footer_at, &mut footer)?;
        let [n0, n1, n2, n3, flags, magic @ ..] = footer;
        if u32::from_le_bytes(magic) != MAGIC || flags & RESERVED != 0 {
            return Ok(None);
        }
        let frames = u64::from(u32::from_le_bytes([n0, n1, n2, n3]));
        let entry_len = if flags & HAS_CHECKSUMS == 0 { 8 } else { 12 };
        let len = frames * entry_len + FOOTER_LEN;
        let Some(start) = storage.size().checked_sub(len + HEADER_LEN) else { return Ok(None) };
        let mut header = [0; HEADER_LEN as usize];
        storage.read_exact_at(start, &mut header)?;
        let [m0, m1, m2, m3, said @ ..] = header;
        let fits =
            u32::from_le_bytes([m0, m1, m2, m3]) == FRAME_MAGIC && u64::from(u32::from_le_bytes(said)) == len;
        Ok(fits.then_some(Self { start, frames, entry_len }))
    }

    /// Hands the entries to `take` in their order, until it says that it needs no more.
    pub(crate) fn read(&self, storage: &dyn Storage, mut take: impl FnMut(Entry) -> bool) -> Result<()> {
        let per_part = (64 << 10) / self.entry_len;
        let (mut at, mut left, mut part) = (self.start + HEADER_LEN, self.frames, Vec::new());
        while left > 0 {
            let count = left.min(per_part);
            part.resize((count * self.entry_len) as usize, 0);
            storage.read_exact_at(at, &mut part)?;
            for entry in part.chunks_exact(self.entry_len as usize) {
                let mut numbers = entry.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
                let (Some(packed), Some(unpacked)) = (numbers.next(), numbers.next()) else { return Ok(()) };
                if !take(Entry { packed, unpacked, checksum: numbers.next() }) {
                    return Ok(());
                }
            }
            at += part.len() as u64;
            left -= count;
        }
        Ok(())
    }
}

/// The bytes of a table with checksums.
pub(crate) fn encode(entries: impl ExactSizeIterator<Item = Entry>) -> Vec<u8> {
    let count = entries.len() as u32;
    let len = u64::from(count) * 12 + FOOTER_LEN;
    let mut bytes = Vec::with_capacity((HEADER_LEN + len) as usize);
    bytes.extend(FRAME_MAGIC.to_le_bytes());
    bytes.extend((len as u32).to_le_bytes());
    for Entry { packed, unpacked, checksum } in entries {
        for number in [packed, unpacked, checksum.unwrap_or_default()] {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.extend(count.to_le_bytes());
    bytes.push(HAS_CHECKSUMS);
    bytes.extend(MAGIC.to_le_bytes());
    bytes
}
