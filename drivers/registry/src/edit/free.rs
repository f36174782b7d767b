//! Free cells: where new ones come from, and where old ones go.

use super::Editor;
use crate::bins::for_each_cell;
use crate::error::{Fault, Result};
use crate::fields::put;
use crate::layout::{BASE_BLOCK, BIN_HEADER, CELL_ALIGN, CELL_HEADER, MAX_CELL, PAGE, bin};
use crate::space::Space;
use std::collections::{BTreeMap, BTreeSet};

/// Every free cell, by place and by size.
#[derive(Clone, Debug, Default)]
pub(crate) struct FreeCells {
    by_place: BTreeMap<u32, u32>,
    by_size: BTreeSet<(u32, u32)>,
}

impl FreeCells {
    pub(crate) fn of(space: &Space) -> Result<Self> {
        let mut free = Self::default();
        for_each_cell(space.bins(), |cell| {
            if !cell.is_allocated {
                free.add(cell.at, cell.size);
            }
        })?;
        Ok(free)
    }

    fn add(&mut self, at: u32, size: u32) {
        self.by_place.insert(at, size);
        self.by_size.insert((size, at));
    }

    /// Takes the cell at `at` out, if it is free.
    fn take(&mut self, at: u32) -> Option<u32> {
        let size = self.by_place.remove(&at)?;
        self.by_size.remove(&(size, at));
        Some(size)
    }

    /// The smallest cell of at least `size` bytes, of those the first.
    fn best(&self, size: u32) -> Option<u32> {
        self.by_size.range((size, 0)..).next().map(|(_, at)| *at)
    }

    /// The free cell that ends at `at`. Bins have a header in front, so that it lies in the same bin.
    fn before(&self, at: u32) -> Option<u32> {
        let (place, size) = self.by_place.range(..at).next_back()?;
        (place + size == at).then_some(*place)
    }
}

impl Editor<'_> {
    fn free(&mut self) -> &mut FreeCells {
        self.hive.editing.free.get_or_insert_default()
    }

    /// A new cell for `content`, with room for at least `spare` bytes more; what `content` does not fill is zero.
    pub(super) fn allocate(&mut self, content: &[u8], spare: usize) -> Result<u32> {
        let wanted = content.len().saturating_add(spare).saturating_add(CELL_HEADER);
        if wanted > MAX_CELL {
            let (what, found) = ("a cell", wanted as u64);
            return Err(Fault::TooLarge { what, found, limit: MAX_CELL as u64 });
        }
        let wanted = (wanted as u32).next_multiple_of(CELL_ALIGN);
        let cell = match self.free().best(wanted) {
            Some(cell) => cell,
            None => self.add_bin(wanted)?,
        };
        let size = self.free().take(cell).unwrap_or_default();
        if size > wanted {
            let rest = cell + wanted;
            self.hive.space.mark(rest, size - wanted, false)?;
            self.free().add(rest, size - wanted);
        }
        self.hive.space.mark(cell, wanted, true)?;
        let mut data = content.to_vec();
        data.resize(wanted as usize - CELL_HEADER, 0);
        self.hive.space.put(cell, 0, &data)?;
        Ok(cell)
    }

    /// A bin at the end that holds one free cell of at least `size` bytes. Returns the cell.
    fn add_bin(&mut self, size: u32) -> Result<u32> {
        let bin_size = (size + BIN_HEADER).next_multiple_of(PAGE);
        let at = self.hive.space.grow(bin_size)?;
        let start = BASE_BLOCK + at as usize;
        let bytes = self.hive.space.file_mut();
        let done = put(bytes, start, bin::SIGNATURE)
            && put(bytes, start + bin::OFFSET, &at.to_le_bytes())
            && put(bytes, start + bin::SIZE, &bin_size.to_le_bytes());
        if !done {
            return Err(Fault::Bin { bin: at, what: "it is not in the file".to_owned() });
        }
        let cell = at + BIN_HEADER;
        self.hive.space.mark(cell, bin_size - BIN_HEADER, false)?;
        self.free().add(cell, bin_size - BIN_HEADER);
        Ok(cell)
    }

    /// Gives a cell back, merged with free neighbours. Its content stays, as Windows leaves it.
    pub(super) fn release(&mut self, cell: u32) -> Result<()> {
        let len = self.hive.space.record(cell, "cell")?.bytes.len() + CELL_HEADER;
        let (mut at, mut size) = (cell, len as u32);
        self.hive.space.mark(cell, size, false)?;
        if let Some(next) = self.free().take(cell + size) {
            size += next;
        }
        if let Some(before) = self.free().before(cell) {
            size += self.free().take(before).unwrap_or_default();
            at = before;
        }
        self.hive.space.mark(at, size, false)?;
        self.free().add(at, size);
        Ok(())
    }

    pub(super) fn release_all(&mut self, cells: impl IntoIterator<Item = u32>) -> Result<()> {
        cells.into_iter().try_for_each(|cell| self.release(cell))
    }

    /// Puts `content` into `cell`, or, when it does not fit, into a new cell with room for `spare` bytes more. Returns
    /// where it is.
    pub(super) fn rewrite(&mut self, cell: u32, content: &[u8], spare: usize) -> Result<u32> {
        if content.len() <= self.hive.space.record(cell, "cell")?.bytes.len() {
            self.hive.space.put(cell, 0, content)?;
            return Ok(cell);
        }
        let new = self.allocate(content, spare)?;
        self.release(cell)?;
        Ok(new)
    }
}
