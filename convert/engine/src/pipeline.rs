//! The copy: workers read blocks, find zeros, hash and pack, and give the result to the sink.

use crate::checkpoints::{Checkpoints, Done, Standing};
use crate::chunks::{ChunkKind, ChunkRun, give, runs_of_chunks};
use crate::digest::{BLOCK_SIZE, BlockList, block_hash};
use crate::observer::Control;
use crate::planner::{Planner, Work, WorkKind, WorkSource};
use crate::stream::StreamPlanner;
use crate::turns::{Turns, locked};
use format_core::{ChunkStream, Disk, Error, ErrorKind, ExtentKind, MAX_CHUNK, Needs, Order, Result, Sink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a copy did.
#[derive(Debug)]
pub struct CopyOutcome {
    /// The hash of every block.
    pub blocks: BlockList,
    /// Bytes of data that were read.
    pub read: u64,
    /// Bytes of data that were not zeros and were handed to the sink.
    pub written: u64,
}

/// Copies `disk` into `sink` and hashes it in the same pass. Does not finish the sink.
///
/// # Errors
/// What the disk and the sink report; `Temporary` when interrupted.
pub fn copy_disk(disk: &Disk, sink: &dyn Sink, control: Control<'_>) -> Result<CopyOutcome> {
    let source = Source { size: disk.virtual_size(), disk: Some(disk), base: None };
    run("copy", source, Box::new(Planner::new(disk)), Some(checked(sink)?), control)
}

/// As [`copy_disk`], with checkpoints, and without what was done before.
pub(crate) fn copy_on(
    disk: &Disk,
    sink: &dyn Sink,
    checkpoints: &Checkpoints,
    done: Done,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    let source = Source { size: disk.virtual_size(), disk: Some(disk), base: None };
    let planner = Box::new(Planner::new(disk).without(done.blocks));
    let progress = Progress { checkpoints: Some(checkpoints), hashes: done.hashes, totals: done.totals };
    run_from("copy", source, planner, Some(checked(sink)?), progress, control)
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
    let source = Source { size: disk.virtual_size(), disk: Some(disk), base: Some(base) };
    run("compare and copy", source, Box::new(Planner::new(disk)), Some(checked(sink)?), control)
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
    let source = Source { size, disk: None, base: None };
    run("copy", source, Box::new(StreamPlanner::new(stream, size)), Some(checked(sink)?), control)
}

/// Hashes `disk`.
///
/// # Errors
/// What the disk reports; `Temporary` when interrupted.
pub fn digest_disk(disk: &Disk, stage: &'static str, control: Control<'_>) -> Result<CopyOutcome> {
    let source = Source { size: disk.virtual_size(), disk: Some(disk), base: None };
    run(stage, source, Box::new(Planner::new(disk)), None, control)
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
}

fn run<'a>(
    stage: &'static str,
    source: Source<'a>,
    planner: Box<dyn WorkSource + 'a>,
    sink: Option<(&'a dyn Sink, Needs)>,
    control: Control<'a>,
) -> Result<CopyOutcome> {
    let hashes = BlockList::new(source.size)?;
    let progress = Progress { checkpoints: None, hashes, totals: (0, 0) };
    run_from(stage, source, planner, sink, progress, control)
}

/// Where a run stands when it begins, and who remembers where it stands later.
struct Progress<'a> {
    checkpoints: Option<&'a Checkpoints>,
    hashes: BlockList,
    totals: (u64, u64),
}

