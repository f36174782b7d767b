//! Editing a hive in memory.
//!
//! Only cells that an edit is about are written: a cell that grows is written anew elsewhere and its old place given
//! back, free cells are merged with free neighbours, and the hive grows by bins at its end.

mod data;
mod free;
mod keys;
mod lists;
mod security;
mod values;

use crate::base_block::set_words;
use crate::check;
use crate::error::{Fault, Result as Checked};
use crate::fields::put;
use crate::filetime::FileTime;
use crate::hive::Hive;
use crate::key_node::KeyNode;
use crate::layout::{BASE_BLOCK, base, bin, nk};
use crate::name::components;
use crate::subkeys::Lists;
use format_core::Result;
use free::FreeCells;

/// What editing knows of a hive between edits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Editing {
    /// Known since the hive was found whole.
    free: Option<FreeCells>,
    changed: Option<FileTime>,
    /// An edit has begun and did not end.
    is_half_done: bool,
}

/// Edits a [`Hive`]. Every method says whether it changed something: what is there already is not written again, so that
/// doing an edit twice changes nothing the second time.
///
/// A method that fails before it has written anything leaves the hive as it was. When one fails later, as it does when the
/// hive would become too large, [`Hive::into_bytes`] refuses.
#[derive(Debug)]
pub struct Editor<'a> {
    hive: &'a mut Hive,
    now: FileTime,
}

impl Hive {
    /// Begins to edit. `now` becomes the time of what changes. The first call walks the whole hive.
    ///
    /// # Errors
    /// `NeedsPerson`: the hive is dirty. `Corrupt`: the hive is not whole ([`Hive::check`]).
    pub fn edit(&mut self, now: FileTime) -> Result<Editor<'_>> {
        if self.is_dirty() {
            let (primary, secondary) = (self.base.primary_sequence, self.base.secondary_sequence);
            return Err(Fault::Dirty { primary, secondary }.into());
        }
        if self.editing.is_half_done {
            return Err(Fault::HalfDone.into());
        }
        if self.editing.free.is_none() {
            check::check(self)?;
            self.editing.free = Some(FreeCells::of(&self.space)?);
        }
        Ok(Editor { hive: self, now })
    }

    /// The bytes of the primary file. When something changed, both sequence numbers are one higher than before, and the
    /// base block has the time of the last edit and its checksum; otherwise they are what was opened.
    ///
    /// # Errors
    /// `Usage`: an edit failed half-way.
    pub fn into_bytes(mut self) -> Result<Vec<u8>> {
        if self.editing.is_half_done {
            return Err(Fault::HalfDone.into());
        }
        let Some(now) = self.editing.changed else { return Ok(self.space.into_file()) };
        let sequence = self.base.primary_sequence.wrapping_add(1);
        let bins_size = self.space.bins_size();
        let bytes = self.space.file_mut();
        let time = now.0.to_le_bytes();
        // The first bin keeps a copy of the time ("Hive bin", note 3).
        if !put(bytes, base::LAST_WRITTEN, &time) || !put(bytes, BASE_BLOCK + bin::TIMESTAMP, &time) {
            return Err(Fault::HalfDone.into());
        }
        let sequences = [base::PRIMARY_SEQUENCE, base::SECONDARY_SEQUENCE].map(|at| (at, sequence));
        set_words(bytes, &[sequences[0], sequences[1], (base::BINS_SIZE, bins_size)])?;
        Ok(self.space.into_file())
    }
}

impl Editor<'_> {
    /// The hive as it is by now.
    #[must_use]
    pub fn hive(&self) -> &Hive {
        self.hive
    }

    /// Does `what`, which writes. Nothing that can be refused is left to be found out in it.
    fn change<T>(&mut self, what: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        if self.hive.editing.is_half_done {
            return Err(Fault::HalfDone);
        }
        self.hive.editing.is_half_done = true;
        let done = what(self)?;
        self.hive.editing.is_half_done = false;
        self.hive.editing.changed = Some(self.now);
        Ok(done)
    }

    fn node(&self, cell: u32) -> Checked<KeyNode<'_>> {
        KeyNode::load(&self.hive.space, cell)
    }

    /// The key at `path`, for a change of itself or what is in it.
    fn find(&self, path: &str) -> Checked<Option<u32>> {
        let mut cell = self.hive.base.root;
        for name in components(path) {
            match self.find_below(cell, name)? {
                Some(found) => cell = found,
                None => return Ok(None),
            }
        }
        Ok(Some(cell))
    }

    fn find_below(&self, parent: u32, name: &str) -> Checked<Option<u32>> {
        let node = self.node(parent)?;
        let name: Vec<u16> = name.encode_utf16().collect();
        let found = Lists::of(&self.hive.space, &node)?.find(&self.hive.space, &name)?;
        Ok(found.map(|node| node.cell))
    }

    /// Refuses keys whose content Windows would look for elsewhere.
    fn plain_key(&self, cell: u32, path: &str) -> Checked<()> {
        let flags = self.node(cell)?.flags;
        if flags & nk::FLAG_LINK != 0 {
            return Err(Fault::Refused(format!(
                "key {path:?} is a symbolic link: edit the key that it points to"
            )));
        }
        if flags & nk::FLAG_PREDEFINED != 0 {
            return Err(Fault::Refused(format!(
                "key {path:?} stands for a predefined handle and holds nothing"
            )));
        }
        Ok(())
    }

    /// Sets the time of a key.
    fn touch(&mut self, key: u32) -> Checked<()> {
        self.hive.space.put(key, nk::LAST_WRITTEN, &self.now.0.to_le_bytes())
    }

    /// Raises one of the largest lengths that a key keeps to `len`.
    fn raise(&mut self, key: u32, field: usize, len: usize) -> Checked<()> {
        let old = self.hive.space.record(key, "key")?.u32(field)?;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if len > old { self.hive.space.put_u32(key, field, len) } else { Ok(()) }
    }
}
