//! The mapfile of GNU ddrescue: which ranges of a disk were read, and which were not.
//!
//! Written from the manual of GNU ddrescue 1.27, "Mapfile structure": lines that begin with `#` are comments, the first
//! other line is the status of the run, every further one is `position size status`. Numbers are decimal, hexadecimal
//! with `0x`, or octal with a leading zero.

use crate::losses::LostRange;
use format_core::{Error, FileTarget, RangeSet, Result, TargetStorage, read_small_file};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// 16 MiB hold half a million ranges.
const MAX_LEN: u64 = 16 << 20;
/// How the files begin that are ours.
const OWN: &str = "# Mapfile. Created by rehome";

/// What is known of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeStatus {
    /// `?`: nobody tried.
    NonTried,
    /// `*`: a part of it failed, the rest was passed over.
    NonTrimmed,
    /// `/`: its edges were read, not what lies between.
    NonScraped,
    /// `-`: it was tried sector by sector and failed.
    Bad,
    /// `+`: read.
    Finished,
}

impl RangeStatus {
    const ALL: [(char, Self); 5] = [
        ('?', Self::NonTried),
        ('*', Self::NonTrimmed),
        ('/', Self::NonScraped),
        ('-', Self::Bad),
        ('+', Self::Finished),
    ];

    fn sign(self) -> char {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or('?', |(sign, _)| *sign)
    }
}

/// The status of every byte of a disk; what was never mentioned is [`RangeStatus::NonTried`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapfile {
    /// Where a status begins; it goes to the next one's begin.
    starts: BTreeMap<u64, RangeStatus>,
    size: u64,
    is_own: bool,
}

impl Mapfile {
    /// A map of `size` bytes that nobody tried.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { starts: BTreeMap::from([(0, RangeStatus::NonTried)]), size, is_own: true }
    }

    /// Where the last range ends, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether rehome wrote it, about a target of its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Gives `len` bytes from `offset` this status; what lies beyond the end is left out.
    pub fn set(&mut self, offset: u64, len: u64, status: RangeStatus) {
        let end = offset.saturating_add(len).min(self.size);
        if offset >= end {
            return;
        }
        let after =
            self.starts.range(..=end).next_back().map_or(RangeStatus::NonTried, |(_, status)| *status);
        let inside: Vec<u64> = self.starts.range(offset..end).map(|(start, _)| *start).collect();
        for start in inside {
            self.starts.remove(&start);
        }
        self.starts.insert(offset, status);
        if end < self.size {
            self.starts.insert(end, after);
        }
    }

    /// Notes what was written of a disk, and what of that are zeros because it could not be read.
    pub fn note(&mut self, written: &RangeSet, lost: &[LostRange]) {
        written.iter().for_each(|(offset, len)| self.set(offset, len, RangeStatus::Finished));
        for range in lost {
            let status = if range.is_tried { RangeStatus::Bad } else { RangeStatus::NonTrimmed };
            self.set(range.offset, range.len, status);
        }
    }

    /// Offset, length and status of every range, ascending; neighbours with one status are one range.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u64, u64, RangeStatus)> {
        let ends = self.starts.keys().skip(1).copied().chain([self.size]);
        let mut ranges: Vec<(u64, u64, RangeStatus)> = Vec::new();
        for ((&start, &status), end) in self.starts.iter().zip(ends) {
            match ranges.last_mut() {
                Some((_, len, last)) if *last == status => *len += end - start,
                _ if end > start => ranges.push((start, end - start, status)),
                _ => {}
            }
        }
        ranges
    }

    /// The ranges of a disk of `size` bytes that are not finished, those beyond the map's end among them.
    #[must_use]
    pub fn unfinished(&self, size: u64) -> Vec<(u64, u64, RangeStatus)> {
        let mut ranges = self.ranges();
        ranges.retain(|(offset, _, status)| *status != RangeStatus::Finished && *offset < size);
        ranges.iter_mut().for_each(|(offset, len, _)| *len = (*len).min(size - *offset));
        if size > self.size {
            ranges.push((self.size, size - self.size, RangeStatus::NonTried));
        }
        ranges
    }

    /// Reads the mapfile at `path`.
    ///
    /// # Errors
    /// `SourceMissing` when there is none, `Corrupt` when it is no mapfile.
    pub fn load(path: &Path) -> Result<Self> {
        let load = || {
            let text = read_small_file(path, MAX_LEN)?;
            Self::parse(&String::from_utf8_lossy(&text))
        };
        load().map_err(|e| e.context(format!("mapfile {}", path.display())))
    }

    /// Reads the text of a mapfile.
    ///
    /// # Errors
    /// `Corrupt` when it is none: ranges have to ascend without gaps or overlaps.
    pub fn parse(text: &str) -> Result<Self> {
        let mut map = Self { is_own: text.starts_with(OWN), ..Self::new(0) };
        let (mut has_status, mut has_range) = (false, false);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            let bad = || Error::corrupt(format!("line {number} is none of a mapfile: {line:?}"));
            match words.as_slice() {
                [] => {}
                [position, _status, ..] if !has_status => {
                    parse_number(position).ok_or_else(bad)?;
                    has_status = true;
                }
                [position, size, sign] if has_status => {
                    let (start, len) = (parse_number(position), parse_number(size));
                    let (start, len) = start.zip(len).ok_or_else(bad)?;
                    let known = RangeStatus::ALL.iter().find(|(known, _)| sign.chars().eq([*known]));
                    let (_, status) = known.ok_or_else(bad)?;
                    let end = start.checked_add(len).filter(|&end| end > start).ok_or_else(bad)?;
                    // A domain can begin later than the disk.
                    if start < map.size || start > map.size && has_range {
                        return Err(Error::corrupt(format!(
                            "line {number} begins at {start:#x}, the range before it ends at {:#x}",
                            map.size
                        )));
                    }
                    map.starts.insert(start, *status);
                    (map.size, has_range) = (end, true);
                }
                _ => return Err(bad()),
            }
        }
        if has_status { Ok(map) } else { Err(Error::corrupt("it has no status line")) }
    }

    /// Writes the mapfile to `path`, replacing an older one only when it is complete.
    ///
    /// # Errors
    /// As [`FileTarget::create`] and its methods.
    pub fn save(&self, path: &Path) -> Result<()> {
        let save = || {
            let file = Box::new(FileTarget::create(path, true)?);
            file.write_all_at(0, self.to_text().as_bytes())?;
            file.commit()
        };
        save().map_err(|e| e.context(format!("mapfile {}", path.display())))
    }

    /// The text of the file, as ddrescue reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let ranges = self.ranges();
        let next = ranges.iter().find(|(_, _, status)| *status != RangeStatus::Finished);
        // What a run has to do next is spelled with the same signs.
        let (position, run) = next.map_or((0, '+'), |(offset, _, status)| (*offset, status.sign()));
        let mut text = format!(
            "{OWN} {}\n# current_pos  current_status  current_pass\n0x{position:08X}     {run}               1\n\
             #      pos        size  status\n",
            env!("CARGO_PKG_VERSION")
        );
        for (offset, len, status) in ranges {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "0x{offset:08X}  0x{len:08X}  {}", status.sign());
        }
        text
    }
}

