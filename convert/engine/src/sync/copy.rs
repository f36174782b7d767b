//! The pass over two disks: read both, hash the one, write into the other where they differ.

use crate::chunks::{ChunkKind, runs_of_chunks};
use crate::digest::{BLOCK_SIZE, BlockList, block_hash};
use crate::observer::Control;
use crate::turns::locked;
use format_core::{AlignedBuffer, Disk, Error, ErrorKind, ExtentKind, RangeSet, Result, Update, codes};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Mutex;

/// What one worker takes at a time. Large, so that empty stretches of a huge disk are passed in few questions.
const WINDOW: u64 = 64 * BLOCK_SIZE;

/// Differences are written at this granularity, or at the image's own where that is coarser.
const MIN_CHUNK: u64 = 64 << 10;

/// What a synchronisation read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncTotals {
    /// Bytes of data that were read from the source.
    pub source_read: u64,
    /// Bytes of data that were read from the target.
    pub target_read: u64,
    /// Blocks of 4 MiB that were compared; the others are holes on both sides.
    pub blocks_compared: u64,
    /// Blocks of 4 MiB in which something was rewritten.
    pub blocks_rewritten: u64,
    /// Bytes of the disk that were rewritten, zeros included.
    pub bytes_rewritten: u64,
}

impl SyncTotals {
    fn add(&mut self, more: Self) {
        self.source_read += more.source_read;
        self.target_read += more.target_read;
        self.blocks_compared += more.blocks_compared;
        self.blocks_rewritten += more.blocks_rewritten;
        self.bytes_rewritten += more.bytes_rewritten;
    }
}

/// Makes the disk of `update`, which reads as `target`, read as `source`, and hashes that. Both have the same size. Does not
/// finish the update.
///
/// With `wanted`, only these ranges of the source are read: the others are known to be the same.
pub(super) fn sync_disks(
    source: &Disk,
    target: &Disk,
    update: &dyn Update,
    wanted: Option<&RangeSet>,
    control: Control<'_>,
) -> Result<(BlockList, SyncTotals)> {
    let size = source.virtual_size();
    let run = Run {
        source,
        target,
        update,
        wanted,
        chunk: update.chunk_size().clamp(MIN_CHUNK, BLOCK_SIZE) as usize,
        blocks: BlockList::new(size)?,
        totals: Mutex::default(),
        control,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads.max(1)).build().map_err(|e| {
        Error::new(ErrorKind::Temporary, "cannot start worker threads")
            .with_code(&codes::HOST_MEMORY)
            .with_source(e)
    })?;
    control.observer.begin("synchronise", size);
    let done = pool.install(|| {
        (0..size.div_ceil(WINDOW)).into_par_iter().try_for_each_init(Buffers::new, |buffers, index| {
            let start = index * WINDOW;
            run.window(start..size.min(start + WINDOW), buffers)
        })
    });
    control.observer.end();
    done?;
    let totals = *locked(&run.totals);
    Ok((run.blocks, totals))
}

/// One worker's memory.
struct Buffers {
    source: AlignedBuffer,
    target: AlignedBuffer,
}

impl Buffers {
    fn new() -> Self {
        let block = || AlignedBuffer::zeroed(BLOCK_SIZE as usize);
        Self { source: block(), target: block() }
    }
}

struct Run<'a> {
    source: &'a Disk,
    target: &'a Disk,
    update: &'a dyn Update,
    wanted: Option<&'a RangeSet>,
    chunk: usize,
    blocks: BlockList,
    totals: Mutex<SyncTotals>,
    control: Control<'a>,
}

impl Run<'_> {
    fn window(&self, window: Range<u64>, buffers: &mut Buffers) -> Result<()> {
        self.control.check()?;
        let Range { mut start, end } = window;
        let may_differ = match self.wanted {
            Some(wanted) => wanted.within(start, end).next().is_some(),
            None => has_data(self.source, start, end)?,
        };
        if !may_differ && !has_data(self.target, start, end)? {
            self.control.observer.advance(end - start);
            return Ok(());
        }
        while start < end {
            self.control.check()?;
            let len = (end - start).min(BLOCK_SIZE);
            self.block(start, len as usize, buffers)?;
            self.control.observer.advance(len);
            start += len;
        }
        Ok(())
    }

    fn block(&self, start: u64, len: usize, buffers: &mut Buffers) -> Result<()> {
        let (source, target) = (&mut buffers.source[..len], &mut buffers.target[..len]);
        let target_read = load(self.target, start, target)?;
        let source_read = match self.wanted {
            None => load(self.source, start, source)?,
            Some(wanted) => {
                source.copy_from_slice(target);
                let mut read = 0;
                for (at, len) in wanted.within(start, start + len as u64) {
                    let from = (at - start) as usize;
                    read += load(self.source, at, &mut source[from..from + len as usize])?;
                }
                read
            }
        };
        if source_read == 0 && target_read == 0 {
            return Ok(());
        }
        self.blocks.set(start / BLOCK_SIZE, &block_hash(source))?;
        let bytes_rewritten = if source == target { 0 } else { self.rewrite(start, source, target)? };
        locked(&self.totals).add(SyncTotals {
            source_read,
            target_read,
            blocks_compared: 1,
            blocks_rewritten: u64::from(bytes_rewritten > 0),
            bytes_rewritten,
        });
        Ok(())
    }

    /// Writes the chunks that differ.
    fn rewrite(&self, start: u64, new: &[u8], old: &[u8]) -> Result<u64> {
        let mut written = 0;
        for run in runs_of_chunks(new, Some(old), self.chunk, false) {
            let (at, len) = (start + run.from as u64, (run.to - run.from) as u64);
            match run.kind {
                ChunkKind::Same => continue,
                ChunkKind::Zero => self.update.zero_at(at, len)?,
                ChunkKind::Data => self.update.write_at(at, &new[run.from..run.to])?,
            }
            written += len;
        }
        Ok(written)
    }
}

/// Whether there is anything but holes between the two places.
fn has_data(disk: &Disk, start: u64, end: u64) -> Result<bool> {
    match disk.extents(start, end).next().transpose()? {
        None => Ok(false),
        Some(run) => Ok(run.kind == ExtentKind::Data || run.end() < end),
    }
}

/// Fills `buf` with the disk's bytes from `start`; only data are read. Tells how many these were.
fn load(disk: &Disk, start: u64, buf: &mut [u8]) -> Result<u64> {
    let (mut done, mut read) = (0, 0);
    for extent in disk.extents(start, start + buf.len() as u64) {
        let extent = extent?;
        if extent.kind != ExtentKind::Data {
            continue;
        }
        let from = (extent.offset - start) as usize;
        let to = from + extent.len as usize;
        buf[done..from].fill(0);
        disk.read_exact_at(extent.offset, &mut buf[from..to])?;
        (done, read) = (to, read + extent.len);
    }
    buf[done..].fill(0);
    Ok(read)
}
