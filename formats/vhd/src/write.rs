//! Writing dynamic, fixed and differencing VHD images, in any order and from many threads.
//!
//! A block gets its place in the file at its first touch; what is not written of it is a hole of the file and reads
//! as zeros. The footer and its copy are written last, so nothing opens what a crash left half written.
//!
//! A chunk of a differencing image is eight sectors, one byte of the bitmap: bits go straight to the file, and nothing
//! of the bitmaps is kept in memory.

mod parent;
mod plan;
mod tables;

use crate::layout::{FOOTER_LEN, SECTOR, UNUSED, bitmap_len};
use format_core::units::KIB;
use format_core::{
    CreateRequest, Error, Needs, Order, Packed, Result, Sink, StateReader, StateWriter, TargetStorage,
};
use plan::{BLOCK, Plan, STRIDE};
use std::sync::{Mutex, PoisonError};
use tables::Identity;

pub(crate) use plan::size_step;

/// Zeros are left out at this granularity. Smaller chunks would only make holes inside allocated blocks.
const CHUNK: u64 = 64 * KIB;
/// Differences are written at this granularity.
const DIFFERENCE: u64 = 8 * SECTOR;
/// The BAT is written in pieces of this many bytes.
const BAT_PIECE: usize = 1 << 20;

struct VhdSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    blocks: Mutex<Blocks>,
    /// Whether blocks may hold bytes of an interrupted run.
    resumed: bool,
}

/// The BAT as it will be, and where the next block goes, in bytes.
struct Blocks {
    entries: Vec<u32>,
    next: u64,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    if target.is_sequential() && !plan.fixed {
        return Err(Error::unsupported(
            "a pipe takes only fixed images: others begin with what is known last",
        )
        .in_format(crate::FORMAT.name)
        .hint("add -o subformat=fixed, or write to a file"));
    }
    if plan.fixed {
        target.set_len(plan.virtual_size)?;
        // Nothing is said of ranges that are never written.
        target.zero_range(0, plan.virtual_size)?;
    }
    // A fixed disk has no blocks; a dynamic one at most 2040 GiB, a million of them.
    let entries = vec![UNUSED; plan.blocks as usize];
    let blocks = Mutex::new(Blocks { entries, next: plan.first_block });
    Ok(Box::new(VhdSink { target, plan, blocks, resumed: false }))
}

/// The BAT is the state: it is written at the end.
pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let mut reader = StateReader::new(state);
    let entries: Vec<u32> = reader.list_of(plan.blocks as usize)?;
    reader.end()?;
    let mut places: Vec<u32> = entries.iter().copied().filter(|&entry| entry != UNUSED).collect();
    places.sort_unstable();
    let next = plan.first_block + places.len() as u64 * STRIDE;
    // Blocks are never given back, so they lie in a row.
    let expected = (plan.first_block..next).step_by(STRIDE as usize).map(|place| place / SECTOR);
    if !expected.eq(places.iter().copied().map(u64::from)) {
        return Err(Error::corrupt("the blocks of the interrupted run do not lie in a row")
            .in_format(crate::FORMAT.name));
    }
    target.resume_at(if plan.fixed { plan.virtual_size } else { next })?;
    if !plan.fixed {
        // It may have been interrupted after the copy of the footer was written.
        target.write_all_at(0, &[0; FOOTER_LEN])?;
    }
    Ok(Box::new(VhdSink { target, plan, blocks: Mutex::new(Blocks { entries, next }), resumed: true }))
}

/// A part of a write that lies in one block.
struct Piece {
    host: u64,
    len: usize,
    /// Guest bytes of the block in front of it.
    inside: u64,
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

    /// Gives the block that holds `offset` a place and tells where up to `len` bytes from there go.
    fn piece(&self, offset: u64, len: u64) -> Result<Piece> {
        let inside = offset % BLOCK;
        let now = len.min(BLOCK - inside) as usize;
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks { entries, next } = &mut *blocks;
        // The range was checked, so the block exists.
        let Some(entry) = entries.get_mut((offset / BLOCK) as usize) else {
            return Err(Error::contract(format!("no block at {offset:#x}")));
        };
        let bitmap = bitmap_len(BLOCK);
        if *entry == UNUSED {
            let place = *next;
            // The largest disk with all its blocks ends below 2 TiB, so the sector fits 32 bits.
            *entry = (place / SECTOR) as u32;
            *next += STRIDE;
            // Still locked, so that no other thread writes to the block before.
            self.target.zero_range(place, STRIDE)?;
            if self.plan.parent.is_none() {
                // All sectors are here; readers of dynamic disks do not ask, the specification wants it so.
                self.target.write_all_at(place, &[0xff; bitmap_len(BLOCK) as usize])?;
            }
        }
        Ok(Piece { host: u64::from(*entry) * SECTOR + bitmap + inside, len: now, inside })
    }

