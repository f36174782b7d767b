//! Which ranges differ from a source whose side takes hashes: blocks first, then the leaves of those that differ.

use crate::digest::{BLOCK_SIZE, BlockList, LEAF_SIZE, block_count, leaf_hash};
use crate::observer::Control;
use crate::pipeline::digest_disk;
use format_core::{Disk, Error, ErrorKind, HashLevel, RangeSet, Remote, Result, UNREADABLE};
use std::ops::Range;

/// The leaves in which the first `size` bytes of `old` are not those of the source. What is equal moves 32 bytes for each block.
///
/// # Errors
/// What the disk and the other side report; `Contract` when that gives hashes that nobody asked for.
pub fn differing(remote: &dyn Remote, old: &Disk, size: u64, control: Control<'_>) -> Result<RangeSet> {
    let old = old.cut_to(size);
    let (theirs, unreadable) = source_blocks(remote, size)?;
    if let Some(block) = unreadable.first() {
        let text = format!("the source's side cannot read all of the 4 MiB at {:#x}", block * BLOCK_SIZE);
        return Err(Error::new(ErrorKind::Io, text)
            .hint("copy it with 'rehome convert --on-read-error', which leaves out what cannot be read"));
    }
    let ours = digest_disk(&old, "read target", control)?.blocks;
    let mut leaves: Vec<Range<u64>> = Vec::new();
    for block in ours.differing_blocks(&theirs)? {
        let (from, to) = (block * BLOCK_SIZE, size.min((block + 1) * BLOCK_SIZE));
        let (from, to) = (from / LEAF_SIZE, to.div_ceil(LEAF_SIZE));
        match leaves.last_mut().filter(|last| last.end == from) {
            Some(last) => last.end = to,
            None => leaves.push(from..to),
        }
    }
    let mut differing = RangeSet::default();
    let mut bytes = vec![0; LEAF_SIZE as usize];
    remote.hashes(HashLevel::Leaf, &leaves, &mut |leaf, hash| {
        control.check()?;
        let at = leaf.checked_mul(LEAF_SIZE).filter(|at| *at < size);
        let at = at.ok_or_else(|| Error::contract(format!("a hash of leaf {leaf} of {size} bytes")))?;
        let len = (size - at).min(LEAF_SIZE);
        let own = &mut bytes[..len as usize];
        old.read_exact_at(at, own)?;
        if *leaf_hash(own).as_bytes() != hash {
            differing.add(at, len);
        }
        Ok(())
    })?;
    Ok(differing)
}

/// The hashes of all blocks of a source, taken at its side, and the blocks that cannot be read there.
///
/// # Errors
/// What the other side reports; `Contract` when it gives too few.
pub fn source_blocks(remote: &dyn Remote, size: u64) -> Result<(BlockList, Vec<u64>)> {
    let (list, blocks) = (BlockList::new(size)?, block_count(size));
    let (mut next, mut unreadable) = (0, Vec::new());
    remote.hashes(HashLevel::Block, std::slice::from_ref(&(0..blocks)), &mut |block, hash| {
        if block != next || block >= blocks {
            return Err(Error::contract(format!("a hash of block {block} where that of {next} was due")));
        }
        next += 1;
        if hash == UNREADABLE {
            unreadable.push(block);
            return Ok(());
        }
        list.set(block, &hash.into())
    })?;
    if next == blocks {
        return Ok((list, unreadable));
    }
    Err(Error::contract(format!("the hashes of {next} of {blocks} blocks came")))
}
