//! Blocks of a differencing image, and the bits that say which sectors of them are here.

use super::VhdxSink;
use super::blocks::{Blocks, ZERO, bits_at};
use super::plan::Plan;
use crate::layout::{BAT_OFFSET_SHIFT, BITMAP_BLOCK};
use format_core::units::MIB;
use format_core::{Error, Result};
use std::sync::PoisonError;

/// A part of a write that lies in one block.
struct Part {
    block: u64,
    inside: u64,
    len: u64,
}

/// Where a part goes: its bytes and the bitmap block of its chunk.
struct Place {
    host: u64,
    bitmap: u64,
}

impl VhdxSink {
    pub(super) fn write_difference(&self, offset: u64, mut bytes: &[u8]) -> Result<()> {
        self.check_chunks(offset, bytes.len() as u64)?;
        for part in parts(&self.plan, offset, bytes.len() as u64) {
            let place = self.place(&part)?;
            let (now, rest) = bytes.split_at((part.len as usize).min(bytes.len()));
            self.target.write_all_at(place.host, now)?;
            self.mark(&part, &place)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Zeros: a whole block gets the state Zero, a part of one is sectors of this file, and holes of it.
    pub(super) fn hide_parent(&self, offset: u64, len: u64) -> Result<()> {
        self.check_chunks(offset, len)?;
        for part in parts(&self.plan, offset, len) {
            if part.len == self.plan.block_len(part.block) {
                let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
                match blocks.places.get_mut(part.block as usize) {
                    Some(place @ 0) => *place = ZERO,
                    _ => return Err(twice(&part)),
                }
                continue;
            }
            let place = self.place(&part)?;
            self.mark(&part, &place)?;
        }
        Ok(())
    }

    fn check_chunks(&self, offset: u64, len: u64) -> Result<()> {
        let chunk = self.plan.difference();
        let end = offset + len;
        let is_end = end == self.plan.parameters.virtual_size;
        if offset.is_multiple_of(chunk) && (end.is_multiple_of(chunk) || is_end) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes at {offset:#x} are no chunks of {chunk:#x} bytes")))
    }

    /// Gives the block of a part and the bitmap of its chunk their places.
    fn place(&self, part: &Part) -> Result<Place> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks { places, next, difference } = &mut *blocks;
        let chunk = part.block / self.plan.parameters.chunk_ratio();
        let (Some(place), Some(difference)) = (places.get_mut(part.block as usize), difference) else {
            return Err(Error::contract(format!("no block {}", part.block)));
        };
        let (Some(bitmap), Some(here)) =
            (difference.bitmaps.get_mut(chunk as usize), difference.here.get_mut(part.block as usize))
        else {
            return Err(Error::contract(format!("no bitmap for block {}", part.block)));
        };
        if *place == ZERO {
            return Err(twice(part));
        }
        // Still locked, so that no other thread writes there before.
        let take = |place: &mut u32, next: &mut u32, mib: u32| {
            if *place == 0 {
                *place = *next;
                *next += mib;
                self.target.zero_range(u64::from(*place) << BAT_OFFSET_SHIFT, u64::from(mib) * MIB)?;
            }
            Ok::<_, Error>(u64::from(*place) << BAT_OFFSET_SHIFT)
        };
        let bitmap = take(bitmap, next, (BITMAP_BLOCK / MIB) as u32)?;
        let host = take(place, next, self.plan.block_mib)? + part.inside;
        // A block has at most 256 MiB, and no range is mentioned twice.
        *here = here.saturating_add(part.len as u32);
        Ok(Place { host, bitmap })
    }

    /// Says in the bitmap that the part is here and not the parent's.
    fn mark(&self, part: &Part, place: &Place) -> Result<()> {
        let sectors = part.len.div_ceil(self.plan.parameters.logical_sector_size);
        let mut bits = vec![0xff; (sectors / 8) as usize];
        if !sectors.is_multiple_of(8) {
            // Only the last chunk of the disk has fewer than eight sectors.
            bits.push(!(0xff_u8 << (sectors % 8)));
        }
        self.target.write_all_at(place.bitmap + bits_at(&self.plan, part.block, part.inside), &bits)
    }
}

/// The range cut at the borders of blocks.
fn parts(plan: &Plan, offset: u64, len: u64) -> impl Iterator<Item = Part> {
    let block_size = plan.parameters.block_size;
    let (mut at, end) = (offset, offset + len);
    std::iter::from_fn(move || {
        let (block, inside) = (at / block_size, at % block_size);
        let len = (end - at).min(block_size - inside);
        at += len;
        (len > 0).then_some(Part { block, inside, len })
    })
}

fn twice(part: &Part) -> Error {
    Error::contract(format!("block {} is written twice at {:#x}", part.block, part.inside))
}
