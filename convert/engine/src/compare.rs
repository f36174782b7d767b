//! Do two disks read the same?

use crate::budget::workers;
use crate::digest::{BLOCK_SIZE, check_disk_size};
use crate::observer::Control;
use format_core::{Disk, ExtentKind, Result, is_same_content};
use rayon::prelude::*;
use serde::Serialize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one worker takes at a time. Large, so that empty stretches of a huge disk are passed in few questions.
const WINDOW: u64 = 64 * BLOCK_SIZE;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether the disks read the same.
    pub same: bool,
    /// Guest offset of the first byte that differs.
    pub first_difference: Option<u64>,
    /// Size of the first disk in bytes.
    pub size_a: u64,
    /// Size of the second disk in bytes.
    pub size_b: u64,
}

/// Compares two disks byte by byte. When one is longer, the rest of it must be zeros, or with `strict` the sizes must
/// be equal.
///
/// # Errors
/// What the disks report; `Limit` above 256 TiB; `Temporary` when interrupted.
pub fn compare_disks(a: &Disk, b: &Disk, strict: bool, control: Control<'_>) -> Result<Comparison> {
    let (size_a, size_b) = (a.virtual_size(), b.virtual_size());
    let outcome = |first_difference: Option<u64>, same| Comparison { same, first_difference, size_a, size_b };
    if strict && size_a != size_b {
        return Ok(outcome(None, false));
    }
    let size = size_a.max(size_b);
    check_disk_size(size)?;
    control.observer.begin("compare", size);
    let first = AtomicU64::new(u64::MAX);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers(control.threads, 2, false))
        .build()
        .map_err(|e| {
            format_core::Error::new(format_core::ErrorKind::Temporary, "cannot start worker threads")
                .with_source(e)
        })?;
    let compared = pool.install(|| {
        (0..size.div_ceil(WINDOW)).into_par_iter().try_for_each_init(Buffers::default, |buffers, index| {
            let start = index * WINDOW;
            buffers.compare_window(a, b, start..size.min(start + WINDOW), &first, control)
        })
    });
    control.observer.end();
    compared?;
    let first = Some(first.into_inner()).filter(|&at| at != u64::MAX);
    Ok(outcome(first, first.is_none()))
}

#[derive(Default)]
struct Buffers {
    a: Vec<u8>,
    b: Vec<u8>,
}

impl Buffers {
    /// Lowers `first` to the first difference in the window.
    fn compare_window(
        &mut self,
        a: &Disk,
        b: &Disk,
        window: Range<u64>,
        first: &AtomicU64,
        control: Control<'_>,
    ) -> Result<()> {
        let Range { mut start, end } = window;
        control.check()?;
        // What lies behind a known difference cannot be the first one.
        if start > first.load(Ordering::Relaxed) || reads_zero(a, start, end)? && reads_zero(b, start, end)? {
            control.observer.advance(end - start);
            return Ok(());
        }
        while start < end && start < first.load(Ordering::Relaxed) {
            control.check()?;
            let len = (end - start).min(BLOCK_SIZE);
            if let Some(at) = self.first_difference(a, b, start, len as usize)? {
                first.fetch_min(at, Ordering::Relaxed);
            }
            control.observer.advance(len);
            start += len;
        }
        Ok(())
    }

    fn first_difference(&mut self, a: &Disk, b: &Disk, start: u64, len: usize) -> Result<Option<u64>> {
        let end = start + len as u64;
        let (zero_a, zero_b) = (reads_zero(a, start, end)?, reads_zero(b, start, end)?);
        if zero_a && zero_b || is_same_content(a, b, start, end) {
            return Ok(None);
        }
        load(a, start, len, zero_a, &mut self.a)?;
        load(b, start, len, zero_b, &mut self.b)?;
        if self.a == self.b {
            return Ok(None);
        }
        Ok(self.a.iter().zip(&self.b).position(|(a, b)| a != b).map(|at| start + at as u64))
    }
}

/// Whether the bytes from `start` to `end` are known to be zeros without reading them.
pub(crate) fn reads_zero(disk: &Disk, start: u64, end: u64) -> Result<bool> {
    match disk.extents(start, end).next().transpose()? {
        None => Ok(true),
        Some(run) => Ok(run.kind == ExtentKind::Zero && run.end() >= end.min(disk.virtual_size())),
    }
}

/// The range's bytes, zeros beyond the end of the disk.
pub(crate) fn load(disk: &Disk, start: u64, len: usize, zero: bool, buf: &mut Vec<u8>) -> Result<()> {
    buf.resize(len, 0);
    if zero {
        buf.fill(0);
        return Ok(());
    }
    let inside = disk.virtual_size().saturating_sub(start).min(len as u64) as usize;
    disk.read_exact_at(start, &mut buf[..inside])?;
    buf[inside..].fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Silent;
    use crate::pipeline::tests::{Piece, disk_of};
    use std::sync::atomic::AtomicBool;

    fn compare(a: &Disk, b: &Disk, strict: bool) -> Comparison {
        let interrupted = AtomicBool::new(false);
        compare_disks(a, b, strict, Control { observer: &Silent, interrupted: &interrupted, threads: 3 })
            .unwrap()
    }

    #[test]
    fn the_first_difference_is_found_whatever_the_order_of_work() {
        let size = 20 * BLOCK_SIZE;
        let a = disk_of(size, vec![Piece(100, 50), Piece(9 * BLOCK_SIZE, 10)]);
        let b = disk_of(size, vec![Piece(100, 51), Piece(9 * BLOCK_SIZE, 9)]);
        assert_eq!(compare(&a, &b, false).first_difference, Some(150));
        assert!(compare(&a, &a, true).same);
    }

    #[test]
    fn differences_are_found_in_every_part_of_a_window() {
        let size = 3 * WINDOW + 5;
        let a = disk_of(size, vec![]);
        for at in [0, WINDOW - 1, WINDOW, WINDOW + BLOCK_SIZE, 3 * WINDOW - 1, size - 1] {
            let b = disk_of(size, vec![Piece(at, 1), Piece(size - 1, 1)]);
            assert_eq!(compare(&a, &b, false).first_difference, Some(at));
        }
    }

    #[test]
    fn a_longer_disk_is_the_same_when_its_rest_is_zeros_unless_strict() {
        let a = disk_of(1000, vec![Piece(0, 10)]);
        let b = disk_of(BLOCK_SIZE * 2, vec![Piece(0, 10)]);
        let c = disk_of(BLOCK_SIZE * 2, vec![Piece(0, 10), Piece(1000, 1)]);
        assert!(compare(&a, &b, false).same);
        assert_eq!(
            compare(&a, &b, true),
            Comparison { same: false, first_difference: None, size_a: 1000, size_b: 2 * BLOCK_SIZE }
        );
        assert_eq!(compare(&c, &a, false).first_difference, Some(1000));
    }
}
