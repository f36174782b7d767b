//! All keys of a hive, without recursion and without trust in its tree being one.

use crate::bits::Bits;
use crate::error::{Fault, Result as Checked};
use crate::hive::{Hive, Key};
use crate::layout::{CELL_ALIGN, MAX_DEPTH};
use crate::subkeys::Lists;
use format_core::Result;

/// Cells that were met.
#[derive(Clone, Debug)]
pub(crate) struct Claims(Bits);

impl Claims {
    pub(crate) fn new(bins_size: u32) -> Self {
        Self(Bits::new((bins_size / CELL_ALIGN) as usize))
    }

    /// Claims a cell that belongs to one owner only.
    pub(crate) fn take(&mut self, cell: u32, role: &'static str) -> Checked<()> {
        if self.0.add((cell / CELL_ALIGN) as usize) { Ok(()) } else { Err(Fault::Shared { cell, role }) }
    }
}

/// A key that a [`Walk`] met.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The key.
    pub key: Key<'a>,
    /// How many keys are above it: 0 for the root.
    pub depth: usize,
}

/// See [`Hive::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    hive: &'a Hive,
    /// Keys to visit, with their depth.
    waiting: Vec<(u32, usize)>,
    pub(crate) claims: Claims,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(hive: &'a Hive) -> Self {
        Self::below(hive, hive.base.root)
    }

    /// `key` and everything below it.
    pub(crate) fn below(hive: &'a Hive, key: u32) -> Self {
        Self { hive, waiting: vec![(key, 0)], claims: Claims::new(hive.space.bins_size()) }
    }

    /// The next key; its lists and its place are claimed, and its subkeys wait.
    pub(crate) fn step(&mut self) -> Checked<Option<Visit<'a>>> {
        let Some((cell, depth)) = self.waiting.pop() else { return Ok(None) };
        if depth > MAX_DEPTH {
            return Err(Fault::TooDeep { limit: MAX_DEPTH });
        }
        let key = self.hive.key_at(cell)?;
        self.claims.take(cell, "key")?;
        let lists = Lists::of(&self.hive.space, &key.node)?;
        for list in lists.root.into_iter().chain(lists.leaves.iter().map(|leaf| leaf.cell)) {
            self.claims.take(list, "list of subkeys")?;
        }
        self.waiting.extend(lists.keys().rev().map(|subkey| (subkey, depth + 1)));
        Ok(Some(Visit { key, depth }))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Visit<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(visit) => visit.map(Ok),
            Err(fault) => {
                self.waiting.clear();
                Some(Err(fault.into()))
            }
        }
    }
}
