//! Lists of guest ranges that stay small whatever an image does.

use crate::manifest::ChangedRange;
use serde::Serialize;

/// Ranges that are kept at most: 4 MiB of memory.
const MAX_RANGES: usize = 1 << 18;

/// Ranges of guest bytes in ascending order, neighbours joined. Those beyond the first 262,144 are only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RangeList {
    /// How many ranges there are.
    pub count: u64,
    /// Bytes in all of them.
    pub bytes: u64,
    /// The first of them.
    pub ranges: Vec<ChangedRange>,
    /// Where the last range ends.
    #[serde(skip)]
    end: u64,
}

impl RangeList {
    /// Adds a range that begins where the last one ends, or behind it.
    pub(crate) fn push(&mut self, offset: u64, len: u64) {
        let joins = self.count > 0 && self.end == offset;
        let is_kept = self.ranges.len() as u64 == self.count;
        if !joins {
            self.count += 1;
            if self.ranges.len() < MAX_RANGES {
                self.ranges.push(ChangedRange { offset, len });
            }
        } else if is_kept && let Some(last) = self.ranges.last_mut() {
            last.len += len;
        }
        self.bytes += len;
        self.end = offset + len;
    }

    /// Adds all ranges of a list that begins where this one ends, or behind it.
    pub(crate) fn append(&mut self, other: &Self) {
        let kept: u64 = other.ranges.iter().map(|range| range.len).sum();
        other.ranges.iter().for_each(|range| self.push(range.offset, range.len));
        self.count += other.count - other.ranges.len() as u64;
        self.bytes += other.bytes - kept;
        self.end = self.end.max(other.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &RangeList) -> Vec<(u64, u64)> {
        list.ranges.iter().map(|range| (range.offset, range.len)).collect()
    }

    #[test]
    fn neighbours_are_joined() {
        let mut list = RangeList::default();
        for (offset, len) in [(0, 512), (512, 512), (2048, 512), (2560, 10)] {
            list.push(offset, len);
        }
        assert_eq!(pairs(&list), [(0, 1024), (2048, 522)]);
        let mut behind = RangeList::default();
        behind.push(2570, 6);
        behind.push(4096, 1);
        list.append(&behind);
        assert_eq!(pairs(&list), [(0, 1024), (2048, 528), (4096, 1)]);
        assert_eq!((list.count, list.bytes), (3, 1553));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut list = RangeList::default();
        let most = MAX_RANGES as u64;
        (0..most + 5).for_each(|index| list.push(index * 2, 1));
        list.push((most + 4) * 2 + 1, 1);
        assert_eq!((list.count, list.bytes, list.ranges.len() as u64), (most + 5, most + 6, most));
        assert_eq!(list.ranges.last().unwrap().len, 1);
        let mut all = RangeList::default();
        all.append(&list);
        assert_eq!(all, list);
    }
}
