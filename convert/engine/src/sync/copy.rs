//! The pass over two disks: read both, hash the one, write into the other where they differ.

use crate::chunks::{ChunkKind, runs_of_chunks};
use crate::digest::{BLOCK_SIZE, BlockList, Digest, block_hash};
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
    /// Blocks of 4 MiB in which the target was not what its manifest says, so that they were read from the source as a whole.
    pub blocks_doubted: u64,
}

impl SyncTotals {
    fn add(&mut self, more: Self) {
        self.source_read += more.source_read;
        self.target_read += more.target_read;
        self.blocks_compared += more.blocks_compared;
        self.blocks_rewritten += more.blocks_rewritten;
        self.bytes_rewritten += more.bytes_rewritten;
        self.blocks_doubted += more.blocks_doubted;
    }
}

/// What is known of source and target before they are read.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// They differ in these ranges only.
    pub differ: &'a RangeSet,
    /// That is true as long as the target is what these hashes say.
    pub target: Option<&'a BlockList>,
}

impl Known<'_> {
    /// Whether the target's block, whose hash is `found`, was changed by somebody else.
    fn is_doubted(&self, index: u64, len: u64, found: &Digest) -> Result<bool> {
        let end = (index * BLOCK_SIZE).saturating_add(len);
        match self.target {
            Some(target) if end <= target.virtual_size() => Ok(target.get(index)? != *found),
            _ => Ok(false),
        }
    }
}

/// Makes the disk of `update`, which reads as `target`, read as `source`, and hashes that. Both have the same size. Does not
/// finish the update.
///
/// With `known`, only these ranges of the source are read, and blocks of the target that are not as they should be.
pub(super) fn sync_disks(
    source: &Disk,
    target: &Disk,
    update: &dyn Update,
    known: Option<Known<'_>>,
    control: Control<'_>,
) -> Result<(BlockList, SyncTotals)> {
    let size = source.virtual_size();
    let run = Run {
        source,
        target,
        update,
        known,
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
    known: Option<Known<'a>>,
    chunk: usize,
    blocks: BlockList,
    totals: Mutex<SyncTotals>,
    control: Control<'a>,
}

impl Run<'_> {
    fn window(&self, window: Range<u64>, buffers: &mut Buffers) -> Result<()> {
        self.control.check()?;
        let Range { mut start, end } = window;
        let may_differ = match &self.known {
            Some(known) => {
                known.differ.within(start, end).next().is_some()
                    || self.is_any_doubted_hole(known, start, end)?
            }
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

    /// Whether a block there would be doubted if all of the target were a hole.
    fn is_any_doubted_hole(&self, known: &Known<'_>, start: u64, end: u64) -> Result<bool> {
        for index in start / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE) {
            let (_, len) = BlockList::block_range(index, end);
            // Of a block that was not set yet, the list has the hash of zeros.
            if known.target.is_some() && known.is_doubted(index, len, &self.blocks.get(index)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn block(&self, start: u64, len: usize, buffers: &mut Buffers) -> Result<()> {
        let (source, target) = (&mut buffers.source[..len], &mut buffers.target[..len]);
        let (index, target_read) = (start / BLOCK_SIZE, load(self.target, start, target)?);
        let known = self.known.as_ref();
        let known_target = known.filter(|known| known.target.is_some());
        let hash = known_target.map(|_| block_hash(target));
        let is_doubted = match (known_target, &hash) {
            (Some(known), Some(hash)) => known.is_doubted(index, len as u64, hash)?,
            _ => false,
        };
        let source_read = match known {
            Some(known) if !is_doubted => {
                source.copy_from_slice(target);
                let mut read = 0;
                for (at, len) in known.differ.within(start, start + len as u64) {
                    let from = (at - start) as usize;
                    read += load(self.source, at, &mut source[from..from + len as usize])?;
                }
                read
            }
            _ => load(self.source, start, source)?,
        };
        if source_read == 0 && target_read == 0 {
            locked(&self.totals).blocks_doubted += u64::from(is_doubted);
            return Ok(());
        }
        let is_same = source == target;
        self.blocks.set(index, &hash.filter(|_| is_same).unwrap_or_else(|| block_hash(source)))?;
        let bytes_rewritten = if is_same { 0 } else { self.rewrite(start, source, target)? };
        locked(&self.totals).add(SyncTotals {
            source_read,
            target_read,
            blocks_compared: 1,
            blocks_rewritten: u64::from(bytes_rewritten > 0),
            bytes_rewritten,
            blocks_doubted: u64::from(is_doubted),
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
