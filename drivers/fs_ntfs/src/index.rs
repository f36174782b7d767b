//! Indexes: B+trees in `$INDEX_ROOT` and `$INDEX_ALLOCATION`, walked from the root with every block checked and visited
//! once.

use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::error::NtfsError;
use crate::inode::Inode;
use crate::layout::{INDEX_ALLOCATION, INDEX_ROOT};
use crate::mft::Reader;
use crate::record::{Attribute, unprotect};
use format_core::Result;
use std::collections::BTreeSet;

/// Levels of a tree at most; 2^32 entries need fewer.
const MAX_DEPTH: usize = 16;
/// Bytes of one index that are looked at.
const MAX_BYTES: u64 = 128 << 20;

/// An index of a file or folder.
pub(crate) struct Index<'a> {
    reader: &'a Reader,
    allocation: Option<&'a Attribute>,
    root: Node,
    block: u64,
    /// Bytes that a number of a block counts.
    step: u64,
}

/// One node: its entries, the last without a key.
pub(crate) struct Node {
    entries: Vec<Entry>,
}

/// One entry of a node.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The first eight bytes: a reference, or where the entry's data lie.
    pub(crate) reference: u64,
    /// Bytes of the entry without the number of a block.
    pub(crate) len: usize,
    /// The key; `None` in the last entry of a node.
    pub(crate) key: Option<Vec<u8>>,
    /// The block with what comes before this entry.
    below: Option<u64>,
}

/// What [`Index::seek`] does after an entry.
pub(crate) enum Step {
    /// Looks at the next one.
    On,
    /// Goes down before this one.
    Down,
    /// Has found what it looked for.
    Stop,
}

impl<'a> Index<'a> {
    /// Opens the index `name` of `inode`, `None` when there is none.
    pub(crate) fn open(reader: &'a Reader, inode: &'a Inode, name: &[u16]) -> Result<Option<Self>> {
        let Some(root) = inode.stream(INDEX_ROOT, name) else { return Ok(None) };
        let raw = root.resident().ok_or_else(|| Reader::broken("an index root is not in its record"))?;
        let block = u64::from(u32_at(raw, 8).unwrap_or_default());
        if !block.is_power_of_two() || !(512..=0x1_0000).contains(&block) {
            return Err(Reader::broken(format!("an index has blocks of {block:#x} bytes")));
        }
        let cluster = reader.boot.cluster;
        let step = if cluster <= block { cluster } else { 512 };
        let node = raw.get(16..).unwrap_or_default();
        let root = Node::parse(node).map_err(|what| Reader::broken(format!("an index root: {what}")))?;
        let allocation = inode.stream(INDEX_ALLOCATION, name);
        Ok(Some(Self { reader, allocation, root, block, step }))
    }

    /// The kind of attribute that the index is of, its rule of order, and the size of its blocks: the start of its root.
    pub(crate) fn head(inode: &Inode, name: &[u16]) -> Option<(u32, u32, u32)> {
        let raw = inode.stream(INDEX_ROOT, name).and_then(Attribute::resident)?;
        Some((u32_at(raw, 0)?, u32_at(raw, 4)?, u32_at(raw, 8)?))
    }

    fn load(&self, number: u64) -> Result<Node> {
        let broken = |what: String| Reader::broken(format!("the index block {number:#x}: {what}"));
        let allocation = self.allocation.ok_or_else(|| broken("there are no blocks".into()))?;
        let at = number.checked_mul(self.step).filter(|at| at.checked_add(self.block).is_some());
        let at = at.filter(|at| at.is_multiple_of(self.block) && at + self.block <= allocation.size());
        let at = at.ok_or_else(|| broken("it is outside of its index".into()))?;
        let mut raw = vec![0; self.block as usize];
        self.reader.read(allocation, at, &mut raw)?;
        unprotect(&mut raw, *b"INDX").map_err(broken)?;
        if u64_at(&raw, 16) != Some(number) {
            return Err(broken(format!(
                "it says that it is block {:#x}",
                u64_at(&raw, 16).unwrap_or_default()
            )));
        }
        // The update sequence lies between the header and the entries.
        let (sequence, numbers) = (u16_at(&raw, 4).unwrap_or_default(), u16_at(&raw, 6).unwrap_or_default());
        let free = usize::from(sequence) + 2 * usize::from(numbers);
        let node = raw.get(24..).unwrap_or_default();
        if u32_at(node, 0).is_none_or(|entries| (entries as usize) + 24 < free) {
            return Err(broken("its entries lie over its update sequence".into()));
        }
        Node::parse(node).map_err(broken)
    }

