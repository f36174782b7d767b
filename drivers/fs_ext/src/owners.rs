//! What owns a range of the volume: a file by its names, the file system itself, or nothing.
//!
//! As `debugfs` does with `icheck` and `ncheck`: first the blocks of all inodes are walked and those that meet the ranges
//! kept, then the folders are walked for names of their inodes. Everything has a bound; beyond it the answer is
//! incomplete and says so.

use crate::fs::ExtFs;
use crate::names::{Paths, paths_of};
use driver_core::Volume;
use ext2fs_sys::{Group, Run, RunKind};
use format_core::{ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// Pieces of ranges with an owner at most.
const MAX_PIECES: usize = 1 << 16;
/// Runs of blocks that are walked at most: 1 TiB of data in single blocks of 4 KiB, any size in extents.
const MAX_RUNS: u64 = 1 << 28;
/// Reads of the walk at most: tables of 64 Mi inodes of 256 bytes with blocks of 4 KiB, of which eight are read at once.
const MAX_READS: u64 = 1 << 19;

/// A piece of a range and what owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Bytes of the volume.
    pub range: Range<u64>,
    /// What owns them.
    pub owner: Owner,
}

/// What owns a piece of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The content of a file or folder.
    File {
        /// Its inode.
        inode: u32,
        /// Its paths, the first few; none when no name was found.
        paths: Arc<[String]>,
        /// What of it: empty for its content.
        part: &'static str,
    },
    /// The file system itself.
    Metadata(String),
    /// Nothing.
    Free,
    /// Not found out.
    Unknown,
}

/// What owns some ranges.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// The pieces, by offset.
    pub pieces: Vec<Owned>,
    /// Why something is missing, one sentence each.
    pub gaps: Vec<String>,
}

/// Blocks with an owner that is not named yet.
struct Piece {
    blocks: Range<u64>,
    owner: PieceOwner,
}

enum PieceOwner {
    Inode(u32, &'static str),
    Own(String),
    /// The inode table of a group, and its first block.
    Table(u32, u64),
}

/// What becomes of a walk.
struct Walk<'a> {
    ranges: &'a [Range<u64>],
    pieces: Vec<Piece>,
    gaps: Vec<String>,
}

/// What owns these byte ranges of the ext file system on `volume`, which must ascend and not overlap. Its journal is
/// replayed first, so that the guest's own view is told.
///
/// # Errors
/// As [`crate::open`]; what the volume reports. Damage in the file system is a gap in the answer.
pub fn owners(volume: Arc<dyn Volume>, ranges: &[Range<u64>]) -> Result<Owners> {
    let fs = crate::open(volume)?;
    let size = u64::from(fs.sb.block_size());
    let blocks =
        disjoint(ranges.iter().map(|range| range.start / size..range.end.div_ceil(size)), |blocks| blocks);
    let mut walk = Walk { ranges: &blocks, pieces: Vec::new(), gaps: Vec::new() };
    walk.groups(&fs);
    walk.inodes(&fs)?;
    let is_complete = walk.gaps.is_empty();
    let wanted = walk.pieces.iter().filter_map(|piece| match piece.owner {
        PieceOwner::Inode(inode, _) if inode_role(&fs, inode).is_none() => Some(inode),
        _ => None,
    });
    let paths = paths_of(&fs, &wanted.collect(), &mut walk.gaps)?;
    walk.pieces.sort_by_key(|piece| piece.blocks.start);
    // Damaged file systems can have several owners for a block: the first one is told.
    let pieces = disjoint(walk.pieces, |piece| &mut piece.blocks);
    let mut owners = Owners { pieces: Vec::new(), gaps: walk.gaps };
    // Behind the file system's end the volume can go on.
    let end = fs.sb.blocks_count() * size;
    for range in ranges {
        cut_range(&fs, range, &pieces, size, &paths, &mut |owned| {
            let rest = if owned.range.start >= end || is_complete { Owner::Free } else { Owner::Unknown };
            let owner = owned.owner.unwrap_or(rest);
            owners.pieces.push(Owned { range: owned.range, owner });
        });
    }
    Ok(owners)
}

/// What ascends by its start, without what was there before.
fn disjoint<T>(items: impl IntoIterator<Item = T>, place: impl Fn(&mut T) -> &mut Range<u64>) -> Vec<T> {
    let mut end = 0;
    let mut left = Vec::new();
    for mut item in items {
        let blocks = place(&mut item);
        blocks.start = blocks.start.max(end);
        if blocks.start < blocks.end {
            end = blocks.end;
            left.push(item);
        }
    }
    left
}

/// A piece of a range, `None` where nothing is known to own it.
struct Cut {
    range: Range<u64>,
    owner: Option<Owner>,
}

/// Cuts a range of bytes by the pieces that meet it, which ascend and do not overlap.
fn cut_range(
    fs: &ExtFs,
    range: &Range<u64>,
    pieces: &[Piece],
    size: u64,
    paths: &Paths,
    take: &mut dyn FnMut(Cut),
) {
    let mut at = range.start;
    let first = pieces.partition_point(|piece| piece.blocks.end * size <= range.start);
    for piece in pieces.iter().skip(first) {
        let (start, end) = (piece.blocks.start * size, (piece.blocks.end * size).min(range.end));
        if start >= range.end {
            break;
        }
        if start > at {
            take(Cut { range: at..start, owner: None });
        }
        let start = start.max(at);
        let owner = named(fs, &piece.owner, &(start..end), paths);
        take(Cut { range: start..end, owner: Some(owner) });
        at = end;
    }
    if at < range.end {
        take(Cut { range: at..range.end, owner: None });
    }
}

