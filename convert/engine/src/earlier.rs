//! A disk that was copied before, but for some ranges.

use format_core::{Disk, Extent, Layer, RangeSet, Result};
use std::sync::Arc;

/// The disk that reads as `earlier`, a copy of `source`, but in `missing`, which is read from `source` again.
///
/// # Errors
/// `Contract` never in practice.
pub fn continued(earlier: &Disk, source: &Disk, missing: RangeSet) -> Result<Disk> {
    let layer = Continued { earlier: earlier.clone(), source: source.clone(), missing };
    Disk::new(vec![Arc::new(layer)])
}

/// How many places are compared, and how long each is.
const SAMPLES: u64 = 256;
const SAMPLE_LEN: u64 = 4096;
/// A failing source can take seconds for each place that it cannot read any more.
const MAX_FAILURES: usize = 8;

/// Whether `earlier` can be a copy of `source` but for `missing`, by a look at some places; `None` when no place could be
/// looked at in both.
#[must_use]
pub fn is_copy(earlier: &Disk, source: &Disk, missing: &RangeSet) -> Option<bool> {
    let size = source.virtual_size();
    let (mut failures, mut compared) = (0, 0u64);
    // Not in their order: a source that fails, fails in neighbouring places.
    for sample in (0..SAMPLES).map(|number| number * 89 % SAMPLES) {
        let mut offset = (u128::from(size) * u128::from(sample) / u128::from(SAMPLES)) as u64;
        let (is_missing, run) = missing.run_at(offset);
        if is_missing {
            offset += run.unwrap_or(size);
        }
        let len = missing.run_at(offset).1.unwrap_or(size).min(size.saturating_sub(offset)).min(SAMPLE_LEN);
        if len == 0 || failures >= MAX_FAILURES {
            continue;
        }
        let [mut ours, mut theirs] = [vec![0; len as usize], vec![0; len as usize]];
        let read = source.read_exact_at(offset, &mut theirs);
        match read.and_then(|()| earlier.read_exact_at(offset, &mut ours)) {
            Ok(()) if ours != theirs => return Some(false),
            Ok(()) => compared += 1,
            Err(_) => failures += 1,
        }
    }
    (compared > 0).then_some(true)
}

struct Continued {
    earlier: Disk,
    source: Disk,
    missing: RangeSet,
}

impl Continued {
    /// Whose the byte at `offset` is, and how many bytes from there.
    fn run_at(&self, offset: u64) -> (&Disk, u64) {
        let left = self.source.virtual_size().saturating_sub(offset);
        let (is_missing, run) = self.missing.run_at(offset);
        (if is_missing { &self.source } else { &self.earlier }, run.map_or(left, |run| run.min(left)))
    }
}

impl Layer for Continued {
    fn format(&self) -> &'static str {
        "continued"
    }

    fn virtual_size(&self) -> u64 {
        self.source.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (disk, run) = self.run_at(offset);
        let extent = disk.extent_at(offset)?;
        Ok(Extent { len: extent.len.min(run), ..extent })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        format_core::check_guest_range(self.virtual_size(), offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let (disk, run) = self.run_at(at);
            let len = usize::try_from(run).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            disk.read_exact_at(at, now)?;
            (buf, at) = (rest, at + len as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Piece, disk_of};

    #[test]
    fn another_disk_is_told_from_a_copy_that_is_not_whole() {
        let source = disk_of(1 << 20, vec![Piece(0, 1 << 20)]);
        let mut missing = RangeSet::default();
        missing.add(1000, 500_000);
        let copy = disk_of(1 << 20, vec![Piece(0, 1000), Piece(501_000, 1 << 20)]);
        assert_eq!(is_copy(&copy, &source, &missing), Some(true));
        assert_eq!(is_copy(&copy, &source, &RangeSet::default()), Some(false));
        assert_eq!(is_copy(&Disk::blank(1 << 20), &source, &missing), Some(false));
        missing.add(0, 2 << 20);
        assert_eq!(is_copy(&copy, &source, &missing), None);
    }

    #[test]
    fn only_what_is_missing_comes_from_the_source() {
        let (earlier, source) = (Disk::blank(1000), disk_of(1000, vec![Piece(0, 1000)]));
        let mut missing = RangeSet::default();
        missing.add(100, 50);
        missing.add(990, 100);
        let disk = continued(&earlier, &source, missing.clone()).unwrap();
        let (mut bytes, mut all) = ([1; 1000], [0; 1000]);
        disk.read_exact_at(0, &mut bytes).unwrap();
        source.read_exact_at(0, &mut all).unwrap();
        for (at, &byte) in (0u64..).zip(&bytes) {
            let expected = if missing.run_at(at).0 { all[at as usize] } else { 0 };
            assert_eq!(byte, expected, "{at}");
        }
        let data: u64 = disk
            .extents(0, 1000)
            .map(|e| e.unwrap())
            .filter(|e| e.kind == format_core::ExtentKind::Data)
            .map(|e| e.len)
            .sum();
        assert_eq!(data, 60);
    }
}
