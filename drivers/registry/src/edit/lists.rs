//! Lists of subkeys: adding to them in order, splitting full ones, and taking out of them.
//!
//! Limits: a leaf with hints (`lf`) or hashes (`lh`) holds 507 entries and a plain one (`li`) 1013, as many as fit a bin of
//! one page. A full `lf` becomes an `li`, as Windows 2000 does it; other full leaves are cut in halves below an `ri`.
//! Older Windows lets an `lh` grow to twice its limit here; such a leaf is cut when something is added to it.

use super::Editor;
use crate::error::{Fault, Result};
use crate::key_node::KeyNode;
use crate::layout::{NIL, list, nk};
use crate::name::{hash, hint, order};
use crate::subkeys::{Leaf, LeafKind, Lists};
use std::cmp::Ordering;

/// A leaf taken apart.
struct OwnLeaf {
    cell: u32,
    kind: LeafKind,
    entries: Vec<u8>,
}

impl OwnLeaf {
    fn of(leaf: &Leaf<'_>) -> Self {
        Self { cell: leaf.cell, kind: leaf.kind, entries: leaf.entries.to_vec() }
    }

    fn len(&self) -> usize {
        self.entries.len() / self.kind.entry()
    }

    /// The content of the leaf's cell.
    fn content(&self) -> Vec<u8> {
        content(*self.kind.signature(), self.len(), &self.entries)
    }

    /// Room for a quarter more, up to the limit.
    fn spare(&self) -> usize {
        (self.len() / 4).min(self.kind.limit().saturating_sub(self.len())) * self.kind.entry()
    }
}

fn content(signature: [u8; 2], count: usize, entries: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(list::ENTRIES + entries.len());
    content.extend(signature);
    content.extend((count as u16).to_le_bytes());
    content.extend(entries);
    content
}

fn entry(kind: LeafKind, key: u32, name: &[u16]) -> Vec<u8> {
    let units = || name.iter().copied();
    let mut entry = key.to_le_bytes().to_vec();
    match kind {
        LeafKind::Plain => {}
        LeafKind::Hint => entry.extend(hint(units())),
        LeafKind::Hash => entry.extend(hash(units()).to_le_bytes()),
    }
    entry
}

/// The leaves of a key, and where a new name belongs.
struct Place {
    root: Option<u32>,
    cells: Vec<u32>,
    /// Which leaf, and where in it.
    index: usize,
    at: usize,
    leaf: OwnLeaf,
}

