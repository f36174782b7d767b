//! The bytes of a hive, and where in them allocated cells start.

use crate::base_block::BaseBlock;
use crate::bins::for_each_cell;
use crate::bits::Bits;
use crate::error::{Fault, Result, shown};
use crate::fields::{Record, le32, put};
use crate::layout::{BASE_BLOCK, CELL_ALIGN, CELL_HEADER, MAX_HIVE};

/// A hive's bytes. Every access to a cell goes through [`Space::record`], which only knows allocated cells.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    bytes: Vec<u8>,
    bins_size: u32,
    /// Allocated cells, by their offset divided by 8.
    starts: Bits,
}

impl Space {
    /// Walks all bins and cells once.
    pub(crate) fn load(bytes: Vec<u8>, base: &BaseBlock) -> Result<Self> {
        if bytes.len() as u64 > MAX_HIVE {
            return Err(Fault::hive_size(bytes.len() as u64));
        }
        let end = BASE_BLOCK + base.bins_size as usize;
        let Some(bins) = bytes.get(BASE_BLOCK..end) else {
            let what = format!("hive bins data end at {end:#x}, the file at {:#x}", bytes.len());
            return Err(Fault::Bin { bin: base.bins_size, what });
        };
        let mut starts = Bits::new(bins.len() / CELL_ALIGN as usize);
        for_each_cell(bins, |cell| {
            if cell.is_allocated {
                starts.add((cell.at / CELL_ALIGN) as usize);
            }
        })?;
        Ok(Self { bytes, bins_size: base.bins_size, starts })
    }

    pub(crate) fn bins_size(&self) -> u32 {
        self.bins_size
    }

    pub(crate) fn bins(&self) -> &[u8] {
        self.bytes.get(BASE_BLOCK..BASE_BLOCK + self.bins_size as usize).unwrap_or_default()
    }

    /// The whole file.
    pub(crate) fn file_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn into_file(self) -> Vec<u8> {
        self.bytes
    }

    /// The data of the allocated cell at `cell`; `role` names it in errors.
    pub(crate) fn record(&self, cell: u32, role: &'static str) -> Result<Record<'_>> {
        let fault = || Fault::NotACell { cell, role };
        if !cell.is_multiple_of(CELL_ALIGN) || !self.starts.has((cell / CELL_ALIGN) as usize) {
            return Err(fault());
        }
        let at = BASE_BLOCK + cell as usize;
        let size = le32(&self.bytes, at).map(|raw| raw.cast_signed().unsigned_abs() as usize);
        let bytes = size.and_then(|size| self.bytes.get(at + CELL_HEADER..at + size));
        Ok(Record { cell, bytes: bytes.ok_or_else(fault)? })
    }

    /// The data of a cell that starts with `signature`.
    pub(crate) fn signed(
        &self,
        cell: u32,
        role: &'static str,
        signature: [u8; 2],
        expected: &'static str,
    ) -> Result<Record<'_>> {
        let record = self.record(cell, role)?;
        if record.signature() != signature {
            return Err(Fault::Signature { cell, role, found: shown(&record.signature()), expected });
        }
        Ok(record)
    }

    /// Overwrites bytes of an allocated cell's data.
    pub(crate) fn put(&mut self, cell: u32, at: usize, new: &[u8]) -> Result<()> {
        let room = self.record(cell, "cell")?.bytes.len();
        let fits = at.checked_add(new.len()).is_some_and(|end| end <= room);
        if !fits || !put(&mut self.bytes, BASE_BLOCK + cell as usize + CELL_HEADER + at, new) {
            return Err(Fault::Short { cell, at, len: new.len(), room });
        }
        Ok(())
    }

    pub(crate) fn put_u16(&mut self, cell: u32, at: usize, number: u16) -> Result<()> {
        self.put(cell, at, &number.to_le_bytes())
    }

    pub(crate) fn put_u32(&mut self, cell: u32, at: usize, number: u32) -> Result<()> {
        self.put(cell, at, &number.to_le_bytes())
    }

    /// Writes the size field of a cell, and with it whether it is allocated.
    pub(crate) fn mark(&mut self, cell: u32, size: u32, is_allocated: bool) -> Result<()> {
        let raw = if is_allocated { size.cast_signed().wrapping_neg() } else { size.cast_signed() };
        if !put(&mut self.bytes, BASE_BLOCK + cell as usize, &raw.to_le_bytes()) {
            return Err(Fault::NotACell { cell, role: "cell" });
        }
        let index = (cell / CELL_ALIGN) as usize;
        if is_allocated {
            self.starts.add(index);
        } else {
            self.starts.remove(index);
        }
        Ok(())
    }

    /// Makes the hive bins data `more` bytes longer. What the file holds behind them is overwritten with zeros first,
    /// and only when there is not enough of it does the file grow.
    pub(crate) fn grow(&mut self, more: u32) -> Result<u32> {
        let old = self.bins_size;
        let start = BASE_BLOCK as u64 + u64::from(old);
        let end = start + u64::from(more);
        if end > MAX_HIVE {
            return Err(Fault::hive_size(end));
        }
        let (start, end) = (start as usize, end as usize);
        let padding = self.bytes.len().min(end);
        if let Some(padding) = self.bytes.get_mut(start..padding) {
            padding.fill(0);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bins_size = old + more;
        Ok(old)
    }
}
