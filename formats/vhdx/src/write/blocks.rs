//! Which blocks have a place in the new file, and what the BAT will say of them.

use super::plan::Plan;
use crate::layout::{
    BAT_OFFSET_SHIFT, PAYLOAD_BLOCK_FULLY_PRESENT, PAYLOAD_BLOCK_NOT_PRESENT,
    PAYLOAD_BLOCK_PARTIALLY_PRESENT, PAYLOAD_BLOCK_ZERO, SB_BLOCK_PRESENT, SECTORS_PER_CHUNK,
};
use format_core::{Error, Result};

/// The place of a block without contents that hides the parent's.
pub(super) const ZERO: u32 = u32::MAX;

/// Places are file offsets in MiB; 0 is none.
pub(super) struct Blocks {
    pub(super) places: Vec<u32>,
    /// Where the next block goes, in MiB.
    pub(super) next: u32,
    /// Only in a differencing image.
    pub(super) difference: Option<Difference>,
}

/// What is known of the sector bitmaps; their bits are in the file alone.
pub(super) struct Difference {
    /// Places of the bitmap blocks, by chunk.
    pub(super) bitmaps: Vec<u32>,
    /// By block, how many bytes of it were written.
    pub(super) here: Vec<u32>,
}

impl Blocks {
    pub(super) fn new(plan: &Plan) -> Self {
        let first = plan.first_block_mib;
        if plan.fixed {
            let places = (0..plan.blocks).map(|block| first + block * plan.block_mib).collect();
            return Self { places, next: first + plan.blocks * plan.block_mib, difference: None };
        }
        let blocks = plan.blocks as usize;
        let difference = plan.parent.is_some().then(|| Difference {
            // At most 64 TiB in chunks of at least 4 GiB.
            bitmaps: vec![0; u64::from(plan.blocks).div_ceil(plan.parameters.chunk_ratio()) as usize],
            here: vec![0; blocks],
        });
        Self { places: vec![0; blocks], next: first, difference }
    }

    /// The blocks of an interrupted run: they lie in a row, in any order.
    ///
    /// # Errors
    /// `Corrupt` for places that no run gives.
    pub(super) fn restored(plan: &Plan, places: Vec<u32>) -> Result<Self> {
        let mut taken: Vec<u32> = places.iter().copied().filter(|&place| place != 0).collect();
        taken.sort_unstable();
        let expected = (0..).map(|block| plan.first_block_mib + block * plan.block_mib);
        if !taken.iter().copied().eq(expected.take(taken.len())) {
            return Err(Error::corrupt("the blocks of the interrupted run do not lie in a row")
                .in_format(crate::FORMAT.name));
        }
        let next = plan.first_block_mib + taken.len() as u32 * plan.block_mib;
        Ok(Self { places, next, difference: None })
    }

    /// The entries of the BAT in file order.
    ///
    /// Blocks without a place get the state Zero where there is no parent: a reader may return anything for Not
    /// Present ones (MS-VHDX 2.5.1.1).
    pub(super) fn entries<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = u64> + 'a {
        let ratio = plan.parameters.chunk_ratio();
        (0..plan.parameters.bat_len() / 8).map(move |index| {
            let chunk = index / (ratio + 1);
            if index % (ratio + 1) == ratio {
                return self.bitmap_entry(chunk as usize);
            }
            self.payload_entry(plan, index - chunk)
        })
    }

    fn bitmap_entry(&self, chunk: usize) -> u64 {
        match self.difference.as_ref().and_then(|difference| difference.bitmaps.get(chunk)) {
            None | Some(0) => 0,
            Some(place) => at(*place) | SB_BLOCK_PRESENT,
        }
    }

    fn payload_entry(&self, plan: &Plan, block: u64) -> u64 {
        let place = self.places.get(block as usize).copied();
        let here = self.difference.as_ref().map(|difference| difference.here.get(block as usize));
        match (place, here) {
            (None, _) | (Some(0), Some(_)) => PAYLOAD_BLOCK_NOT_PRESENT,
            (Some(0 | ZERO), _) => PAYLOAD_BLOCK_ZERO,
            (Some(place), Some(here)) if here.copied().map(u64::from) != Some(plan.block_len(block)) => {
                at(place) | PAYLOAD_BLOCK_PARTIALLY_PRESENT
            }
            (Some(place), _) => at(place) | PAYLOAD_BLOCK_FULLY_PRESENT,
        }
    }
}

/// The part of an entry that says where a block is.
fn at(place: u32) -> u64 {
    u64::from(place) << BAT_OFFSET_SHIFT
}

/// Where in its bitmap block the bits for `inside` of `block` are, in bytes.
pub(super) fn bits_at(plan: &Plan, block: u64, inside: u64) -> u64 {
    let parameters = &plan.parameters;
    let in_chunk = block % parameters.chunk_ratio() * parameters.block_size + inside;
    debug_assert!(in_chunk < SECTORS_PER_CHUNK * parameters.logical_sector_size, "a block of its chunk");
    in_chunk / parameters.logical_sector_size / 8
}
