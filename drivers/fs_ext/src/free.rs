//! What the file system does not use: the block bitmaps of all groups, read one after the other, and believed only where
//! they agree with the descriptors' counts and leave the file system's own blocks alone.

use crate::error::{ExtError, Obstacle};
use crate::fs::ExtFs;
use crate::journal::Journal;
use driver_core::{FreeRanges, zero_runs};
use ext2fs_sys::Group;
use format_core::Result;
use std::ops::Range;

fn map(what: impl Into<String>) -> ExtError {
    ExtError::Map(what.into())
}

/// Numbers that all groups share.
struct Shape {
    block_size: u64,
    /// Blocks of the file system.
    blocks: u64,
    first: u64,
    blocks_per_group: u64,
    /// Bits of a group's bitmap, and blocks for each.
    clusters: u64,
    ratio: u64,
}

impl Shape {
    /// The blocks of a group: the last one may be shorter.
    fn blocks_of(&self, number: u32) -> Range<u64> {
        let start = self.first + u64::from(number) * self.blocks_per_group;
        start..start.saturating_add(self.blocks_per_group).min(self.blocks)
    }
}

impl ExtFs {
    /// As [`driver_core::GuestFs::free_ranges`]. Where orphans were freed on opening, this is what was free before: until the
    /// guest frees them itself, it follows their block maps.
    pub(crate) fn find_free(&self) -> Result<Option<Vec<Range<u64>>>> {
        if self.edited {
            return Ok(None);
        }
        match &self.free_before_orphans {
            Some(found) => found.clone().map(Some).map_err(|obstacle| obstacle.to_error()),
            None => self.free_by_bitmaps().map(Some),
        }
    }

    pub(crate) fn free_by_bitmaps(&self) -> Result<Vec<Range<u64>>> {
        self.check_state()?;
        let (clusters, ratio) = self.sb.clusters()?;
        let shape = Shape {
            block_size: self.sb.block_size().into(),
            blocks: self.sb.blocks_count(),
            first: self.sb.first_data_block(),
            blocks_per_group: self.sb.blocks_per_group(),
            clusters,
            ratio,
        };
        let own = self.own_blocks(&shape)?;
        let (mut free, mut count, mut number) = (FreeRanges::default(), 0u64, 0);
        let mut bitmap = vec![0; shape.clusters as usize / 8];
        while let Some(group) = self.fs.group(number) {
            count += self.add_group(&shape, number, &group, &own, &mut bitmap, &mut free)?;
            number += 1;
        }
        // Behind a replay the superblock's count is made of the descriptors': it says nothing of its own.
        let told = self.sb.free_blocks();
        if !self.facts.needs_recovery && !self.facts.has_orphans && told != count * ratio {
            let found = count * ratio;
            return Err(map(format!("the superblock counts {told} blocks, the block groups {found}")).into());
        }
        Ok(free.finish())
    }

    /// Whether the bitmaps are what the guest will find when it starts: the state after a replay.
    fn check_state(&self) -> Result<()> {
        let found = self.sb.map_obstacle().or_else(|| self.sb.state_obstacle());
        found.map_or(Ok(()), |obstacle| Err(format_core::Error::from(obstacle)))?;
        if self.sb.has_journal() && self.sb.journal_inode() == 0 {
            return Err(map("the journal is on another device").into());
        }
        if self.sb.needs_recovery() {
            return Err(self.obstacle.as_ref().map_or_else(
                || map("the journal holds changes that were not replayed").into(),
                Obstacle::to_error,
            ));
        }
        if self.sb.has_journal() && Journal::open(&self.io, &self.sb)?.has_data() {
            return Err(ExtError::UnclearJournal.into());
        }
        Ok(())
    }

    /// The blocks of the file system's own structures, in order and merged.
    fn own_blocks(&self, shape: &Shape) -> Result<Vec<Range<u64>>> {
        let (mut found, mut number) = (Vec::new(), 0);
        while let Some(group) = self.fs.group(number) {
            if !group.descriptor_is_right {
                return Err(map(format!("the descriptor of group {number} has a wrong checksum")).into());
            }
            let (table, blocks) = group.inode_table;
            let parts = [
                shape.blocks_of(number).start..group.base_end,
                group.block_bitmap..group.block_bitmap.saturating_add(1),
                group.inode_bitmap..group.inode_bitmap.saturating_add(1),
                table..table.saturating_add(blocks),
            ];
            for part in parts {
                if part.end > shape.blocks {
                    return Err(
                        map(format!("group {number} has structures at block {:#x}", part.start)).into()
                    );
                }
                match found.last_mut().filter(|last: &&mut Range<u64>| last.end == part.start) {
                    Some(last) => last.end = part.end,
                    None => found.push(part),
                }
            }
            number += 1;
        }
        let groups = shape.blocks.saturating_sub(shape.first).div_ceil(shape.blocks_per_group);
        if u64::from(number) != groups {
            return Err(map(format!("there are {number} group descriptors for {groups} groups")).into());
        }
        found.retain(|part| part.start < part.end);
        found.sort_unstable_by_key(|part| part.start);
        Ok(found)
    }

    /// Adds what is free in one group, and returns how many clusters that are.
    fn add_group(
        &self,
        shape: &Shape,
        number: u32,
        group: &Group,
        own: &[Range<u64>],
        bitmap: &mut [u8],
        free: &mut FreeRanges,
    ) -> Result<u64> {
        let blocks = shape.blocks_of(number);
        if group.no_bitmap {
            bitmap.fill(0);
        } else {
            self.io.read(group.block_bitmap * shape.block_size, bitmap)?;
            if !self.fs.bitmap_is_right(number, bitmap) {
                return Err(map(format!("the block bitmap of group {number} has a wrong checksum")).into());
            }
        }
        let first = own.partition_point(|part| part.end <= blocks.start);
        for part in own.iter().skip(first).take_while(|part| part.start < blocks.end) {
            let from = part.start.max(blocks.start) - blocks.start;
            let to = part.end.min(blocks.end) - blocks.start;
            for cluster in from / shape.ratio..to.div_ceil(shape.ratio) {
                let Some(byte) = bitmap.get_mut(cluster as usize / 8) else { break };
                let bit = 1 << (cluster % 8);
                if !group.no_bitmap && *byte & bit == 0 {
                    let block = blocks.start + cluster * shape.ratio;
                    return Err(map(format!("the file system's own block {block:#x} is marked free")).into());
                }
                *byte |= bit;
            }
        }
        let mut count = 0;
        zero_runs(bitmap, (blocks.end - blocks.start).div_ceil(shape.ratio), |run| {
            count += run.end - run.start;
            let byte =
                |cluster: u64| (blocks.start + cluster * shape.ratio).min(blocks.end) * shape.block_size;
            free.add(byte(run.start)..byte(run.end));
        });
        if count != u64::from(group.free_clusters) {
            let told = group.free_clusters;
            return Err(map(format!("group {number} counts {told} free clusters, its bitmap {count}")).into());
        }
        Ok(count)
    }
}
