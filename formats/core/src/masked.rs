//! A disk of which some ranges read as zeros, whatever it holds there.

use crate::{
    Disk, Error, Extent, ExtentKind, HostRange, Layer, RangeSet, Result, Warning, check_guest_range,
};
use std::sync::Arc;

/// Only whole pieces of this many bytes, from a multiple of it, are masked: shorter holes cost more than they save.
pub const MASK_STEP: u64 = 64 << 10;

/// The disk with zeros in all of `free` that is made of whole pieces of [`MASK_STEP`] bytes. What lies there is not read.
#[must_use]
pub fn masked(disk: &Disk, free: &RangeSet) -> Disk {
    let size = disk.virtual_size();
    let mut zeros = RangeSet::default();
    for (offset, len) in free.iter() {
        let start = offset.checked_next_multiple_of(MASK_STEP).unwrap_or(size);
        let end = offset.saturating_add(len).min(size);
        zeros.add(start, (end - end % MASK_STEP).saturating_sub(start));
    }
    Disk::over(Arc::new(Masked { disk: disk.clone(), zeros }))
}

struct Masked {
    disk: Disk,
    zeros: RangeSet,
}

impl Masked {
    /// Whether the byte at `offset` is masked, and for how many bytes that holds.
    fn run_at(&self, offset: u64) -> (bool, u64) {
        let left = self.disk.virtual_size().saturating_sub(offset);
        let (is_masked, len) = self.zeros.run_at(offset);
        (is_masked, len.map_or(left, |len| len.min(left)))
    }
}

impl Layer for Masked {
    fn format(&self) -> &'static str {
        "masked"
    }

    fn virtual_size(&self) -> u64 {
        self.disk.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        self.disk.layers().first().map_or(1, |layer| layer.chunk_size())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        match self.run_at(offset) {
            (_, 0) => {
                let size = self.disk.virtual_size();
                Err(Error::usage(format!("extent asked for at {offset:#x} of a disk of {size:#x} bytes")))
            }
            (true, len) => Ok(Extent { offset, len, kind: ExtentKind::Zero }),
            (false, len) => {
                let extent = self.disk.extent_at(offset)?;
                Ok(Extent { len: extent.len.min(len), ..extent })
            }
        }
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.disk.virtual_size(), offset, buf.len() as u64)?;
        while !buf.is_empty() {
            let (is_masked, len) = self.run_at(offset);
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match is_masked {
                true => now.fill(0),
                false => self.disk.read_exact_at(offset, now)?,
            }
            buf = rest;
            offset += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        let (false, len) = self.run_at(offset) else { return None };
        let range = self.disk.host_range(offset).ok().flatten()?;
        Some(HostRange { len: range.len.min(len), ..range })
    }

    fn warnings(&self) -> &[Warning] {
        self.disk.layers().first().map(|layer| layer.warnings()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte tells its place, none is zero.
    struct Ramp(u64);

    impl Layer for Ramp {
        fn format(&self) -> &'static str {
            "ramp"
        }
        fn virtual_size(&self) -> u64 {
            self.0
        }
        fn chunk_size(&self) -> u64 {
            1
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            Ok(Extent { offset, len: self.0 - offset, kind: ExtentKind::Data })
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            buf.iter_mut().zip(offset..).for_each(|(to, at)| *to = (at % 251) as u8 + 1);
            Ok(())
        }
    }

    #[test]
    fn whole_pieces_of_what_is_free_are_zeros_and_all_else_is_the_disk() {
        let size = 9 * MASK_STEP + 100;
        let disk = Disk::new(vec![Arc::new(Ramp(size))]).unwrap();
        let mut free = RangeSet::default();
        for (start, end) in
            [(1, MASK_STEP), (MASK_STEP + 1, 4 * MASK_STEP - 1), (5 * MASK_STEP, 6 * MASK_STEP)]
        {
            free.add(start, end - start);
        }
        // Behind the last whole piece, and beyond the end.
        free.add(8 * MASK_STEP - 7, u64::MAX);
        let masked = masked(&disk, &free);
        assert_eq!(masked.virtual_size(), size);
        let zero = |at: u64| {
            (2 * MASK_STEP..3 * MASK_STEP).contains(&at)
                || (5 * MASK_STEP..6 * MASK_STEP).contains(&at)
                || (8 * MASK_STEP..9 * MASK_STEP).contains(&at)
        };
        let (mut found, mut wanted) = (vec![7; size as usize], vec![0; size as usize]);
        masked.read_exact_at(0, &mut found).unwrap();
        disk.read_exact_at(0, &mut wanted).unwrap();
        (0..size).filter(|at| zero(*at)).for_each(|at| wanted[at as usize] = 0);
        assert!(found == wanted);
        let mut at = 0;
        for extent in masked.extents(0, size) {
            let extent = extent.unwrap();
            assert_eq!(extent.offset, at);
            assert_eq!(extent.kind == ExtentKind::Zero, zero(at), "{extent:?}");
            at = extent.end();
        }
        assert_eq!(at, size);
        let mut piece = [9; 300];
        masked.read_exact_at(2 * MASK_STEP - 150, &mut piece).unwrap();
        assert!(piece[..150].iter().all(|byte| *byte != 0) && piece[150..] == [0; 150]);
        assert!(masked.read_exact_at(size - 1, &mut piece).is_err() && masked.extent_at(size).is_err());
    }
}
