//! What a file system does not use, as a list whose memory has a bound.

use format_core::bit_run_lsb;
use std::ops::Range;

/// Shorter ranges are not worth a name: nothing is read, copied or left out in smaller pieces.
const LEAST: u64 = 64 << 10;
/// Ranges that are kept at once (8 MiB of memory). With more, the shorter ones go: they count as in use.
const MAX_RANGES: usize = 1 << 19;

/// Collects ranges of bytes that hold nothing: neighbours become one, short ones are dropped.
#[derive(Clone, Debug)]
pub struct FreeRanges {
    ranges: Vec<Range<u64>>,
    open: Range<u64>,
    least: u64,
    most: usize,
}

impl Default for FreeRanges {
    fn default() -> Self {
        Self { ranges: Vec::new(), open: 0..0, least: LEAST, most: MAX_RANGES }
    }
}

impl FreeRanges {
    /// Adds a range that begins at or behind the end of the one before; of any other, the part that does.
    pub fn add(&mut self, range: Range<u64>) {
        let start = range.start.max(self.open.end);
        if start >= range.end {
            return;
        }
        if start == self.open.end {
            self.open.end = range.end;
            return;
        }
        let done = std::mem::replace(&mut self.open, start..range.end);
        self.close(done);
    }

    fn close(&mut self, range: Range<u64>) {
        if self.ranges.len() >= self.most {
            self.keep_the_longer_half();
        }
        if range.end - range.start >= self.least {
            self.ranges.push(range);
        }
    }

    fn keep_the_longer_half(&mut self) {
        let len = |range: &Range<u64>| range.end - range.start;
        let mut lengths: Vec<u64> = self.ranges.iter().map(len).collect();
        let half = lengths.len() / 2;
        let (_, &mut median, longer) = lengths.select_nth_unstable(half);
        let longer = longer.iter().filter(|length| **length > median).count();
        // Of those that are just as long, the first ones stay.
        let mut room = half.saturating_sub(longer);
        self.ranges.retain(|range| {
            let stays = len(range) > median || (len(range) == median && room > 0);
            room -= usize::from(stays && len(range) == median);
            stays
        });
        self.least = median + 1;
    }

    /// The ranges, ascending, none of which touches another.
    #[must_use]
    pub fn finish(mut self) -> Vec<Range<u64>> {
        let last = self.open.clone();
        self.close(last);
        self.ranges
    }
}

/// Calls `visit` with each run of zero bits among the first `bits` of `bitmap`, the lowest bit of a byte first. Bits that
/// the bitmap does not have count as set.
pub fn zero_runs(bitmap: &[u8], bits: u64, mut visit: impl FnMut(Range<u64>)) {
    let end = bitmap.len().saturating_mul(8).min(usize::try_from(bits).unwrap_or(usize::MAX));
    let mut at = 0;
    while at < end {
        let (is_set, len) = bit_run_lsb(bitmap, at, end);
        let next = at + len.max(1);
        if !is_set {
            visit(at as u64..next as u64);
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_zero_bits_are_those_of_a_list_of_bits() {
        let mut state = 7u64;
        for round in 0..200u64 {
            let bitmap: Vec<u8> = (0..9)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    [0, 0xff, (state >> 33) as u8][(state >> 60) as usize % 3]
                })
                .collect();
            let bits = round % 80;
            let wanted: Vec<u64> =
                (0..bits.min(72)).filter(|bit| bitmap[*bit as usize / 8] & 1 << (bit % 8) == 0).collect();
            let (mut found, mut last) = (Vec::new(), None);
            zero_runs(&bitmap, bits, |run| {
                assert!(run.start < run.end && last.is_none_or(|last| last < run.start), "{run:?}");
                last = Some(run.end);
                found.extend(run);
            });
            assert_eq!(found, wanted, "{bitmap:?} {bits}");
        }
    }

    #[test]
    fn neighbours_become_one_and_short_ranges_go() {
        let mut free = FreeRanges::default();
        for range in [0..4096, 4096..LEAST, LEAST + 1..LEAST + 2, 1 << 20..2 << 20, 1 << 20..3 << 20, 5..6] {
            free.add(range);
        }
        assert_eq!(free.finish(), [0..LEAST, 1 << 20..3 << 20]);
    }

    #[test]
    fn beyond_the_bound_the_shorter_ones_count_as_in_use() {
        let mut free = FreeRanges { most: 64, ..FreeRanges::default() };
        let (mut at, mut added) = (0, Vec::new());
        for number in 1..1000u64 {
            let len = LEAST * (number * 7919 % 31 + 1);
            free.add(at..at + len);
            added.push(at..at + len);
            at += len + 1;
            assert!(free.ranges.len() <= 64);
        }
        let kept = free.finish();
        assert!(!kept.is_empty() && kept.len() <= 65 && kept.iter().all(|range| added.contains(range)));
        let longest = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).max();
        assert_eq!(longest(&kept), longest(&added));
    }
}
