//! Writing dynamic, fixed and differencing VHDX images, in any order and from many threads.
//!
//! A block gets its place in the file at its first touch; what is not written of it is a hole of the file and reads
//! as zeros. Nothing but blocks is written before [`Sink::finish`], and the file type identifier is written last.
//!
//! A chunk of a differencing image is eight logical sectors, one byte of the sector bitmap: bits go straight to the
//! file, and nothing of the bitmaps is kept in memory.

mod blocks;
mod difference;
mod parent;
mod plan;
mod tables;

use crate::layout::{BAT_OFFSET_SHIFT, FILE_SIGNATURE};
use blocks::Blocks;
use format_core::units::{KIB, MIB};
use format_core::{
    CreateRequest, Error, Needs, Order, Packed, Result, Sink, StateReader, StateWriter, TargetStorage,
};
use plan::Plan;
use std::sync::{Mutex, PoisonError};
use tables::Identity;

pub(crate) use plan::size_step;
pub(crate) use tables::next_headers;

/// Zeros are left out at this granularity. Smaller chunks would only make holes inside allocated blocks.
const CHUNK: u64 = 64 * KIB;
/// The BAT is written in pieces of this many bytes.
const BAT_PIECE: usize = 1 << 20;

struct VhdxSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    blocks: Mutex<Blocks>,
    /// Whether blocks may hold bytes of an interrupted run.
    resumed: bool,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    if target.is_sequential() {
        return Err(Error::unsupported("a pipe takes no vhdx image: it begins with what is known last")
            .in_format(crate::FORMAT.name)
            .hint("write it to a file, or send raw through the pipe"));
    }
    let blocks = Blocks::new(&plan);
    if plan.fixed {
        target.set_len(u64::from(blocks.next) << BAT_OFFSET_SHIFT)?;
        // Nothing is said of ranges that are never written.
        let first = u64::from(plan.first_block_mib) << BAT_OFFSET_SHIFT;
        target.zero_range(first, u64::from(plan.blocks) * u64::from(plan.block_mib) * MIB)?;
    }
    Ok(Box::new(VhdxSink { target, plan, blocks: Mutex::new(blocks), resumed: false }))
}

/// The places of the blocks are the state: the BAT is written at the end.
pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let mut reader = StateReader::new(state);
    let places = reader.list_of(plan.blocks as usize)?;
    reader.end()?;
    let blocks = Blocks::restored(&plan, places)?;
    target.resume_at(u64::from(blocks.next) << BAT_OFFSET_SHIFT)?;
    // It may have been interrupted after the signature was written.
    target.write_all_at(0, &[0; FILE_SIGNATURE.len()])?;
    Ok(Box::new(VhdxSink { target, plan, blocks: Mutex::new(blocks), resumed: true }))
}

/// A piece of a write that lies in the file in one run.
struct Piece {
    host: u64,
    len: usize,
}

impl VhdxSink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.plan.parameters.virtual_size;
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes written at {offset:#x} of a disk of {size:#x} bytes"))
            .in_format(crate::FORMAT.name))
    }

    /// Gives every block of the range a place and tells where its bytes go, neighbours joined.
    fn pieces(&self, offset: u64, len: usize) -> Result<Vec<Piece>> {
        let block_size = self.plan.parameters.block_size;
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut at, mut left) = (offset, len as u64);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks { places, next, .. } = &mut *blocks;
        while left > 0 {
            let inside = at % block_size;
            let now = left.min(block_size - inside);
            // The range was checked, so the block exists.
            let Some(place) = places.get_mut((at / block_size) as usize) else { break };
            if *place == 0 {
                *place = *next;
                *next += self.plan.block_mib;
                // Still locked, so that no other thread writes to the block before.
                self.target.zero_range(u64::from(*place) << BAT_OFFSET_SHIFT, block_size)?;
            }
            let host = (u64::from(*place) << BAT_OFFSET_SHIFT) + inside;
            match pieces.last_mut() {
                Some(last) if last.host + last.len as u64 == host => last.len += now as usize,
                _ => pieces.push(Piece { host, len: now as usize }),
            }
            at += now;
            left -= now;
        }
        Ok(pieces)
    }

    /// Clears what an interrupted run wrote later than its state says.
    fn blank(&self, offset: u64, len: u64) -> Result<()> {
        let (block_size, end) = (self.plan.parameters.block_size, offset + len);
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for block in offset / block_size..end.div_ceil(block_size) {
            let start = block * block_size;
            let (from, to) = (offset.max(start) - start, end.min(start + block_size) - start);
            if let Some(&place) = blocks.places.get(block as usize).filter(|place| **place != 0) {
                self.target.zero_range((u64::from(place) << BAT_OFFSET_SHIFT) + from, to - from)?;
            }
        }
        Ok(())
    }

    fn write_bat(&self, blocks: &Blocks) -> Result<()> {
        let mut at = self.plan.bat.offset;
        let mut piece = Vec::with_capacity(BAT_PIECE);
        for entry in blocks.entries(&self.plan) {
            piece.extend_from_slice(&entry.to_le_bytes());
            if piece.len() == BAT_PIECE {
                self.target.write_all_at(at, &piece)?;
                at += piece.len() as u64;
                piece.clear();
            }
        }
        if !piece.is_empty() {
            self.target.write_all_at(at, &piece)?;
        }
        Ok(())
    }
}

impl Sink for VhdxSink {
    fn needs(&self) -> Needs {
        let chunk_size = if self.plan.parent.is_some() { self.plan.difference() } else { CHUNK };
        Needs { order: Order::Any, chunk_size, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(mut bytes) = data else {
            return Err(Error::contract("vhdx images hold no encoded chunks"));
        };
        self.check_range(offset, bytes.len() as u64)?;
        if self.plan.parent.is_some() {
            return self.write_difference(offset, bytes);
        }
        for piece in self.pieces(offset, bytes.len())? {
            let (now, rest) = bytes.split_at(piece.len.min(bytes.len()));
            self.target.write_all_at(piece.host, now)?;
            bytes = rest;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        if self.plan.parent.is_some() {
            return self.hide_parent(offset, len);
        }
        // No range is mentioned twice, and what was never written is a hole or a block in the state Zero.
        if self.resumed { self.blank(offset, len) } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.plan.parent.is_some() {
            return Ok(None);
        }
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(u64::from(blocks.next) << BAT_OFFSET_SHIFT)?;
        Ok(Some(StateWriter::default().list(&blocks.places).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(u64::from(blocks.next) << BAT_OFFSET_SHIFT)?;
        self.target.zero_range(0, u64::from(self.plan.first_block_mib) << BAT_OFFSET_SHIFT)?;
        self.write_bat(&blocks)?;
        drop(blocks);
        let identity = Identity::new(&self.plan);
        for (offset, bytes) in tables::all(&self.plan, &identity)? {
            self.target.write_all_at(offset, &bytes)?;
        }
        // Without its signature the file is no VHDX, so nothing opens what a crash left half written.
        self.target.sync()?;
        self.target.write_all_at(0, &FILE_SIGNATURE)?;
        self.target.commit()
    }
}
