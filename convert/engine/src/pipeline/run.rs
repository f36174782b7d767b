//! What each worker does: take work, read, hash, hand over.

use super::Source;
use crate::checkpoints::{Checkpoints, Standing};
use crate::chunks::{ChunkKind, ChunkRun, give, runs_of_chunks};
use crate::digest::{BLOCK_SIZE, BlockLeaves, BlockList, block_hash};
use crate::hashes::Hashing;
use crate::observer::Control;
use crate::planner::{Work, WorkKind, WorkSource};
use crate::reading::{fill, next_data};
use crate::turns::{Turns, locked};
use format_core::{AlignedBuffer, Disk, Error, ErrorKind, HostRange, Needs, Order, PIECE_STEP, Result, Sink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the workers of one run share.
pub(super) struct Run<'a> {
    pub(super) source: Source<'a>,
    pub(super) sink: Option<(&'a dyn Sink, Needs)>,
    pub(super) control: Control<'a>,
    pub(super) checkpoints: Option<&'a Checkpoints>,
    pub(super) planner: Mutex<Box<dyn WorkSource + 'a>>,
    pub(super) blocks: BlockList,
    /// Hashes of the whole disk: they see every byte, zeros too.
    pub(super) hashing: Option<Hashing>,
    pub(super) turns: Turns,
    /// Bytes read, bytes written.
    pub(super) totals: Mutex<(u64, u64)>,
    pub(super) failure: Mutex<Option<Error>>,
    /// Whether the sink may have done half of something.
    pub(super) sink_failed: AtomicBool,
}

/// One worker's memory: a block, and the base's block where there is one.
struct Buffers {
    block: AlignedBuffer,
    base: AlignedBuffer,
}

impl Run<'_> {
    /// One worker's life: take work, do it; stop at the end or at the first failure of any worker.
    pub(super) fn work_until_done(&self) {
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

    pub(super) fn standing<'b>(&'b self, sink: &'b dyn Sink) -> Standing<'b> {
        Standing { sink, hashes: &self.blocks, totals: &self.totals, sink_failed: &self.sink_failed }
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
                    self.control.observer.pass(*len);
                }
                Ok(())
            }
            WorkKind::Block { index, data } => {
                let start = index * BLOCK_SIZE;
                let len = (self.source.size - start).min(BLOCK_SIZE) as usize;
                let block = &mut buffers.block[..len];
                let shared = self.share_data(start, len, data)?;
                let place = Place { turn: work.turn, index: *index, start };
                let (read, written) = match self.plain_range(start, len, data)? {
                    Some(range) if !shared => self.copy_pieces(&place, &range, block, &mut buffers.base)?,
                    _ => self.copy_block(&place, data, shared, block, &mut buffers.base)?,
                };
                let mut totals = locked(&self.totals);
                *totals = (totals.0 + read, totals.1 + written);
                drop(totals);
                if let Some(checkpoints) = self.checkpoints {
                    checkpoints.is_done(*index);
                }
                if let Some(hashing) = &self.hashing {
                    hashing.block(work.turn, *index, block);
                    self.control.observer.pass((len as u64).saturating_sub(read));
                }
                self.control.observer.advance(read);
                Ok(())
            }
        }
    }

    /// Reads the block, hands it over, and takes its hash.
    fn copy_block(
        &self,
        place: &Place,
        data: &[(u64, u64)],
        shared: bool,
        block: &mut [u8],
        base: &mut [u8],
    ) -> Result<(u64, u64)> {
        let is_hashed = self.blocks.is_taken() || self.hashing.is_some();
        let read = match self.source.disk {
            Some(disk) if !shared || is_hashed => fill(disk, block, place.start, data)?,
            _ => data.iter().map(|(_, len)| len).sum(),
        };
        let written = if shared { read } else { self.write_block(place.turn, place.start, block, base)? };
        if self.blocks.is_taken() {
            self.blocks.set(place.index, &block_hash(block))?;
        }
        Ok((read, written))
    }

    /// Where the block lies as it is in a storage, if there is data all over it.
    fn plain_range(&self, start: u64, len: usize, data: &[(u64, u64)]) -> Result<Option<HostRange>> {
        let Some(disk) = self.source.disk.filter(|_| *data == [(start, len as u64)]) else { return Ok(None) };
        Ok(disk.host_range(start)?.filter(|range| range.len >= len as u64))
    }

    /// As [`Run::copy_block`]: each piece is hashed while it is still in a processor's cache, and others are on their way; and written then, too,
    /// where the sink takes pieces.
    fn copy_pieces(
        &self,
        place: &Place,
        range: &HostRange,
        block: &mut [u8],
        base: &mut [u8],
    ) -> Result<(u64, u64)> {
        let (mut leaves, mut shown, mut written) = (BlockLeaves::of(block.len()), 0, 0);
        let sink = self.sink.filter(|(sink, needs)| self.takes_pieces(*sink, needs));
        let mut seen = |from: usize, piece: &[u8]| {
            shown += piece.len();
            if self.blocks.is_taken() {
                leaves.take(from, piece);
            }
            if sink.is_some() {
                written += self.write_block(place.turn, place.start + from as u64, piece, &mut [])?;
            }
            Ok(())
        };
        range.storage.read_pieces_at(range.offset, block, &mut seen)?;
        if shown != block.len() {
            return Err(Error::contract(format!("a storage showed {shown:#x} of {:#x} bytes", block.len())));
        }
        if sink.is_none() {
            written = self.write_block(place.turn, place.start, block, base)?;
        }
        if self.blocks.is_taken() {
            self.blocks.set(place.index, &leaves.hash())?;
        }
        Ok((block.len() as u64, written))
    }

    /// Whether pieces of a block can go to the sink alone.
    fn takes_pieces(&self, sink: &dyn Sink, needs: &Needs) -> bool {
        let is_plain = needs.order == Order::Any && !needs.packed && self.source.base.is_none();
        is_plain && needs.chunk_size <= PIECE_STEP && sink.takes_pieces()
    }

    /// Lets the target share the source's bytes of a block where host and formats can. What it could not share is to be
    /// written, with all of the block.
    fn share_data(&self, start: u64, len: usize, data: &[(u64, u64)]) -> Result<bool> {
        let Source { disk: Some(disk), base: None, .. } = self.source else { return Ok(false) };
        let Some((sink, needs @ Needs { order: Order::Any, .. })) = self.sink else { return Ok(false) };
        let chunk = needs.chunk_size;
        let mut done = start;
        for &(offset, len) in data {
            // Only whole chunks lie between what is shared, so what is not shared can be zeroed.
            if !offset.is_multiple_of(chunk) || !len.is_multiple_of(chunk) {
                return Ok(false);
            }
            let (mut at, end) = (offset, offset + len);
            while at < end {
                let Some(range) = disk.host_range(at)? else { return Ok(false) };
                let range = HostRange { len: range.len.min(end - at), ..range };
                if range.len == 0 || !sink.share_at(at, &range)? {
                    return Ok(false);
                }
                at += range.len;
            }
            if offset > done {
                sink.zero_at(done, offset - done)?;
            }
            done = end;
        }
        let end = start + len as u64;
        if end > done {
            sink.zero_at(done, end - done)?;
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

/// A block of work.
struct Place {
    turn: u64,
    index: u64,
    /// Guest offset of its first byte.
    start: u64,
}

enum Step {
    More,
    End,
}