fn run_from<'a>(
    stage: &'static str,
    source: Source<'a>,
    planner: Box<dyn WorkSource + 'a>,
    sink: Option<(&'a dyn Sink, Needs)>,
    progress: Progress<'a>,
    control: Control<'a>,
) -> Result<CopyOutcome> {
    let data = source.disk.map_or(Ok(source.size), |disk| data_bytes(disk, control))?;
    control.observer.begin(stage, data);
    control.observer.advance(progress.totals.0);
    let run = Run {
        source,
        sink,
        control,
        checkpoints: progress.checkpoints,
        planner: Mutex::new(planner),
        blocks: progress.hashes,
        turns: Turns::default(),
        totals: Mutex::new(progress.totals),
        failure: Mutex::new(None),
        sink_failed: AtomicBool::new(false),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(control.threads.max(1))
        .thread_name(|i| format!("copy-{i}"))
        .build()
        .map_err(|e| Error::new(ErrorKind::Temporary, "cannot start worker threads").with_source(e))?;
    pool.broadcast(|_| run.work_until_done());
    control.observer.end();
    let failure = locked(&run.failure).take();
    if let (Some(checkpoints), Some((sink, _))) = (run.checkpoints, run.sink) {
        checkpoints.close(failure.as_ref(), &run.standing(sink))?;
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let (read, written) = *locked(&run.totals);
    Ok(CopyOutcome { blocks: run.blocks, read, written })
}

/// Bytes of data in the disk, holes not counted.
fn data_bytes(disk: &Disk, control: Control<'_>) -> Result<u64> {
    let mut total = 0u64;
    for extent in disk.extents(0, disk.virtual_size()) {
        control.check()?;
        let extent = extent?;
        if extent.kind == ExtentKind::Data {
            total = total.saturating_add(extent.len);
        }
    }
    Ok(total)
}

/// What the workers of one run share.
struct Run<'a> {
    source: Source<'a>,
    sink: Option<(&'a dyn Sink, Needs)>,
    control: Control<'a>,
    checkpoints: Option<&'a Checkpoints>,
    planner: Mutex<Box<dyn WorkSource + 'a>>,
    blocks: BlockList,
    turns: Turns,
    /// Bytes read, bytes written.
    totals: Mutex<(u64, u64)>,
    failure: Mutex<Option<Error>>,
    /// Whether the sink may have done half of something.
    sink_failed: AtomicBool,
}

/// One worker's memory: a block, and the base's block where there is one.
struct Buffers {
    block: Vec<u8>,
    base: Vec<u8>,
}

impl Run<'_> {
    /// One worker's life: take work, do it; stop at the end or at the first failure of any worker.
    fn work_until_done(&self) {
        let base = if self.source.base.is_some() { BLOCK_SIZE as usize } else { 0 };
        let mut buffers = Buffers { block: vec![0; BLOCK_SIZE as usize], base: vec![0; base] };
        loop {
            // A panic is our bug; the other workers must not wait for a turn that never comes.
            let step = catch_unwind(AssertUnwindSafe(|| self.step(&mut buffers)))
                .unwrap_or_else(|_| Err(Error::contract("a worker panicked")));
            if let Err(error) = step {
                locked(&self.failure).get_or_insert(error);
                self.turns.stop();
                return;
            }
            if matches!(step, Ok(Step::End)) || locked(&self.failure).is_some() {
                return;
            }
        }
    }

    fn step(&self, buffers: &mut Buffers) -> Result<Step> {
        self.control.check()?;
        // Before a turn is taken: who has an earlier turn than another never waits for a checkpoint that waits for that one.
        let working = self.checkpoints.map(Checkpoints::working);
        let work = locked(&self.planner).next(&mut buffers.block)?;
        let Some(work) = work else { return Ok(Step::End) };
        self.do_work(&work, buffers)?;
        drop(working);
        if let (Some(checkpoints), Some((sink, _))) = (self.checkpoints, self.sink) {
            checkpoints.at_pace(&self.standing(sink))?;
        }
        Ok(Step::More)
    }

    fn standing<'b>(&'b self, sink: &'b dyn Sink) -> Standing<'b> {
        Standing { sink, hashes: &self.blocks, totals: &self.totals, sink_failed: &self.sink_failed }
    }

    fn do_work(&self, work: &Work, buffers: &mut Buffers) -> Result<()> {
        match &work.kind {
            WorkKind::Zeros { offset, len } => match self.source.base {
                None => self.in_turn(work.turn, |sink| sink.zero_at(*offset, *len)),
                Some(base) => self.zeros_over(base, work.turn, *offset, *len, buffers),
            },
            WorkKind::Block { index, data } => {
                let start = index * BLOCK_SIZE;
                let len = (self.source.size - start).min(BLOCK_SIZE) as usize;
                let block = &mut buffers.block[..len];
                let read = match self.source.disk {
                    Some(disk) => fill(disk, block, start, data)?,
                    None => data.iter().map(|(_, len)| len).sum(),
                };
                let written = self.write_block(work.turn, start, block, &mut buffers.base)?;
                self.blocks.set(*index, &block_hash(block))?;
                let mut totals = locked(&self.totals);
                *totals = (totals.0 + read, totals.1 + written);
                drop(totals);
                if let Some(checkpoints) = self.checkpoints {
                    checkpoints.is_done(*index);
                }
                self.control.observer.advance(read);
                Ok(())
            }
        }
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
        let Some((sink, needs)) = self.sink else { return Ok(()) };
        let _turn = match needs.order {
            Order::Any => None,
            Order::Ascending => match self.turns.wait_for(turn) {
                None => return Err(stopped()),
                turn => turn,
            },
        };
        action(sink).inspect_err(|_| self.sink_failed.store(true, Ordering::Relaxed))
    }
}

/// Another worker failed while this one waited: its error is there already, and is the one to tell.
fn stopped() -> Error {
    Error::new(ErrorKind::Temporary, "stopped by the failure of another worker")
}

enum Step {
    More,
    End,
}

/// Reads the data ranges into the block and clears what lies between them.
fn fill(disk: &Disk, block: &mut [u8], start: u64, data: &[(u64, u64)]) -> Result<u64> {
    let (mut done, mut read) = (0, 0);
    for &(offset, len) in data {
        let (from, to) = ((offset - start) as usize, (offset - start + len) as usize);
        block[done..from].fill(0);
        disk.read_exact_at(offset, &mut block[from..to])?;
        (done, read) = (to, read + len);
    }
    block[done..].fill(0);
    Ok(read)
}

/// Where the next data of `disk` begin, before `end`. It looks no further: how far they go would be asked again from
/// their every block.
pub(crate) fn next_data(disk: &Disk, start: u64, end: u64) -> Result<Option<u64>> {
    let end = end.min(disk.virtual_size());
    let mut at = start;
    while at < end {
        let extent = disk.extent_at(at)?;
        if extent.kind == ExtentKind::Data {
            return Ok(Some(at));
        }
        at = extent.end();
    }
    Ok(None)
}

#[cfg(test)]
pub(crate) mod tests;
