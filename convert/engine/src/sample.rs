//! Which blocks a sample takes, and handing out only those.

use crate::blocks::BlockSet;
use crate::digest::BlockList;
use crate::observer::Control;
use crate::planner::{Planner, Work, WorkKind, WorkSource};
use format_core::{Disk, Result};
use serde::Serialize;

/// A random choice of the blocks that hold data.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// How many of them, in percent. At least one block is taken.
    pub percent: f64,
    /// What the choice is made from: the same for the same image.
    pub seed: u64,
}

/// What a sample covered.
#[derive(Clone, Debug, Serialize)]
pub struct SampleFacts {
    /// What the choice was made from.
    pub seed: u64,
    /// How many 4 MiB blocks were checked.
    pub checked_blocks: u64,
    /// How many blocks hold data, in the manifest or in the image.
    pub data_blocks: u64,
}

/// The blocks that hold data in the list or in the disk, which has the list's size.
pub(crate) fn data_blocks(list: &BlockList, disk: &Disk, control: Control<'_>) -> Result<BlockSet> {
    let mut set = BlockSet::new(list.virtual_size());
    list.for_each_data(|index| set.insert(index))?;
    let mut planner = Planner::new(disk);
    while let Some(work) = planner.next(&mut [])? {
        control.check()?;
        if let WorkKind::Block { index, .. } = work.kind {
            set.insert(index);
        }
    }
    Ok(set)
}

impl Sample {
    /// The chosen ones of `all`, each set of that size as likely as any other.
    pub(crate) fn of(self, all: &BlockSet) -> BlockSet {
        let mut left = all.len();
        let wanted = (left as f64 * self.percent / 100.0).ceil() as u64;
        let mut wanted = wanted.clamp(left.min(1), left);
        let mut chosen = all.empty_like();
        let mut numbers = blake3::Hasher::new().update(&self.seed.to_le_bytes()).finalize_xof();
        for index in all.iter() {
            let mut number = [0; 8];
            numbers.fill(&mut number);
            // A random number below `left`: as many of the rest are taken as are still wanted.
            let place = (u128::from(u64::from_le_bytes(number)) * u128::from(left)) >> 64;
            if place < u128::from(wanted) {
                chosen.insert(index);
                wanted -= 1;
            }
            left -= 1;
        }
        chosen
    }
}

/// Hands out only the chosen blocks that hold data in the disk.
pub(crate) struct Chosen<'a> {
    pub(crate) planner: Planner<'a>,
    pub(crate) blocks: &'a BlockSet,
}

impl WorkSource for Chosen<'_> {
    fn next(&mut self, block: &mut [u8]) -> Result<Option<Work>> {
        while let Some(work) = self.planner.next(block)? {
            if let WorkKind::Block { index, .. } = work.kind
                && self.blocks.contains(index)
            {
                return Ok(Some(work));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BLOCK_SIZE;

    fn every_third(count: u64) -> BlockSet {
        let mut set = BlockSet::new(count * 3 * BLOCK_SIZE);
        (0..count).for_each(|index| set.insert(index * 3));
        set
    }

    #[test]
    fn a_sample_has_the_wanted_size_and_only_members() {
        let all = every_third(1000);
        for (percent, wanted) in [(0.001, 1), (0.1, 1), (0.11, 2), (5.0, 50), (100.0, 1000)] {
            let chosen = Sample { percent, seed: 7 }.of(&all);
            assert_eq!(chosen.len(), wanted, "{percent}");
            assert!(chosen.iter().all(|index| all.contains(index)));
        }
        assert_eq!(Sample { percent: 5.0, seed: 1 }.of(&BlockSet::new(100 * BLOCK_SIZE)).len(), 0);
    }

    #[test]
    fn the_seed_decides_and_every_member_has_its_chance() {
        let all = every_third(40);
        let of = |seed| Sample { percent: 10.0, seed }.of(&all).iter().collect::<Vec<_>>();
        assert_eq!(of(3), of(3));
        let mut hits = std::collections::BTreeMap::new();
        for index in (0..2000).flat_map(of) {
            *hits.entry(index).or_insert(0u32) += 1;
        }
        // 200 for each expected, with a deviation of about 13.
        assert_eq!(hits.len(), 40);
        assert!(hits.values().all(|hits| (120..280).contains(hits)), "{hits:?}");
    }
}