impl Editor<'_> {
    /// Whether `name` can be added to the lists of `parent`: Windows searches them by halves, so they must be in order.
    pub(super) fn check_order(&self, parent: u32, name: &[u16]) -> Result<()> {
        self.place(parent, name).map(|_| ())
    }

    /// Adds `key` with `name`, which is not there yet.
    pub(super) fn add_subkey(&mut self, parent: u32, key: u32, name: &[u16]) -> Result<()> {
        // A leaf is turned or cut at most once each before the key fits.
        loop {
            let Some(place) = self.place(parent, name)? else {
                let kind = if self.hive.base.minor > 4 { LeafKind::Hash } else { LeafKind::Hint };
                let cell = self.allocate(&content(*kind.signature(), 1, &entry(kind, key, name)), 0)?;
                self.hive.space.put_u32(parent, nk::SUBKEY_LIST, cell)?;
                break;
            };
            if place.leaf.len() < place.leaf.kind.limit() {
                self.insert(parent, place, key, name)?;
                break;
            }
            if place.leaf.kind == LeafKind::Hint
                && place.root.is_none()
                && place.leaf.len() < LeafKind::Plain.limit()
            {
                self.make_plain(place.leaf)?;
            } else {
                self.split(parent, place)?;
            }
        }
        let count = self.node(parent)?.subkeys;
        self.hive.space.put_u32(parent, nk::SUBKEYS, count + 1)
    }

    /// Where `name` belongs; `None` while there is no list.
    fn place(&self, parent: u32, name: &[u16]) -> Result<Option<Place>> {
        let space = &self.hive.space;
        let node = self.node(parent)?;
        let lists = Lists::of(space, &node)?;
        let mut found = None;
        let mut before: Option<KeyNode<'_>> = None;
        for (index, leaf) in lists.leaves.iter().enumerate() {
            for (at, cell) in leaf.keys().enumerate() {
                let key = KeyNode::load(space, cell)?;
                let units = || key.name.units();
                if before.is_some_and(|before| order(before.name.units(), units()) != Ordering::Less) {
                    let what =
                        "the list with this key is not in order, Windows would not find a new one".to_owned();
                    return Err(Fault::Record { cell, what });
                }
                if found.is_none() && order(name.iter().copied(), units()) == Ordering::Less {
                    found = Some((index, at));
                }
                before = Some(key);
            }
        }
        let Some(last) = lists.leaves.len().checked_sub(1) else { return Ok(None) };
        let (index, at) = found.unwrap_or((last, lists.leaves.last().map_or(0, Leaf::len)));
        let Some(leaf) = lists.leaves.get(index) else { return Ok(None) };
        let cells = lists.leaves.iter().map(|leaf| leaf.cell).collect();
        Ok(Some(Place { root: lists.root, cells, index, at, leaf: OwnLeaf::of(leaf) }))
    }

    fn insert(&mut self, parent: u32, place: Place, key: u32, name: &[u16]) -> Result<()> {
        let Place { root, index, at, mut leaf, .. } = place;
        let at = at * leaf.kind.entry();
        let entry = entry(leaf.kind, key, name);
        leaf.entries.splice(at..at, entry);
        let cell = self.rewrite(leaf.cell, &leaf.content(), leaf.spare())?;
        match root {
            _ if cell == leaf.cell => Ok(()),
            None => self.hive.space.put_u32(parent, nk::SUBKEY_LIST, cell),
            Some(root) => self.hive.space.put_u32(root, list::ENTRIES + index * 4, cell),
        }
    }

    /// Drops the hints of a leaf, which then fits its cell twice.
    fn make_plain(&mut self, mut leaf: OwnLeaf) -> Result<()> {
        let step = leaf.kind.entry();
        leaf.entries =
            leaf.entries.chunks_exact(step).flat_map(|entry| entry.iter().copied().take(4)).collect();
        leaf.kind = LeafKind::Plain;
        self.hive.space.put(leaf.cell, 0, &leaf.content())
    }

    /// Cuts a full leaf in halves, below the `ri` that there is or a new one.
    fn split(&mut self, parent: u32, place: Place) -> Result<()> {
        let Place { root, mut cells, index, mut leaf, .. } = place;
        let kind = leaf.kind;
        let entries = leaf.entries.split_off(leaf.len() / 2 * kind.entry());
        let second = OwnLeaf { cell: NIL, kind, entries };
        let second_cell = self.allocate(&second.content(), second.spare())?;
        self.hive.space.put(leaf.cell, 0, &leaf.content())?;
        cells.insert(index + 1, second_cell);
        if cells.len() > usize::from(u16::MAX) {
            let (what, found) = ("lists below one key", cells.len() as u64);
            return Err(Fault::TooLarge { what, found, limit: u64::from(u16::MAX) });
        }
        let all: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        let content = content(*b"ri", cells.len(), &all);
        let spare = cells.len() / 4 * 4;
        let root_cell = match root {
            Some(root) => self.rewrite(root, &content, spare)?,
            None => self.allocate(&content, spare)?,
        };
        self.hive.space.put_u32(parent, nk::SUBKEY_LIST, root_cell)
    }

    /// Takes `key` out of the lists of `parent`. A list without entries goes.
    pub(super) fn remove_subkey(&mut self, parent: u32, key: u32) -> Result<()> {
        let node = self.node(parent)?;
        let (count, lists) = (node.subkeys, Lists::of(&self.hive.space, &node)?);
        let mut leaves = lists.leaves.iter().enumerate();
        let found =
            leaves.find_map(|(index, leaf)| Some((index, leaf, leaf.keys().position(|cell| cell == key)?)));
        let Some((index, leaf, at)) = found else {
            return Err(Fault::Record { cell: key, what: "its parent does not list it".to_owned() });
        };
        let (root, mut cells) = (lists.root, lists.leaves.iter().map(|leaf| leaf.cell).collect::<Vec<_>>());
        let mut leaf = OwnLeaf::of(leaf);
        let step = leaf.kind.entry();
        leaf.entries.drain(at * step..(at + 1) * step);
        if leaf.len() > 0 {
            self.hive.space.put(leaf.cell, 0, &leaf.content())?;
        } else {
            cells.remove(index);
            self.release(leaf.cell)?;
            if let Some(root) = root
                && !cells.is_empty()
            {
                let all: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
                self.hive.space.put(root, 0, &content(*b"ri", cells.len(), &all))?;
            } else {
                self.release_all(root)?;
                self.hive.space.put_u32(parent, nk::SUBKEY_LIST, NIL)?;
            }
        }
        self.hive.space.put_u32(parent, nk::SUBKEYS, count.saturating_sub(1))
    }
}
