//! The copy: workers read blocks, find zeros, hash and pack, and give the result to the sink.

use crate::budget::workers;
use crate::chunks::{ChunkKind, ChunkRun, give, runs_of_chunks};
use crate::digest::{BLOCK_SIZE, BlockList, block_hash};
use crate::hashes::{HashKind, Hashes, Hashing, ShortRuns};
use crate::observer::Control;
use crate::planner::{Planner, Work, WorkKind, WorkSource};
use crate::reading::{data_bytes, fill, next_data};
use crate::sample::{BlockSet, Chosen};
use crate::stream::StreamPlanner;
use crate::turns::{Turns, locked};
use format_core::{
    AlignedBuffer, ChunkStream, Disk, Error, HostRange, MAX_CHUNK, Needs, Order, Result, Sink,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// What a copy did.
#[derive(Debug)]
pub struct CopyOutcome {
    /// The hash of every block.
    pub blocks: BlockList,
    /// Bytes of data that were read.
    pub read: u64,
    /// Bytes of data that were not zeros and were handed to the sink.
    pub written: u64,
    /// The hashes of the whole disk that were asked for.
    pub hashes: Hashes,
}

/// What a copy reads.
pub(crate) enum Origin<'a> {
    /// A disk.
    Disk(&'a Disk),
    /// Of a disk what reads otherwise in `base`.
    Difference {
        /// What the sink's parent reads like.
        base: &'a Disk,
        /// What the sink shall read like.
        disk: &'a Disk,
    },
    /// What comes through a pipe, for a disk of at least its size.
    Stream {
        /// The pipe.
        stream: Box<dyn ChunkStream>,
        /// Size of the disk in bytes.
        size: u64,
    },
}

/// Copies into `sink`, and takes the digest and the hashes `also` of the whole disk in the same pass. Does not finish
/// the sink.
///
/// # Errors
/// What origin and sink report; `Temporary` when interrupted.
pub(crate) fn copy(
    origin: Origin<'_>,
    sink: &dyn Sink,
    also: &[HashKind],
    control: Control<'_>,
) -> Result<CopyOutcome> {
    let sink = Some(checked(sink)?);
    match origin {
        Origin::Disk(disk) => {
            run("copy", Source::of(disk), Box::new(Planner::new(disk)), sink, also, control)
        }
        Origin::Difference { base, disk } => {
            let source = Source { base: Some(base), ..Source::of(disk) };
            run("compare and copy", source, Box::new(Planner::new(disk)), sink, also, control)
        }
        Origin::Stream { stream, size } => {
            let source = Source { size, disk: None, base: None, bytes: Some(size) };
            run("copy", source, Box::new(StreamPlanner::new(stream, size)), sink, also, control)
        }
    }
}

/// Copies `disk` into `sink` and hashes it in the same pass. Does not finish the sink.
///
/// # Errors
/// What the disk and the sink report; `Temporary` when interrupted.
pub fn copy_disk(disk: &Disk, sink: &dyn Sink, control: Control<'_>) -> Result<CopyOutcome> {
    copy(Origin::Disk(disk), sink, &[], control)
}

/// Gives `sink` only the chunks of `disk` that read differently in `base`, and hashes the whole disk in the same pass.
/// Does not finish the sink.
///
/// # Errors
/// As [`copy_disk`].
pub fn copy_difference(
    base: &Disk,
    disk: &Disk,
    sink: &dyn Sink,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    copy(Origin::Difference { base, disk }, sink, &[], control)
}

/// Copies what comes through a pipe into `sink` and hashes it in the same pass. The disk has `size` bytes, at least the
/// stream's. Does not finish the sink.
///
/// # Errors
/// What the stream and the sink report; `Temporary` when interrupted.
pub fn copy_stream(
    stream: Box<dyn ChunkStream>,
    size: u64,
    sink: &dyn Sink,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    copy(Origin::Stream { stream, size }, sink, &[], control)
}

/// Hashes `disk`.
///
/// # Errors
/// What the disk reports; `Temporary` when interrupted.
pub fn digest_disk(disk: &Disk, stage: &'static str, control: Control<'_>) -> Result<CopyOutcome> {
    hash_disk(disk, stage, &[], control)
}

/// Hashes `disk`, and takes the hashes `also` of all its bytes.
///
/// # Errors
/// As [`digest_disk`].
pub fn hash_disk(
    disk: &Disk,
    stage: &'static str,
    also: &[HashKind],
    control: Control<'_>,
) -> Result<CopyOutcome> {
    run(stage, Source::of(disk), Box::new(Planner::new(disk)), None, also, control)
}

/// Hashes only the blocks that were chosen.
pub(crate) fn digest_blocks(
    disk: &Disk,
    stage: &'static str,
    chosen: &BlockSet,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    let source = Source { bytes: Some(chosen.len() * BLOCK_SIZE), ..Source::of(disk) };
    let planner = Chosen { planner: Planner::new(disk), blocks: chosen };
    run(stage, source, Box::new(planner), None, &[], control)
}

fn checked(sink: &dyn Sink) -> Result<(&dyn Sink, Needs)> {
    let needs = sink.needs();
    if !needs.chunk_size.is_power_of_two() || needs.chunk_size > MAX_CHUNK {
        return Err(Error::contract(format!("a sink asked for chunks of {:#x} bytes", needs.chunk_size)));
    }
    Ok((sink, needs))
}

/// Where the bytes come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    size: u64,
    /// `None` where the planner brings the bytes itself.
    disk: Option<&'a Disk>,
    /// Chunks that read the same here are left out.
    base: Option<&'a Disk>,
    /// How many bytes will be worked on, where the disk's extents do not tell.
    bytes: Option<u64>,
}