fn named(fs: &ExtFs, owner: &PieceOwner, range: &Range<u64>, paths: &Paths) -> Owner {
    match owner {
        PieceOwner::Table(group, table) => Owner::Metadata(inodes_of_table(fs, *group, *table, range)),
        PieceOwner::Own(what) => Owner::Metadata(what.clone()),
        PieceOwner::Inode(inode, part) => match inode_role(fs, *inode) {
            Some(role) => Owner::Metadata(role.into()),
            None => Owner::File { inode: *inode, paths: paths.get(inode).cloned().unwrap_or_default(), part },
        },
    }
}

/// The inodes of a group's table in a range of bytes.
fn inodes_of_table(fs: &ExtFs, group: u32, table: u64, range: &Range<u64>) -> String {
    let (start, size) = (table * u64::from(fs.sb.block_size()), fs.sb.inode_size());
    let first = u64::from(group) * fs.sb.inodes_per_group() + 1;
    let from = first + range.start.saturating_sub(start) / size;
    let to = first + range.end.saturating_sub(start + 1) / size;
    let numbers = if from >= to { format!("inode {from}") } else { format!("inodes {from} to {to}") };
    format!("inode table of group {group}, {numbers}")
}

/// What an inode without a name is for (`super.rst`, "Special inodes").
fn inode_role(fs: &ExtFs, inode: u32) -> Option<&'static str> {
    Some(match inode {
        1 => "list of bad blocks",
        3 | 4 => "quota",
        7 => "room for group descriptors",
        8 => "journal",
        _ if fs.sb.has_journal() && inode == fs.sb.journal_inode() => "journal",
        _ if inode != 0 && inode == fs.sb.orphan_file_inode() => "list of orphans",
        _ => return None,
    })
}

impl Walk<'_> {
    /// Adds what of `blocks` meets the ranges; `false` when there is no more room.
    fn add(&mut self, blocks: Range<u64>, owner: impl Fn() -> PieceOwner) -> bool {
        let first = self.ranges.partition_point(|range| range.end <= blocks.start);
        for range in self.ranges.iter().skip(first) {
            if range.start >= blocks.end {
                break;
            }
            if self.pieces.len() >= MAX_PIECES {
                self.gaps.push(format!("more than {MAX_PIECES} pieces have an owner; the rest is unknown"));
                return false;
            }
            let blocks = range.start.max(blocks.start)..range.end.min(blocks.end);
            self.pieces.push(Piece { blocks, owner: owner() });
        }
        true
    }

    /// The structures of the block groups.
    fn groups(&mut self, fs: &ExtFs) {
        let one = |block: u64| (block, 1);
        let mut number = 0;
        while let Some(group) = fs.fs.group(number) {
            let Group { super_block, descriptors, block_bitmap, inode_bitmap, inode_table, .. } = group;
            let parts = [
                (super_block.map_or((0, 0), one), "superblock"),
                (descriptors, "group descriptors"),
                (one(block_bitmap), "block bitmap"),
                (one(inode_bitmap), "inode bitmap"),
            ];
            for ((start, count), what) in parts {
                let blocks = start..start.saturating_add(count);
                if !self.add(blocks, || PieceOwner::Own(format!("{what} of group {number}"))) {
                    return;
                }
            }
            let (start, count) = inode_table;
            if !self.add(start..start.saturating_add(count), || PieceOwner::Table(number, start)) {
                return;
            }
            number += 1;
        }
    }

    /// The blocks of all inodes.
    fn inodes(&mut self, fs: &ExtFs) -> Result<()> {
        fs.io.grant(MAX_READS);
        let (mut left, mut broken, mut failure) = (MAX_RUNS, 0u64, None);
        let walked = fs.fs.for_each_run(&mut |run: Run| {
            left -= 1;
            if left == 0 {
                self.gaps.push(format!("the inodes have more than {MAX_RUNS} runs of blocks"));
                return false;
            }
            let part = match run.kind {
                RunKind::Content => "",
                RunKind::Mapping => "block map",
                RunKind::Attributes => "attributes",
                RunKind::Broken => {
                    broken += 1;
                    failure = fs.io.take_failure().filter(|error| error.kind() != ErrorKind::Corrupt);
                    return failure.is_none();
                }
            };
            let blocks = run.block..run.block.saturating_add(run.count);
            self.add(blocks, || PieceOwner::Inode(run.ino, part))
        });
        if broken > 0 {
            self.gaps.push(format!("{broken} inodes are damaged: not all of their blocks are known"));
        }
        let failed = failure.map_or_else(|| fs.check(walked), Err);
        self.gap_of(failed)
    }

    /// A failed walk is a gap, unless the machine failed.
    fn gap_of(&mut self, result: Result<()>) -> Result<()> {
        if let Some(gap) = as_gap(result)? {
            self.gaps.push(gap);
        }
        Ok(())
    }
}

/// Why an answer is incomplete; an error that is none of the file system's stays one.
pub(crate) fn as_gap(result: Result<()>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Limit) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}
