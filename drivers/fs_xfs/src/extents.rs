//! Where a file's blocks lie.

use crate::btree::{Expected, LONG, MAX_LEVELS};
use crate::error::XfsError;
use crate::inode::{Format, Inode};
use crate::layout::XFS_BMAP_MAGIC;
use crate::volume::Medium;
use driver_core::block::{be16, be64};
use format_core::Result;

/// Extents of one file at most.
const MAX_EXTENTS: usize = 1 << 20;
/// Bytes of one file's tree at most.
const MAX_TREE: u64 = 64 << 20;
const RECORD: usize = 16;

/// A run of a file's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First block in the file.
    pub(crate) start: u64,
    /// First block on the volume, checked to be inside with all that follow.
    pub(crate) block: u64,
    pub(crate) count: u64,
    /// Reads as zeros.
    pub(crate) unwritten: bool,
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.count
    }
}

/// All extents of `inode`'s data fork, ascending and not overlapping.
pub(crate) fn load(medium: &Medium, inode: &Inode) -> Result<Vec<Extent>> {
    load_with_tree(medium, inode).map(|(extents, _)| extents)
}

/// The same with the blocks that the tree of extents takes.
pub(crate) fn load_with_tree(medium: &Medium, inode: &Inode) -> Result<(Vec<Extent>, Vec<u64>)> {
    let mut walk = Walk { medium, ino: inode.ino, extents: Vec::new(), nodes: Vec::new() };
    let fork = inode.fork();
    match inode.format {
        Format::Extents => {
            let count =
                usize::try_from(inode.extent_count).ok().filter(|count| *count <= fork.len() / RECORD);
            let count = count.ok_or_else(|| {
                walk.wrong("di_nextents", inode.extent_count, format!("up to {:#x}", fork.len() / RECORD))
            })?;
            fork.chunks_exact(RECORD).take(count).try_for_each(|record| walk.add(record))?;
        }
        Format::Btree => walk.root(fork)?,
        Format::Local | Format::Device => {}
    }
    Ok((walk.extents, walk.nodes))
}

struct Walk<'a> {
    medium: &'a Medium,
    ino: u64,
    extents: Vec<Extent>,
    nodes: Vec<u64>,
}

impl Walk<'_> {
    fn wrong(&self, field: &'static str, value: u64, possible: String) -> XfsError {
        XfsError::Field { what: format!("the extents of inode {:#x}", self.ino), field, value, possible }
    }

    fn root(&mut self, fork: &[u8]) -> Result<()> {
        let (level, count) = (be16(fork, 0), usize::from(be16(fork, 2)));
        let most = fork.len().saturating_sub(4) / 16;
        if !(1..=MAX_LEVELS).contains(&level) {
            return Err(self.wrong("bb_level", level.into(), format!("1 to {MAX_LEVELS}")).into());
        }
        if count == 0 || count > most {
            return Err(self.wrong("bb_numrecs", count as u64, format!("1 to {most:#x}")).into());
        }
        (0..count).try_for_each(|index| self.descend(be64(fork, 4 + most * 8 + index * 8), level - 1))
    }

    fn descend(&mut self, block: u64, level: u16) -> Result<()> {
        self.nodes.push(block);
        if self.nodes.len() as u64 * u64::from(self.medium.sb.block_size) > MAX_TREE {
            let what = format!("inode {:#x}", self.ino);
            return Err(XfsError::Limit { what, limit: MAX_TREE, of: "bytes of extents" }.into());
        }
        let sb = &self.medium.sb;
        let (ag, ag_block) = sb.split_block(block);
        if !sb.is_in_ag(ag, ag_block, 1) {
            return Err(self.wrong("pointer", block, "a block inside the file system".into()).into());
        }
        let expected =
            Expected { what: "extents", magic: XFS_BMAP_MAGIC, owner: self.ino, level, entry_len: RECORD };
        let node = LONG.load(self.medium, sb.block_offset(block), &expected)?;
        match level {
            0 => (0..node.count).try_for_each(|index| self.add(node.entry(index, RECORD))),
            _ => (0..node.count).try_for_each(|index| self.descend(node.pointer(index, 8, 8), level - 1)),
        }
    }

    /// `xfs_bmbt_rec`: a flag, 54 bits of place in the file, 52 of block, 21 of length.
    fn add(&mut self, record: &[u8]) -> Result<()> {
        let (high, low) = (be64(record, 0), be64(record, 8));
        let extent = Extent {
            start: (high & (u64::MAX >> 1)) >> 9,
            block: (high & 0x1ff) << 43 | low >> 21,
            count: low & 0x1f_ffff,
            unwritten: high >> 63 != 0,
        };
        let sb = &self.medium.sb;
        let (ag, ag_block) = sb.split_block(extent.block);
        if extent.count == 0 || !sb.is_in_ag(ag, ag_block, extent.count) {
            let possible = "blocks inside one allocation group".into();
            return Err(self.wrong("br_startblock", extent.block, possible).into());
        }
        if extent.end().checked_mul(sb.block_size.into()).is_none_or(|end| end > 1 << 63) {
            return Err(self.wrong("br_startoff", extent.start, "up to 8 EiB".into()).into());
        }
        let least = self.extents.last().map_or(0, Extent::end);
        if extent.start < least {
            return Err(self.wrong("br_startoff", extent.start, format!("{least:#x} or more")).into());
        }
        if self.extents.len() >= MAX_EXTENTS {
            let what = format!("inode {:#x}", self.ino);
            return Err(XfsError::Limit { what, limit: MAX_EXTENTS as u64, of: "extents" }.into());
        }
        self.extents.push(extent);
        Ok(())
    }
}

/// Fills `buf` with what lies at byte `offset` of the file with `extents`; holes and unwritten blocks are zeros.
pub(crate) fn read(medium: &Medium, extents: &[Extent], offset: u64, buf: &mut [u8]) -> Result<()> {
    let size = u64::from(medium.sb.block_size);
    let end = offset.saturating_add(buf.len() as u64);
    let first = extents.partition_point(|extent| extent.end().saturating_mul(size) <= offset);
    for extent in extents.get(first..).unwrap_or_default() {
        let from = extent.start.saturating_mul(size).max(offset);
        let to = extent.end().saturating_mul(size).min(end);
        if from >= end {
            break;
        }
        let part = buf.get_mut((from - offset) as usize..(to - offset) as usize).unwrap_or_default();
        if !extent.unwritten {
            let on_volume = medium.sb.block_offset(extent.block) + (from - extent.start * size);
            medium.volume.read_content(on_volume, part)?;
        }
    }
    Ok(())
}
