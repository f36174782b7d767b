//! Writing dynamic and fixed VHDX images, in any order and from many threads.
//!
//! A block gets its place in the file at its first touch; what is not written of it is a hole of the file and reads
//! as zeros. Nothing but blocks is written before [`Sink::finish`], and the file type identifier is written last.

mod plan;
mod tables;

use crate::layout::{BAT_OFFSET_SHIFT, FILE_SIGNATURE};
use format_core::units::KIB;
use format_core::{CreateRequest, Error, Needs, Order, Packed, Result, Sink, TargetStorage};
use plan::Plan;
use std::sync::{Mutex, PoisonError};
use tables::Identity;

/// Zeros are left out at this granularity. Smaller chunks would only make holes inside allocated blocks.
const CHUNK: u64 = 64 * KIB;
/// The BAT is written in pieces of this many bytes.
const BAT_PIECE: usize = 1 << 20;

/// The disk is a multiple of its logical sector. An option that cannot be understood is an error of [`create`].
pub(crate) fn size_step(request: &CreateRequest) -> u64 {
    let option = request.options.get("logical_sector_size");
    option.and_then(|text| format_core::units::parse_size(text).ok()).unwrap_or(512)
}

struct VhdxSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    blocks: Mutex<Blocks>,
}

/// Which blocks have a place: by block the file offset in MiB, 0 for none.
struct Blocks {
    places: Vec<u32>,
    /// Where the next block goes, in MiB.
    next: u32,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let first = plan.first_block_mib;
    let (places, next) = if plan.fixed {
        let places: Vec<u32> = (0..plan.blocks).map(|block| first + block * plan.block_mib).collect();
        (places, first + plan.blocks * plan.block_mib)
    } else {
        (vec![0; plan.blocks as usize], first)
    };
    Ok(Box::new(VhdxSink { target, plan, blocks: Mutex::new(Blocks { places, next }) }))
}

/// A piece of a write that lies in the file in one run.
struct Piece {
    host: u64,
    len: usize,
}

impl VhdxSink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.plan.virtual_size;
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes written at {offset:#x} of a disk of {size:#x} bytes"))
            .in_format(crate::FORMAT.name))
    }

    /// Gives every block of the range a place and tells where its bytes go, neighbours joined.
    fn pieces(&self, offset: u64, len: usize) -> Vec<Piece> {
        let block_size = u64::from(self.plan.block_mib) << BAT_OFFSET_SHIFT;
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut at, mut left) = (offset, len as u64);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks { places, next } = &mut *blocks;
        while left > 0 {
            let inside = at % block_size;
            let now = left.min(block_size - inside);
            // The range was checked, so the block exists.
            let Some(place) = places.get_mut((at / block_size) as usize) else { break };
            if *place == 0 {
                *place = *next;
                *next += self.plan.block_mib;
            }
            let host = (u64::from(*place) << BAT_OFFSET_SHIFT) + inside;
            match pieces.last_mut() {
                Some(last) if last.host + last.len as u64 == host => last.len += now as usize,
                _ => pieces.push(Piece { host, len: now as usize }),
            }
            at += now;
            left -= now;
        }
        pieces
    }

    fn write_bat(&self, blocks: &Blocks) -> Result<()> {
        let mut at = self.plan.bat.offset;
        let mut piece = Vec::with_capacity(BAT_PIECE);
        for entry in self.plan.bat_entries(&blocks.places) {
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
        Needs { order: Order::Any, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(mut bytes) = data else {
            return Err(Error::contract("vhdx images hold no encoded chunks"));
        };
        self.check_range(offset, bytes.len() as u64)?;
        for piece in self.pieces(offset, bytes.len()) {
            let (now, rest) = bytes.split_at(piece.len.min(bytes.len()));
            self.target.write_all_at(piece.host, now)?;
            bytes = rest;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        // No range is mentioned twice, and what was never written is a hole or a block in the state Zero.
        self.check_range(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(u64::from(blocks.next) << BAT_OFFSET_SHIFT)?;
        self.write_bat(&blocks)?;
        drop(blocks);
        let identity = Identity::random();
        for (offset, bytes) in tables::all(&self.plan, &identity)? {
            self.target.write_all_at(offset, &bytes)?;
        }
        // Without its signature the file is no VHDX, so nothing opens what a crash left half written.
        self.target.sync()?;
        self.target.write_all_at(0, &FILE_SIGNATURE)?;
        self.target.commit()
    }
}
