//! The copy: workers read blocks, find zeros, hash and pack, and give the result to the sink.

use crate::blocks::BlockSet;
use crate::budget::workers;
use crate::checkpoints::{Checkpoints, Done};
use crate::digest::{BLOCK_SIZE, BlockList};
use crate::hashes::{HashKind, Hashes, Hashing, ShortRuns};
use crate::observer::Control;
use crate::planner::{Planner, WorkSource};
use crate::reading::data_bytes;
use crate::sample::Chosen;
use crate::stream::StreamPlanner;
use crate::turns::{Turns, locked};
use format_core::{ChunkStream, Disk, Error, ErrorKind, MAX_CHUNK, Needs, Result, Sink, codes};
use run::Run;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

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

/// What a copy takes of the disk in the same pass, to prove what it did.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The digest with its block hashes.
    pub digest: bool,
    /// Hashes of the whole disk.
    pub also: &'a [HashKind],
}

impl Proof<'_> {
    /// The digest alone.
    pub const DIGEST: Self = Self { digest: true, also: &[] };
}

/// Copies into `sink`, and takes the proof in the same pass. Does not finish the sink.
///
/// # Errors
/// What origin and sink report; `Temporary` when interrupted.
pub(crate) fn copy(
    origin: Origin<'_>,
    sink: &dyn Sink,
    proof: Proof<'_>,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    let sink = Some(checked(sink)?);
    let Proof { digest, also } = proof;
    match origin {
        Origin::Disk(disk) => {
            let source = Source { digest, ..Source::of(disk) };
            run("copy", source, Box::new(Planner::new(disk)), sink, also, control)
        }
        Origin::Difference { base, disk } => {
            let source = Source { digest, base: Some(base), ..Source::of(disk) };
            run("compare and copy", source, Box::new(Planner::new(disk)), sink, also, control)
        }
        Origin::Stream { stream, size } => {
            let source = Source { size, disk: None, base: None, bytes: Some(size), digest };
            run("copy", source, Box::new(StreamPlanner::new(stream, size)), sink, also, control)
        }
    }
}

/// Copies `disk` into `sink` and hashes it in the same pass. Does not finish the sink.
///
/// # Errors
/// What the disk and the sink report; `Temporary` when interrupted.
pub fn copy_disk(disk: &Disk, sink: &dyn Sink, control: Control<'_>) -> Result<CopyOutcome> {
    copy(Origin::Disk(disk), sink, Proof::DIGEST, control)
}

/// As [`copy_disk`], with checkpoints, and without what was done before.
pub(crate) fn copy_on(
    disk: &Disk,
    sink: &dyn Sink,
    checkpoints: &Checkpoints,
    done: Done,
    control: Control<'_>,
) -> Result<CopyOutcome> {
    let planner = Box::new(Planner::new(disk).without(done.blocks));
    let progress = Progress { checkpoints: Some(checkpoints), hashes: done.hashes, totals: done.totals };
    run_from("copy", Source::of(disk), planner, Some(checked(sink)?), &[], progress, control)
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
    copy(Origin::Difference { base, disk }, sink, Proof::DIGEST, control)
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
    copy(Origin::Stream { stream, size }, sink, Proof::DIGEST, control)
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
    /// Whether the digest is wanted.
    digest: bool,
}

impl<'a> Source<'a> {
    fn of(disk: &'a Disk) -> Self {
        Self { size: disk.virtual_size(), disk: Some(disk), base: None, bytes: None, digest: true }
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
    let hashes = if source.digest { BlockList::new(source.size)? } else { BlockList::untaken(source.size)? };
    let progress = Progress { checkpoints: None, hashes, totals: (0, 0) };
    run_from(stage, source, planner, sink, also, progress, control)
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
    also: &[HashKind],
    progress: Progress<'a>,
    control: Control<'a>,
) -> Result<CopyOutcome> {
    let hashing = (!also.is_empty()).then(|| Hashing::new(also, source.size));
    let (planner, bytes): (Box<dyn WorkSource + 'a>, _) = match (&hashing, source.bytes, source.disk) {
        (Some(_), ..) => (Box::new(ShortRuns::new(planner)), source.size),
        (None, None, Some(disk)) => (planner, data_bytes(disk, control)?),
        (None, bytes, _) => (planner, bytes.unwrap_or(source.size)),
    };
    control.observer.begin(stage, bytes);
    control.observer.pass(progress.totals.0);
    let packed = sink.is_some_and(|(_, needs)| needs.packed);
    let run = Run {
        source,
        sink,
        control,
        checkpoints: progress.checkpoints,
        planner: Mutex::new(planner),
        blocks: progress.hashes,
        hashing,
        turns: Turns::default(),
        totals: Mutex::new(progress.totals),
        failure: Mutex::new(None),
        sink_failed: AtomicBool::new(false),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers(control.threads, 1 + u64::from(source.base.is_some()), packed))
        .thread_name(|i| format!("copy-{i}"))
        .build()
        .map_err(|e| {
            Error::new(ErrorKind::Temporary, "cannot start worker threads")
                .with_code(&codes::HOST_MEMORY)
                .with_source(e)
        })?;
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
    let hashes = run.hashing.map_or_else(|| Ok(Hashes::new()), Hashing::finish)?;
    Ok(CopyOutcome { blocks: run.blocks, read, written, hashes })
}

#[cfg(test)]
mod pieces_tests;
mod run;
#[cfg(test)]
pub(crate) mod tests;