fn parse_number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    let radix = if text.len() > 1 && text.starts_with('0') { 8 } else { 10 };
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;

    #[test]
    fn what_is_written_is_read_again() {
        let mut map = Mapfile::new(10_000);
        let mut written = RangeSet::default();
        written.add(0, 5000);
        written.add(6000, 1000);
        let lost = |offset, is_tried| LostRange { offset, len: 512, reason: String::new(), is_tried };
        map.note(&written, &[lost(512, true), lost(1024, false)]);
        use RangeStatus::{Bad, Finished, NonTried, NonTrimmed};
        let expected = [
            (0, 512, Finished),
            (512, 512, Bad),
            (1024, 512, NonTrimmed),
            (1536, 3464, Finished),
            (5000, 1000, NonTried),
            (6000, 1000, Finished),
            (7000, 3000, NonTried),
        ];
        assert_eq!(map.ranges(), expected);
        let again = Mapfile::parse(&map.to_text()).unwrap();
        assert_eq!((again.ranges(), again.size(), again.is_own()), (expected.to_vec(), 10_000, true));
        assert_eq!(map.unfinished(6500).len(), 3);
        assert_eq!(map.unfinished(20_000).last(), Some(&(10_000, 10_000, NonTried)));
    }

    #[test]
    fn numbers_are_read_as_in_c_and_a_domain_may_begin_late() {
        let text = "# x\n0 +\n0x200 01000 -\n1024 0X400 + # why\n";
        let map = Mapfile::parse(text).unwrap();
        use RangeStatus::{Bad, Finished, NonTried};
        assert_eq!(map.ranges(), [(0, 512, NonTried), (512, 512, Bad), (1024, 1024, Finished)]);
        assert!(!map.is_own());
    }

    #[test]
    fn what_is_no_mapfile_is_refused() {
        for text in [
            "",
            "# only comments\n",
            "0 + 1\n0 512 x\n",
            "0 + 1\n0 512\n",
            "0 + 1\n0 0 +\n",
            "0 + 1\n0 512 +\n1024 512 +\n",
            "0 + 1\n0 512 +\n256 512 +\n",
            "0 + 1\n0 0xffffffffffffffff +\n0xffffffffffffffff 2 -\n",
            "disk image\nthat is none\n",
        ] {
            assert_eq!(Mapfile::parse(text).unwrap_err().kind(), ErrorKind::Corrupt, "{text:?}");
        }
    }
}
