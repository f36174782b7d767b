//! Lists of subkeys: a leaf (`lf`, `lh`, `li`), or a root (`ri`) over leaves.
//!
//! Source: specification, "Index leaf", "Fast leaf", "Hash leaf", "Index root".

use crate::error::{Fault, Result, shown};
use crate::key_node::KeyNode;
use crate::layout::{MAX_FAST_LEAF, MAX_PLAIN_LEAF, list};
use crate::space::Space;
use std::collections::HashSet;

/// The three kinds of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// `li`: cells only.
    Plain,
    /// `lf`: cells with hints.
    Hint,
    /// `lh`: cells with hashes.
    Hash,
}

impl LeafKind {
    pub(crate) fn of(signature: [u8; 2]) -> Option<Self> {
        match &signature {
            b"li" => Some(Self::Plain),
            b"lf" => Some(Self::Hint),
            b"lh" => Some(Self::Hash),
            _ => None,
        }
    }

    pub(crate) fn signature(self) -> &'static [u8; 2] {
        match self {
            Self::Plain => b"li",
            Self::Hint => b"lf",
            Self::Hash => b"lh",
        }
    }

    /// Bytes of an entry.
    pub(crate) fn entry(self) -> usize {
        if self == Self::Plain { 4 } else { 8 }
    }

    /// Entries at which a leaf is full.
    pub(crate) fn limit(self) -> usize {
        if self == Self::Plain { MAX_PLAIN_LEAF } else { MAX_FAST_LEAF }
    }
}

/// A leaf with the bytes of its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<'a> {
    pub(crate) cell: u32,
    pub(crate) kind: LeafKind,
    pub(crate) entries: &'a [u8],
}

impl<'a> Leaf<'a> {
    pub(crate) fn load(space: &'a Space, cell: u32) -> Result<Self> {
        let record = space.record(cell, "list of subkeys")?;
        let kind = LeafKind::of(record.signature()).ok_or_else(|| Fault::Signature {
            cell,
            role: "list of subkeys",
            found: shown(&record.signature()),
            expected: "lf, lh or li",
        })?;
        let count = usize::from(record.u16(list::COUNT)?);
        Ok(Self { cell, kind, entries: record.slice(list::ENTRIES, count * kind.entry())? })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() / self.kind.entry()
    }

    /// The cells of the keys.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + use<'a> {
        let entries = self.entries.chunks_exact(self.kind.entry());
        entries.map(|entry| entry.first_chunk().map_or(0, |cell| u32::from_le_bytes(*cell)))
    }
}

/// The lists of one key.
#[derive(Clone, Debug)]
pub(crate) struct Lists<'a> {
    /// The `ri`, if there is one.
    pub(crate) root: Option<u32>,
    pub(crate) leaves: Vec<Leaf<'a>>,
}

impl<'a> Lists<'a> {
    /// The lists of `key`. They hold as many entries as the key says.
    pub(crate) fn of(space: &'a Space, key: &KeyNode<'_>) -> Result<Self> {
        if key.subkeys == 0 {
            return Ok(Self { root: None, leaves: Vec::new() });
        }
        let cell = key.subkey_list;
        let record = space.record(cell, "list of subkeys")?;
        let lists = if record.signature() == *b"ri" {
            let count = usize::from(record.u16(list::COUNT)?);
            let entries = record.slice(list::ENTRIES, count * 4)?.as_chunks().0;
            // A leaf that comes twice would make a small file look like billions of keys.
            let mut seen = HashSet::new();
            let mut leaves = Vec::new();
            for leaf in entries.iter().map(|entry| u32::from_le_bytes(*entry)) {
                if !seen.insert(leaf) {
                    return Err(Fault::Shared { cell: leaf, role: "list of subkeys" });
                }
                leaves.push(Leaf::load(space, leaf)?);
            }
            Self { root: Some(cell), leaves }
        } else {
            Self { root: None, leaves: vec![Leaf::load(space, cell)?] }
        };
        let found: usize = lists.leaves.iter().map(Leaf::len).sum();
        if found != key.subkeys as usize {
            let what = format!("a key has {} subkeys, its lists hold {found}", key.subkeys);
            return Err(Fault::Record { cell: key.cell, what });
        }
        Ok(lists)
    }

    /// The cells of all keys, in their order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.leaves.iter().flat_map(Leaf::keys)
    }

    /// The subkey `name`.
    pub(crate) fn find(&self, space: &'a Space, name: &[u16]) -> Result<Option<KeyNode<'a>>> {
        for cell in self.keys() {
            let key = KeyNode::load(space, cell)?;
            if key.name.is(name) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}
