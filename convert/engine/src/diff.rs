//! Where two disks differ: two images by sectors, an image and a manifest by blocks.

use crate::compare::{load, reads_zero};
use crate::digest::{BLOCK_SIZE, BlockList, check_disk_size};
use crate::manifest::Manifest;
use crate::observer::Control;
use crate::pipeline::digest_disk;
use crate::ranges::RangeList;
use format_core::{Disk, Error, ErrorKind, Result, codes, is_same_content};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// Differences are told in sectors.
const SECTOR: usize = 512;
/// What one worker takes at a time. Large, so that empty stretches of a huge disk are passed in few questions.
const WINDOW: u64 = 16 * BLOCK_SIZE;

/// Where two disks differ.
#[derive(Clone, Debug, Serialize)]
pub struct Differences {
    /// Whether the disks read the same and have the same size.
    pub same: bool,
    /// Size of the first disk in bytes.
    pub size_a: u64,
    /// Size of the second disk in bytes.
    pub size_b: u64,
    /// How many bytes from the start were compared: when the sizes differ, only what both have.
    pub compared: u64,
    /// Bytes that are compared as one: a range can begin and end with equal bytes.
    pub granularity: u64,
    /// The ranges that differ.
    pub differing: RangeList,
}

impl Differences {
    fn of((size_a, size_b): (u64, u64), compared: u64, granularity: u64, differing: RangeList) -> Self {
        let same = size_a == size_b && differing.count == 0;
        Self { same, size_a, size_b, compared, granularity, differing }
    }
}

/// Lists where two disks differ, in sectors of 512 bytes, as far as both go.
///
/// # Errors
/// What the disks report; `Limit` above 256 TiB; `Temporary` when interrupted.
pub fn diff_disks(a: &Disk, b: &Disk, control: Control<'_>) -> Result<Differences> {
    let sizes = (a.virtual_size(), b.virtual_size());
    let size = sizes.0.min(sizes.1);
    check_disk_size(size)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads.max(1)).build().map_err(|e| {
        Error::new(ErrorKind::Temporary, "cannot start worker threads")
            .with_code(&codes::HOST_MEMORY)
            .with_source(e)
    })?;
    control.observer.begin("compare", size);
    let windows = size.div_ceil(WINDOW);
    // A few windows a time, so that what they list is joined before there is much of it.
    let batch = pool.current_num_threads() as u64 * 4;
    let mut differing = RangeList::default();
    for first in (0..windows).step_by(batch as usize) {
        let lists: Vec<RangeList> = pool.install(|| {
            (first..windows.min(first + batch))
                .into_par_iter()
                .map_init(Buffers::default, |buffers, index| {
                    let start = index * WINDOW;
                    buffers.window(a, b, start, size.min(start + WINDOW), control)
                })
                .collect::<Result<_>>()
        })?;
        lists.iter().for_each(|list| differing.append(list));
    }
    control.observer.end();
    Ok(Differences::of(sizes, size, SECTOR as u64, differing))
}

/// Lists in which 4 MiB blocks a disk differs from the manifest at `manifest`. When the sizes differ, only whole blocks
/// that both have can be compared.
///
/// # Errors
/// What the disk and the manifest report; `Temporary` when interrupted.
pub fn diff_manifest(disk: &Disk, manifest: &Path, control: Control<'_>) -> Result<Differences> {
    let (manifest, expected) = Manifest::load(manifest)?;
    let found = digest_disk(disk, "compare", control)?.blocks;
    let sizes = (disk.virtual_size(), manifest.virtual_size);
    let mut differing = RangeList::default();
    let compared = found.for_each_difference(&expected, |index| {
        let (offset, len) = BlockList::block_range(index, sizes.0);
        differing.push(offset, len);
    })?;
    Ok(Differences::of(sizes, compared, BLOCK_SIZE, differing))
}

#[derive(Default)]
struct Buffers {
    a: Vec<u8>,
    b: Vec<u8>,
}

impl Buffers {
    /// The differing sectors from `start` to `end`.
    fn window(
        &mut self,
        a: &Disk,
        b: &Disk,
        start: u64,
        end: u64,
        control: Control<'_>,
    ) -> Result<RangeList> {
        control.check()?;
        let mut list = RangeList::default();
        if reads_zero(a, start, end)? && reads_zero(b, start, end)? {
            control.observer.advance(end - start);
            return Ok(list);
        }
        for at in (start..end).step_by(BLOCK_SIZE as usize) {
            control.check()?;
            let stop = end.min(at + BLOCK_SIZE);
            let zero = (reads_zero(a, at, stop)?, reads_zero(b, at, stop)?);
            if zero != (true, true) && !is_same_content(a, b, at, stop) {
                let len = (stop - at) as usize;
                load(a, at, len, zero.0, &mut self.a)?;
                load(b, at, len, zero.1, &mut self.b)?;
                list_sectors(at, &self.a, &self.b, &mut list);
            }
            control.observer.advance(stop - at);
        }
        Ok(list)
    }
}

/// Adds the sectors in which the bytes at `start` differ.
fn list_sectors(start: u64, a: &[u8], b: &[u8], list: &mut RangeList) {
    if a == b {
        return;
    }
    let offsets = (start..).step_by(SECTOR);
    for (offset, (a, b)) in offsets.zip(a.chunks(SECTOR).zip(b.chunks(SECTOR))) {
        if a != b {
            list.push(offset, a.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ChangedRange;
    use crate::observer::Silent;
    use crate::pipeline::tests::{Piece, disk_of};
    use std::sync::atomic::AtomicBool;

    fn diff(a: &Disk, b: &Disk, threads: usize) -> Differences {
        let interrupted = AtomicBool::new(false);
        diff_disks(a, b, Control { observer: &Silent, interrupted: &interrupted, threads }).unwrap()
    }

    #[test]
    fn sectors_across_blocks_and_windows_become_one_range() {
        let size = 3 * WINDOW + 100;
        let a = disk_of(size, vec![Piece(10, 4)]);
        let b = disk_of(
            size,
            vec![
                Piece(10, 5),
                Piece(WINDOW - 700, 800),
                Piece(2 * WINDOW + BLOCK_SIZE, 1),
                Piece(size - 1, 1),
            ],
        );
        let range = |offset, len| ChangedRange { offset, len };
        let wanted = [
            range(0, 512),
            range(WINDOW - 1024, 1536),
            range(2 * WINDOW + BLOCK_SIZE, 512),
            range(3 * WINDOW, 100),
        ];
        for threads in [1, 3] {
            let found = diff(&a, &b, threads);
            assert_eq!(found.differing.ranges, wanted);
            assert!(!found.same);
        }
        assert!(diff(&a, &a, 2).same);
    }

    #[test]
    fn of_disks_of_different_sizes_the_common_part_is_compared() {
        let a = disk_of(1000, vec![Piece(0, 10)]);
        let b = disk_of(5000, vec![Piece(0, 10), Piece(2000, 10)]);
        let found = diff(&a, &b, 2);
        assert_eq!((found.same, found.compared, found.differing.count), (false, 1000, 0));
    }
}