    /// Says in the bitmap that the piece is here and not the parent's.
    fn mark(&self, piece: &Piece) -> Result<()> {
        let bitmap_at = piece.host - piece.inside - bitmap_len(BLOCK);
        let sectors = (piece.len as u64).div_ceil(SECTOR);
        let mut bits = vec![0xff; (sectors / 8) as usize];
        if !sectors.is_multiple_of(8) {
            // Only the last chunk of the disk has fewer than eight sectors.
            bits.push(!(0xff_u8 >> (sectors % 8)));
        }
        self.target.write_all_at(bitmap_at + piece.inside / DIFFERENCE, &bits)
    }

    /// Clears what an interrupted run wrote later than its state says.
    fn blank(&self, offset: u64, len: u64) -> Result<()> {
        if self.plan.fixed {
            return self.target.zero_range(offset, len);
        }
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset + len;
        for block in offset / BLOCK..end.div_ceil(BLOCK) {
            let start = block * BLOCK;
            let (from, to) = (offset.max(start) - start, end.min(start + BLOCK) - start);
            if let Some(&entry) = blocks.entries.get(block as usize).filter(|entry| **entry != UNUSED) {
                let data = u64::from(entry) * SECTOR + bitmap_len(BLOCK);
                self.target.zero_range(data + from, to - from)?;
            }
        }
        Ok(())
    }

    fn check_difference(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset + len;
        let whole = |at: u64| at.is_multiple_of(DIFFERENCE);
        if whole(offset) && (whole(end) || end == self.plan.virtual_size) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes at {offset:#x} are no chunks of {DIFFERENCE:#x} bytes")))
    }

    fn write_bat(&self, blocks: &Blocks) -> Result<()> {
        let mut bytes: Vec<u8> = blocks.entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(self.plan.bat_length as usize, 0xff);
        for (index, piece) in bytes.chunks(BAT_PIECE).enumerate() {
            self.target.write_all_at(self.plan.bat_offset + (index * BAT_PIECE) as u64, piece)?;
        }
        Ok(())
    }

    fn write_tables(&self, footer: &[u8]) -> Result<()> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(blocks.next)?;
        self.target.zero_range(0, self.plan.first_block)?;
        self.write_bat(&blocks)?;
        for locator in self.plan.parent.iter().flat_map(|parent| &parent.locators) {
            self.target.write_all_at(locator.offset, &locator.bytes)?;
        }
        self.target.write_all_at(tables::HEADER_OFFSET, &tables::header(&self.plan)?)?;
        self.target.sync()?;
        self.target.write_all_at(0, footer)?;
        self.target.write_all_at(blocks.next, footer)
    }
}

impl Sink for VhdSink {
    fn needs(&self) -> Needs {
        let order = if self.target.is_sequential() { Order::Ascending } else { Order::Any };
        let chunk_size = if self.plan.parent.is_some() { DIFFERENCE } else { CHUNK };
        Needs { order, chunk_size, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(mut bytes) = data else {
            return Err(Error::contract("vhd images hold no encoded chunks"));
        };
        self.check_range(offset, bytes.len() as u64)?;
        if self.plan.fixed {
            return self.target.write_all_at(offset, bytes);
        }
        if self.plan.parent.is_some() {
            self.check_difference(offset, bytes.len() as u64)?;
        }
        let mut at = offset;
        while !bytes.is_empty() {
            let piece = self.piece(at, bytes.len() as u64)?;
            let (now, rest) = bytes.split_at(piece.len);
            self.target.write_all_at(piece.host, now)?;
            if self.plan.parent.is_some() {
                self.mark(&piece)?;
            }
            bytes = rest;
            at += piece.len as u64;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        if self.plan.parent.is_none() {
            // No range is mentioned twice, and what was never written is a hole or a block without a place.
            return if self.resumed { self.blank(offset, len) } else { Ok(()) };
        }
        self.check_difference(offset, len)?;
        let mut done = 0;
        while done < len {
            // The format has no zeros that hide a parent: they are sectors of this file, and holes of it.
            let piece = self.piece(offset + done, len - done)?;
            self.mark(&piece)?;
            done += piece.len as u64;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.plan.parent.is_some() || self.target.is_sequential() {
            return Ok(None);
        }
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(if self.plan.fixed { self.plan.virtual_size } else { blocks.next })?;
        Ok(Some(StateWriter::default().list(&blocks.entries).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let footer = tables::footer(&self.plan, &Identity::new(&self.plan))?;
        if self.plan.fixed {
            self.target.sync()?;
            self.target.write_all_at(self.plan.virtual_size, &footer)?;
        } else {
            self.write_tables(&footer)?;
        }
        self.target.commit()
    }
}
