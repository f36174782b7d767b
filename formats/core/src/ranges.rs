//! A set of byte ranges.

use std::collections::BTreeMap;

/// Ranges of bytes that neither overlap nor touch: neighbours become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Adds `len` bytes from `offset`; an end beyond 64 bits is cut there.
    pub fn add(&mut self, offset: u64, len: u64) {
        let (mut start, mut end) = (offset, offset.saturating_add(len));
        if start == end {
            return;
        }
        while let Some((&from, &to)) = self.0.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            (start, end) = (start.min(from), end.max(to));
            self.0.remove(&from);
        }
        self.0.insert(start, end);
    }

    /// Takes `len` bytes from `offset` out.
    pub fn remove(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        while offset < end
            && let Some((&from, &to)) = self.0.range(..end).next_back().filter(|(_, to)| **to > offset)
        {
            self.0.remove(&from);
            if to > end {
                self.0.insert(end, to);
            }
            if from < offset {
                self.0.insert(from, offset);
            }
        }
    }

    /// Offset and length of every range, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(&start, &end)| (start, end - start))
    }

    /// The parts of its ranges that lie between two offsets: offset and length, ascending.
    pub fn within(&self, offset: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let before = self.0.range(..=offset).next_back().map_or(offset, |(&start, _)| start);
        let cut = move |(&start, &stop): (&u64, &u64)| (start.max(offset), stop.min(end));
        let parts = self.0.range(before..end.max(before)).map(cut);
        parts.filter(|(start, stop)| start < stop).map(|(start, stop)| (start, stop - start))
    }

    /// Whether the byte at `offset` is in the set, and how many bytes from there are of the same kind; `None` where they
    /// have no end.
    #[must_use]
    pub fn run_at(&self, offset: u64) -> (bool, Option<u64>) {
        if let Some((_, &end)) = self.0.range(..=offset).next_back().filter(|(_, end)| **end > offset) {
            return (true, Some(end - offset));
        }
        (false, self.0.range(offset..).next().map(|(&start, _)| start - offset))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes all ranges have together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, len)| len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_a_list_of_bytes_says() {
        let mut state = 7u64;
        for _ in 0..50 {
            let (mut set, mut bytes) = (RangeSet::default(), [false; 64]);
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (start, len) = ((state >> 33) % 60, (state >> 50) % 5);
                set.add(start, len);
                bytes[start as usize..(start + len).min(64) as usize].fill(true);
                let (start, len) = ((state >> 21) % 60, (state >> 44) % 4);
                set.remove(start, len);
                bytes[start as usize..(start + len).min(64) as usize].fill(false);
            }
            for (at, &wanted) in (0u64..).zip(&bytes) {
                let (found, run) = set.run_at(at);
                let same = bytes[at as usize..].iter().take_while(|byte| **byte == wanted).count() as u64;
                assert_eq!(found, wanted, "{set:?} {at}");
                assert_eq!(run.unwrap_or(64 - at), same, "{set:?} {at}");
            }
            assert_eq!(set.total(), bytes.iter().filter(|byte| **byte).count() as u64);
            let within: Vec<_> = set.within(7, 40).flat_map(|(at, len)| at..at + len).collect();
            assert_eq!(within, (7..40).filter(|at| bytes[*at as usize]).collect::<Vec<_>>(), "{set:?}");
            let touching = set.iter().zip(set.iter().skip(1)).any(|((a, len), (b, _))| a + len >= b);
            assert!(!touching, "{set:?}");
        }
    }
}
