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
