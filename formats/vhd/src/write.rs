//! Writing dynamic and fixed VHD images, in any order and from many threads.
//!
//! A block gets its place in the file at its first touch; what is not written of it is a hole of the file and reads
//! as zeros. The footer and its copy are written last, so nothing opens what a crash left half written.

mod plan;
mod tables;

use crate::layout::{SECTOR, UNUSED, bitmap_len};
use format_core::units::KIB;
use format_core::{CreateRequest, Error, Needs, Order, Packed, Result, Sink, TargetStorage};
use plan::{BLOCK, Plan, STRIDE};
use std::sync::{Mutex, PoisonError};
use tables::Identity;

pub(crate) use plan::size_step;

/// Zeros are left out at this granularity. Smaller chunks would only make holes inside allocated blocks.
const CHUNK: u64 = 64 * KIB;
/// The BAT is written in pieces of this many bytes.
const BAT_PIECE: usize = 1 << 20;

struct VhdSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    blocks: Mutex<Blocks>,
}

/// The BAT as it will be, and where the next block goes, in bytes.
struct Blocks {
    entries: Vec<u32>,
    next: u64,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    // A fixed disk has no blocks; a dynamic one at most 2040 GiB, a million of them.
    let entries = vec![UNUSED; plan.blocks as usize];
    let blocks = Mutex::new(Blocks { entries, next: plan.first_block });
    Ok(Box::new(VhdSink { target, plan, blocks }))
}

/// A part of a write that lies in one block.
struct Piece {
    host: u64,
    len: usize,
    /// Where the bitmap goes, for a block that has just got its place.
    new_bitmap: Option<u64>,
}

impl VhdSink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.plan.virtual_size;
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes written at {offset:#x} of a disk of {size:#x} bytes"))
            .in_format(crate::FORMAT.name))
    }

    /// Gives every block of the range a place and tells where its bytes go.
    fn pieces(&self, offset: u64, len: usize) -> Vec<Piece> {
        if self.plan.fixed {
            return vec![Piece { host: offset, len, new_bitmap: None }];
        }
        let mut pieces = Vec::new();
        let (mut at, mut left) = (offset, len as u64);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks { entries, next } = &mut *blocks;
        while left > 0 {
            let inside = at % BLOCK;
            let now = left.min(BLOCK - inside);
            // The range was checked, so the block exists.
            let Some(entry) = entries.get_mut((at / BLOCK) as usize) else { break };
            let mut new_bitmap = None;
            if *entry == UNUSED {
                // The largest disk with all its blocks ends below 2 TiB, so the sector fits 32 bits.
                *entry = (*next / SECTOR) as u32;
                new_bitmap = Some(*next);
                *next += STRIDE;
            }
            let host = u64::from(*entry) * SECTOR + bitmap_len(BLOCK) + inside;
            pieces.push(Piece { host, len: now as usize, new_bitmap });
            at += now;
            left -= now;
        }
        pieces
    }

    fn write_bat(&self, blocks: &Blocks) -> Result<()> {
        let mut bytes: Vec<u8> = blocks.entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(self.plan.bat_length as usize, 0xff);
        for (index, piece) in bytes.chunks(BAT_PIECE).enumerate() {
            self.target.write_all_at(self.plan.bat_offset + (index * BAT_PIECE) as u64, piece)?;
        }
        Ok(())
    }
}

impl Sink for VhdSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Any, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(mut bytes) = data else {
            return Err(Error::contract("vhd images hold no encoded chunks"));
        };
        self.check_range(offset, bytes.len() as u64)?;
        for piece in self.pieces(offset, bytes.len()) {
            if let Some(at) = piece.new_bitmap {
                // All sectors are here; readers of dynamic disks do not ask, the specification wants it so.
                self.target.write_all_at(at, &[0xff; bitmap_len(BLOCK) as usize])?;
            }
            let (now, rest) = bytes.split_at(piece.len.min(bytes.len()));
            self.target.write_all_at(piece.host, now)?;
            bytes = rest;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        // No range is mentioned twice, and what was never written is a hole or a block without a place.
        self.check_range(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = tables::footer(&self.plan, &Identity::random())?;
        let end = if self.plan.fixed { self.plan.virtual_size } else { blocks.next };
        self.target.set_len(end)?;
        if !self.plan.fixed {
            self.write_bat(&blocks)?;
            self.target.write_all_at(tables::HEADER_OFFSET, &tables::header(&self.plan)?)?;
        }
        drop(blocks);
        self.target.sync()?;
        if !self.plan.fixed {
            self.target.write_all_at(0, &footer)?;
        }
        self.target.write_all_at(end, &footer)?;
        self.target.commit()
    }
}