    /// Calls `visit` with every entry that has a key, until it returns `false`.
    pub(crate) fn walk(&self, mut visit: impl FnMut(&Entry) -> bool) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![(0, self.root.below())];
        if !self.root.keys().all(&mut visit) {
            return Ok(());
        }
        while let Some((depth, mut blocks)) = waiting.pop() {
            let Some(number) = blocks.pop() else { continue };
            waiting.push((depth, blocks));
            if depth >= MAX_DEPTH || !seen.insert(number) {
                return Err(Reader::broken(format!("the index block {number:#x} is met twice")));
            }
            if seen.len() as u64 * self.block > MAX_BYTES {
                return Err(NtfsError::Limit { what: "an index", limit: MAX_BYTES, of: "bytes" }.into());
            }
            let node = self.load(number)?;
            if !node.keys().all(&mut visit) {
                return Ok(());
            }
            waiting.push((depth + 1, node.below()));
        }
        Ok(())
    }

    /// Goes down the tree by what `decide` says of each key.
    pub(crate) fn seek(&self, mut decide: impl FnMut(&Entry) -> Step) -> Result<()> {
        let mut node = None;
        for _ in 0..MAX_DEPTH {
            let entries = &node.as_ref().unwrap_or(&self.root).entries;
            let mut next = None;
            for entry in entries {
                let step = if entry.key.is_some() { decide(entry) } else { Step::Down };
                match step {
                    Step::On => {}
                    Step::Stop => return Ok(()),
                    Step::Down => {
                        next = entry.below;
                        break;
                    }
                }
            }
            match next {
                Some(number) => node = Some(self.load(number)?),
                None => return Ok(()),
            }
        }
        Err(Reader::broken(format!("an index has more than {MAX_DEPTH} levels")))
    }
}

impl Node {
    fn keys(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.key.is_some())
    }

    fn below(&self) -> Vec<u64> {
        self.entries.iter().filter_map(|entry| entry.below).collect()
    }

    /// Parses a node from its header.
    fn parse(raw: &[u8]) -> Result<Self, String> {
        let number = |at| u32_at(raw, at).map(|n| n as usize).ok_or("its header is cut");
        let (start, used, room) = (number(0)?, number(4)?, number(8)?);
        let has_blocks = raw.get(12).is_some_and(|flags| flags & 1 != 0);
        if start < 16 || start % 8 != 0 || used < start || used > room || room > raw.len() {
            return Err(format!("its entries lie from {start:#x} to {used:#x} of {room:#x}"));
        }
        let (mut at, mut entries) = (start, Vec::new());
        loop {
            let head = part(raw, at, 16).filter(|_| at + 16 <= used).ok_or("its entries have no end")?;
            let len = usize::from(u16_at(head, 8).unwrap_or_default());
            let key_len = usize::from(u16_at(head, 10).unwrap_or_default());
            let flags = u16_at(head, 12).unwrap_or_default();
            let (has_below, is_last) = (flags & 1 != 0, flags & 2 != 0);
            let least = 16 + if is_last { 0 } else { key_len } + if has_below { 8 } else { 0 };
            let entry = part(raw, at, len).filter(|_| at + len <= used && len % 8 == 0 && len >= least);
            let entry = entry.ok_or_else(|| format!("its entry at {at:#x} has {len:#x} bytes"))?;
            if has_below != has_blocks {
                return Err(format!("its entry at {at:#x} does not go with its level"));
            }
            entries.push(Entry {
                reference: u64_at(entry, 0).unwrap_or_default(),
                len: if has_below { len - 8 } else { len },
                key: (!is_last).then(|| part(entry, 16, key_len).unwrap_or_default().to_vec()),
                below: has_below.then(|| u64_at(entry, len - 8).unwrap_or_default()),
            });
            at += len;
            if is_last {
                return if at == used {
                    Ok(Self { entries })
                } else {
                    Err(format!("its last entry ends at {at:#x}, not {used:#x}"))
                };
            }
        }
    }
}