impl<'a> Source<'a> {
    fn of(disk: &'a Disk) -> Self {
        Self { size: disk.virtual_size(), disk: Some(disk), base: None, bytes: None }
    }
}

fn run<'a>(
    stage: &'static str,
    source: Source<'a>,
    planner: Box<dyn WorkSource + 'a>,
    sink: Option<(&'a dyn Sink, Needs)>,
    also: &[HashKind],
    control: Control<'a>,
) -> Result<CopyOutcome> {
    let blocks = BlockList::new(source.size)?;
    let hashing = (!also.is_empty()).then(|| Hashing::new(also, source.size));
    let (planner, bytes): (Box<dyn WorkSource + 'a>, _) = match (&hashing, source.bytes, source.disk) {
        (Some(_), ..) => (Box::new(ShortRuns::new(planner)), source.size),
        (None, None, Some(disk)) => (planner, data_bytes(disk, control)?),
        (None, bytes, _) => (planner, bytes.unwrap_or(source.size)),
    };
    control.observer.begin(stage, bytes);
    let packed = sink.is_some_and(|(_, needs)| needs.packed);
    let run = Run {
        source,
        sink,
        control,
        planner: Mutex::new(planner),
        blocks,
        hashing,
        turns: Turns::default(),
        totals: Mutex::default(),
        failure: Mutex::new(None),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers(control.threads, 1 + u64::from(source.base.is_some()), packed))
        .thread_name(|i| format!("copy-{i}"))
        .build()
        .map_err(|e| {
            Error::new(format_core::ErrorKind::Temporary, "cannot start worker threads").with_source(e)
        })?;
    pool.broadcast(|_| run.work_until_done());
    control.observer.end();
    if let Some(error) = locked(&run.failure).take() {
        return Err(error);
    }
    let (read, written) = *locked(&run.totals);
    let hashes = run.hashing.map_or_else(|| Ok(Hashes::new()), Hashing::finish)?;
    Ok(CopyOutcome { blocks: run.blocks, read, written, hashes })
}

/// What the workers of one run share.
struct Run<'a> {
    source: Source<'a>,
    sink: Option<(&'a dyn Sink, Needs)>,
    control: Control<'a>,
    planner: Mutex<Box<dyn WorkSource + 'a>>,
    blocks: BlockList,
    /// Hashes of the whole disk: they see every byte, zeros too.
    hashing: Option<Hashing>,
    turns: Turns,
    /// Bytes read, bytes written.
    totals: Mutex<(u64, u64)>,
    failure: Mutex<Option<Error>>,
}

/// One worker's memory: a block, and the base's block where there is one.
struct Buffers {
    block: AlignedBuffer,
    base: AlignedBuffer,
}

