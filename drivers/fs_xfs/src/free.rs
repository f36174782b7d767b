//! What the file system does not use: the trees of free space of all allocation groups, believed only where both trees of
//! a group say the same and agree with its header, and all groups with the superblock. What is kept for the trees to grow
//! (`AGFL`) counts as in use: it is a few single blocks.

use crate::ag::{Ag, Budget};
use crate::error::XfsError;
use crate::fs::XfsFs;
use driver_core::FreeRanges;
use format_core::Result;
use std::ops::Range;

/// Sectors at a group's start: superblock, `AGF`, `AGI`, `AGFL`.
const HEADERS: u64 = 4;

/// Extents of one tree, so that two trees can be compared without keeping either.
#[derive(Default, PartialEq, Eq)]
struct Sum {
    extents: u64,
    blocks: u64,
    mixed: u64,
}

impl Sum {
    fn add(&mut self, start: u32, len: u32) {
        self.extents += 1;
        self.blocks += u64::from(len);
        let mixed = (u64::from(start) << 32 | u64::from(len)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.mixed = self.mixed.wrapping_add((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9));
    }
}

impl XfsFs {
    /// As [`driver_core::GuestFs::free_ranges`].
    pub(crate) fn find_free(&self) -> Result<Vec<Range<u64>>> {
        self.readable()?;
        // What an unknown feature adds may be in use without being in these trees.
        self.medium.sb.edit_obstacle().map_or(Ok(()), Err)?;
        let (mut free, mut least, mut most) = (FreeRanges::default(), 0u64, 0u64);
        for number in 0..self.medium.sb.ag_count {
            let budget = Budget::default();
            let ag = Ag::load(&self.medium, number, &budget)?;
            self.add_group(number, &ag, &mut free)?;
            least += ag.counts.free + ag.counts.kept;
            // Some versions count the blocks of these trees as free, because they become so with them.
            most += ag.counts.free + ag.counts.kept + ag.counts.trees;
        }
        let told = self.medium.sb.free_blocks;
        if !(least..=most).contains(&told) {
            let text = format!("the superblock counts {told:#x} blocks, the groups {least:#x} to {most:#x}");
            return Err(XfsError::Map(text).into());
        }
        Ok(free.finish())
    }

    fn add_group(&self, number: u32, ag: &Ag<'_>, free: &mut FreeRanges) -> Result<()> {
        let sb = &self.medium.sb;
        let block_size = u64::from(sb.block_size);
        let len = u64::from(sb.ag_len(number));
        let mut end = (HEADERS * u64::from(sb.sector_size)).div_ceil(block_size);
        let log = self.log_blocks(number);
        let (mut by_place, mut wrong) = (Sum::default(), None);
        ag.each_free(false, |start, blocks| {
            let range = u64::from(start)..u64::from(start) + u64::from(blocks);
            let fits = range.start >= end && range.start < range.end && range.end <= len;
            if !fits || (range.start < log.end && log.start < range.end) {
                wrong.get_or_insert(range);
                return;
            }
            end = range.end;
            by_place.add(start, blocks);
            let offset = sb.ag_block_offset(number, start);
            free.add(offset..offset + u64::from(blocks) * block_size);
        })?;
        let map = |what: String| XfsError::Map(format!("allocation group {number} {what}"));
        if let Some(range) = wrong {
            return Err(map(format!("has {range:#x?} among what is free, which cannot be")).into());
        }
        let mut by_size = Sum::default();
        ag.each_free(true, |start, blocks| by_size.add(start, blocks))?;
        if by_size != by_place {
            let (one, other) = (by_place.blocks, by_size.blocks);
            return Err(
                map(format!("has {one:#x} free blocks by place, {other:#x} by size, or others")).into()
            );
        }
        if by_place.blocks != ag.counts.free {
            let (found, told) = (by_place.blocks, ag.counts.free);
            return Err(map(format!("counts {told:#x} free blocks, its trees {found:#x}")).into());
        }
        Ok(())
    }

    /// The blocks of the log in a group.
    fn log_blocks(&self, number: u32) -> Range<u64> {
        let sb = &self.medium.sb;
        match sb.split_block(sb.log_start) {
            (ag, start) if ag == u64::from(number) => start..start + u64::from(sb.log_blocks),
            _ => 0..0,
        }
    }
}
