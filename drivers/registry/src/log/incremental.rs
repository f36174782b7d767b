//! Logs of Windows 8.1 and later: a base block, and entries that each hold pages.
//!
//! Source: specification, "New format", "Log entries".

use super::{Log, is_after, marvin};
use crate::base_block::BaseBlock;
use crate::fields::{le32, le64};
use crate::layout::{BASE_BLOCK, PAGE, SECTOR, base};

const ENTRY: &[u8; 4] = b"HvLE";
const HEADER: usize = 40;

/// An entry whose hashes are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) sequence: u32,
    pub(super) flags: u32,
    pub(super) bins_size: u32,
    references: &'a [u8],
    pages: &'a [u8],
}

/// A log with its entries, up to the first that is none.
#[derive(Debug)]
pub(super) struct NewLog<'a> {
    pub(super) log: Log<'a>,
    /// In ascending order without a gap; never none.
    pub(super) entries: Vec<Entry<'a>>,
    /// The entry that would follow, if it was begun.
    pub(super) torn: Option<(u32, &'static str)>,
}

impl<'a> NewLog<'a> {
    /// `Err`: why it cannot be applied.
    pub(super) fn parse(log: Log<'a>) -> Result<Self, &'static str> {
        let base = BaseBlock::of_log(log.bytes, &[base::LOG_NEW]).map_err(|_| "its base block is damaged")?;
        if base.is_dirty() {
            return Err("its base block was not written to its end");
        }
        let (mut at, mut expected) = (SECTOR, base.primary_sequence);
        let (mut entries, mut torn) = (Vec::new(), None);
        while let Some(start) = log.bytes.get(at..).filter(|rest| rest.starts_with(ENTRY)) {
            match Entry::parse(start) {
                // What follows the newest entry is from an earlier round.
                Ok((entry, _)) if entry.sequence != expected => break,
                Ok((entry, size)) => {
                    entries.push(entry);
                    at += size;
                    expected = expected.wrapping_add(1);
                }
                Err(why) => {
                    torn =
                        header_sequence(start).filter(|sequence| *sequence == expected).map(|it| (it, why));
                    break;
                }
            }
        }
        if entries.is_empty() {
            Err("its first entry is damaged or missing")
        } else {
            Ok(Self { log, entries, torn })
        }
    }

    pub(super) fn first(&self) -> u32 {
        self.entries.first().map_or(0, |entry| entry.sequence)
    }

    pub(super) fn last(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }
}

impl<'a> Entry<'a> {
    /// The entry that `bytes` begin with, and its size.
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), &'static str> {
        let word = |at| le32(bytes, at).ok_or("it is cut off");
        let size = word(4)? as usize;
        let whole = bytes.get(..size).ok_or("it is cut off")?;
        let body = whole.get(HEADER..).filter(|_| size.is_multiple_of(SECTOR)).ok_or("its size is wrong")?;
        let hash_2 = whole.get(..32).map(marvin::hash);
        if hash_2 != le64(whole, 32) || le64(whole, 24) != Some(marvin::hash(body)) {
            return Err("a hash is wrong");
        }
        let (bins_size, count) = (word(16)?, word(20)? as usize);
        if bins_size == 0 || !bins_size.is_multiple_of(PAGE) {
            return Err("its hive bins data size is wrong");
        }
        let (references, pages) =
            body.split_at_checked(count.saturating_mul(8)).ok_or("its pages are not in it")?;
        let entry = Self { sequence: word(12)?, flags: word(8)?, bins_size, references, pages };
        let mut sum = 0usize;
        for (at, len) in entry.ranges() {
            let fits =
                len.is_multiple_of(SECTOR) && at.is_multiple_of(SECTOR) && at + len <= bins_size as usize;
            sum = sum.saturating_add(len);
            if !fits || sum > pages.len() {
                return Err("a page of it lies outside");
            }
        }
        Ok((entry, size))
    }

    /// Offset in the hive bins data and length of each page.
    fn ranges(&self) -> impl Iterator<Item = (usize, usize)> + use<'a> {
        self.references.as_chunks::<8>().0.iter().map(|pair| {
            let word = |at| le32(pair, at).unwrap_or_default() as usize;
            (word(0), word(4))
        })
    }

    /// Writes the pages into `primary`, which is at least as long as the entry says. Returns how many bytes.
    pub(super) fn apply(&self, primary: &mut [u8]) -> u64 {
        let (mut from, mut written) = (0, 0);
        for (at, len) in self.ranges() {
            let place = primary.get_mut(BASE_BLOCK + at..BASE_BLOCK + at + len);
            if let (Some(place), Some(page)) = (place, self.pages.get(from..from + len)) {
                place.copy_from_slice(page);
                written += len as u64;
            }
            from += len;
        }
        written
    }
}

/// The sequence number of the entry that `bytes` begin with, if its header has the right hash.
fn header_sequence(bytes: &[u8]) -> Option<u32> {
    let header = bytes.get(..32).filter(|header| header.starts_with(ENTRY))?;
    if le64(bytes, 32) == Some(marvin::hash(header)) { le32(bytes, 12) } else { None }
}

/// The latest number behind `than` that any header in `log` has, whatever the rest of the log is like.
pub(super) fn latest_after(log: &Log<'_>, than: u32) -> Option<u32> {
    let places = (SECTOR..log.bytes.len()).step_by(SECTOR);
    let sequences = places.filter_map(|at| header_sequence(log.bytes.get(at..)?));
    sequences.filter(|sequence| is_after(*sequence, than)).max_by_key(|sequence| sequence.wrapping_sub(than))
}