impl Run<'_> {
    /// One worker's life: take work, do it; stop at the end or at the first failure of any worker.
    fn work_until_done(&self) {
        let base = if self.source.base.is_some() { BLOCK_SIZE as usize } else { 0 };
        let mut buffers =
            Buffers { block: AlignedBuffer::zeroed(BLOCK_SIZE as usize), base: AlignedBuffer::zeroed(base) };
        loop {
            // A panic is our bug; the other workers must not wait for a turn that never comes.
            let step = catch_unwind(AssertUnwindSafe(|| self.step(&mut buffers)))
                .unwrap_or_else(|_| Err(Error::contract("a worker panicked")));
            if let Err(error) = step {
                locked(&self.failure).get_or_insert(error);
                self.turns.stop();
                self.hashing.iter().for_each(Hashing::stop);
                return;
            }
            if matches!(step, Ok(Step::End)) || locked(&self.failure).is_some() {
                return;
            }
        }
    }

    fn step(&self, buffers: &mut Buffers) -> Result<Step> {
        self.control.check()?;
        let work = locked(&self.planner).next(&mut buffers.block)?;
        match work {
            None => Ok(Step::End),
            Some(work) => self.do_work(&work, buffers).map(|()| Step::More),
        }
    }

    fn do_work(&self, work: &Work, buffers: &mut Buffers) -> Result<()> {
        match &work.kind {
            WorkKind::Zeros { offset, len } => {
                match self.source.base {
                    None => self.in_turn(work.turn, |sink| sink.zero_at(*offset, *len)),
                    Some(base) => self.zeros_over(base, work.turn, *offset, *len, buffers),
                }?;
                if let Some(hashing) = &self.hashing {
                    hashing.zeros(work.turn, *offset, *len);
                    self.control.observer.advance(*len);
                }
                Ok(())
            }
            WorkKind::Block { index, data } => {
                let start = index * BLOCK_SIZE;
                let len = (self.source.size - start).min(BLOCK_SIZE) as usize;
                let block = &mut buffers.block[..len];
                let read = match self.source.disk {
                    Some(disk) => fill(disk, block, start, data)?,
                    None => data.iter().map(|(_, len)| len).sum(),
                };
                let written = if self.share_data(data)? {
                    read
                } else {
                    self.write_block(work.turn, start, block, &mut buffers.base)?
                };
                self.blocks.set(*index, &block_hash(block))?;
                let mut totals = locked(&self.totals);
                *totals = (totals.0 + read, totals.1 + written);
                drop(totals);
                if let Some(hashing) = &self.hashing {
                    hashing.block(work.turn, *index, block);
                }
                self.control.observer.advance(if self.hashing.is_some() { len as u64 } else { read });
                Ok(())
            }
        }
    }

    /// Lets the target share the source's bytes where host and formats can. What it could not share is to be written, with
    /// all of the block.
    fn share_data(&self, data: &[(u64, u64)]) -> Result<bool> {
        let Source { disk: Some(disk), base: None, .. } = self.source else { return Ok(false) };
        let Some((sink, Needs { order: Order::Any, .. })) = self.sink else { return Ok(false) };
        for &(offset, len) in data {
            let (mut at, end) = (offset, offset + len);
            while at < end {
                let Some(range) = disk.host_range(at)? else { return Ok(false) };
                let range = HostRange { len: range.len.min(end - at), ..range };
                if range.len == 0 || !sink.share_at(at, &range)? {
                    return Ok(false);
                }
                at += range.len;
            }
        }
        Ok(true)
    }

    /// Hides what the base holds below a run of zeros. What both lack is passed without a look at each block.
    fn zeros_over(&self, base: &Disk, turn: u64, offset: u64, len: u64, buffers: &mut Buffers) -> Result<()> {
        let end = offset + len;
        let mut at = offset;
        buffers.block.fill(0);
        let mut hide = || -> Result<()> {
            while at < end {
                self.control.check()?;
                let Some(run) = next_data(base, at, end)? else { break };
                let start = run / BLOCK_SIZE * BLOCK_SIZE;
                at = end.min(start + BLOCK_SIZE);
                let start = start.max(offset);
                let block = &buffers.block[..(at - start) as usize];
                self.write_runs(start, block, &mut buffers.base)?;
            }
            Ok(())
        };
        // An ordered sink is held for the whole run: its later turns wait.
        self.in_turn(turn, |_| hide())
    }

    /// Gives the block to the sink in its turn.
    fn write_block(&self, turn: u64, start: u64, block: &[u8], base: &mut [u8]) -> Result<u64> {
        let Some((sink, needs)) = self.sink else { return Ok(0) };
        let runs = self.runs(needs, start, block, base)?;
        let mut packed = Vec::with_capacity(if needs.packed { runs.len() } else { 0 });
        if needs.packed {
            for run in runs.iter().filter(|run| run.kind == ChunkKind::Data) {
                packed.push(sink.pack(&block[run.from..run.to])?);
            }
        }
        let mut packed = packed.into_iter();
        let mut written = 0;
        self.in_turn(turn, |sink| {
            written = give(sink, start, block, &runs, &mut packed)?;
            Ok(())
        })?;
        Ok(written)
    }

    /// As [`Run::write_block`] for a caller that has the turn already, and a block without data.
    fn write_runs(&self, start: u64, zeros: &[u8], base: &mut [u8]) -> Result<()> {
        let Some((sink, needs)) = self.sink else { return Ok(()) };
        let runs = self.runs(needs, start, zeros, base)?;
        give(sink, start, zeros, &runs, &mut Vec::new().into_iter()).map(|_| ())
    }

    fn runs(&self, needs: Needs, start: u64, block: &[u8], base: &mut [u8]) -> Result<Vec<ChunkRun>> {
        let chunk = needs.chunk_size as usize;
        let Some(disk) = self.source.base else {
            return Ok(runs_of_chunks(block, None, chunk, needs.packed));
        };
        let base = &mut base[..block.len()];
        let inside = disk.virtual_size().saturating_sub(start).min(block.len() as u64) as usize;
        disk.read_exact_at(start.min(disk.virtual_size()), &mut base[..inside])?;
        base[inside..].fill(0);
        Ok(runs_of_chunks(block, Some(base), chunk, needs.packed))
    }

    /// Runs `action` on the sink, in its turn where the sink wants ascending offsets.
    fn in_turn(&self, turn: u64, action: impl FnOnce(&dyn Sink) -> Result<()>) -> Result<()> {
        match self.sink {
            None => Ok(()),
            Some((sink, Needs { order: Order::Any, .. })) => action(sink),
            Some((sink, Needs { order: Order::Ascending, .. })) => {
                // Stopped while waiting: another worker failed and its error is the one to tell.
                let Some(_turn) = self.turns.wait_for(turn) else { return Ok(()) };
                action(sink)
            }
        }
    }
}

enum Step {
    More,
    End,
}

#[cfg(test)]
pub(crate) mod tests;
