//! Ranges that come in order, with a bound on their number.

use crate::RangeSet;

/// Ranges that are held in memory; beyond, the closest become one.
const MAX_RANGES: usize = 1 << 19;
/// The least gap that is closed once there are too many ranges, in bytes.
const LEAST_GAP: u64 = 64 << 10;

/// Collects ranges that ascend and do not overlap, for what has to be in the result but may be joined by more: changed ranges, of which
/// a hostile bitmap could name billions. Neighbours become one; where there are too many, so do the closest ones.
#[derive(Debug, Default)]
pub struct AscendingRanges {
    ranges: Vec<(u64, u64)>,
    /// Ranges that are no further apart than this are one.
    gap: u64,
}

impl AscendingRanges {
    /// Adds the bytes from `start` to `end`, which follow those that were added before.
    pub fn add(&mut self, start: u64, end: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if start.saturating_sub(*last) <= self.gap => *last = end,
            _ => self.ranges.push((start, end)),
        }
        while self.ranges.len() > MAX_RANGES {
            self.gap = (self.gap * 2).max(LEAST_GAP);
            let gap = self.gap;
            self.ranges.dedup_by(|next, before| {
                let is_close = next.0.saturating_sub(before.1) <= gap;
                if is_close {
                    before.1 = next.1;
                }
                is_close
            });
        }
    }

    /// The ranges as a set.
    #[must_use]
    pub fn into_set(self) -> RangeSet {
        let mut set = RangeSet::default();
        self.ranges.iter().for_each(|(start, end)| set.add(*start, end.saturating_sub(*start)));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_ranges_become_coarse_and_lose_nothing() {
        let mut ranges = AscendingRanges::default();
        let count = MAX_RANGES as u64 + 1000;
        (0..count).for_each(|n| ranges.add(n * (1 << 17), n * (1 << 17) + 4096));
        assert!(ranges.ranges.len() <= MAX_RANGES);
        let set = ranges.into_set();
        assert!((0..count).step_by(997).all(|n| set.run_at(n * (1 << 17)).0));
    }

    #[test]
    fn neighbours_become_one() {
        let mut ranges = AscendingRanges::default();
        for (start, end) in [(0, 10), (10, 20), (21, 30)] {
            ranges.add(start, end);
        }
        assert_eq!(ranges.into_set().iter().collect::<Vec<_>>(), [(0, 20), (21, 9)]);
    }
}
