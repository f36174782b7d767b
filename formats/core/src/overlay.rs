//! Copy-on-write over a disk: where fixups happen, so that the source is never written.

use crate::{Disk, Error, Extent, ExtentKind, Layer, RangeSet, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const BLOCK: usize = 4096;
/// Longer runs of changed blocks are told in pieces: who asks for one extent shall not wait for the whole disk.
const MAX_RUN: usize = 4096;

/// A writable view of a read-only [`Disk`]. Changed 4 KiB blocks live in memory; beyond [`Overlay::MEMORY_BLOCKS`]
/// of them, new ones spill to an unnamed temporary file. Zeros take no room ([`Overlay::zero_at`]).
///
/// It is itself a [`Layer`], so the changed disk is `disk.with_top(overlay)` and what changed is exactly its data.
pub struct Overlay {
    base: Disk,
    changes: RwLock<Changes>,
    failure: Arc<Mutex<Option<Error>>>,
}

#[derive(Default)]
struct Changes {
    blocks: BTreeMap<u64, Slot>,
    /// Blocks that became zeros, as bytes; none of them is in `blocks`.
    zeros: RangeSet,
    in_memory: usize,
    spill: Option<File>,
    spilled: u64,
    /// Blocks of the spill file that nobody uses any more.
    vacant: Vec<u64>,
}

enum Slot {
    Memory(Box<[u8; BLOCK]>),
    /// Number of the block in the spill file.
    Spilled(u64),
}

impl Overlay {
    /// How many changed blocks are kept in memory (64 MiB).
    pub const MEMORY_BLOCKS: usize = 16 << 10;

    /// An overlay without changes.
    #[must_use]
    pub fn new(base: Disk) -> Arc<Self> {
        Arc::new(Self { base, changes: RwLock::default(), failure: Arc::default() })
    }

    /// The disk below.
    #[must_use]
    pub fn base(&self) -> &Disk {
        &self.base
    }

    /// Where the first error will stand that reading the disk below ends in; it outlives the overlay. Whoever reads a file system makes of
    /// such an error that the file system cannot be understood. The truth is that it was not seen.
    #[must_use]
    pub fn failure_below(&self) -> Arc<Mutex<Option<Error>>> {
        Arc::clone(&self.failure)
    }

    fn read_base(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.base.read_exact_at(offset, buf).inspect_err(|error| {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.retold());
        })
    }

    /// The changed disk: this overlay on top of its base.
    #[must_use]
    pub fn disk(self: &Arc<Self>) -> Disk {
        self.base.with_top(Arc::clone(self) as Arc<dyn Layer>)
    }

    /// Fills `buf` with the changed disk's bytes from `offset`.
    ///
    /// # Errors
    /// `Usage` when the range leaves the disk; what the layers below or the spill file report.
    pub fn read_merged_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len())?;
        self.read_base(offset, buf)?;
        self.copy_changes(offset, buf)
    }

    /// Writes `bytes` at `offset`, into the overlay only.
    ///
    /// # Errors
    /// `Usage` when the range leaves the disk; what the layers below or the spill file report.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (block, inside) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let len = (BLOCK - inside).min(bytes.len() - done);
            let mut content = match changes.load(block)? {
                Some(content) => content,
                None if len == BLOCK => Box::new([0; BLOCK]),
                None => self.base_block(block)?,
            };
            content[inside..inside + len].copy_from_slice(&bytes[done..done + len]);
            changes.store(block, content)?;
            done += len;
        }
        Ok(())
    }

    /// Writes `len` zeros at `offset`. Whole blocks of them take no room.
    ///
    /// # Errors
    /// As [`Overlay::write_all_at`].
    pub fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.base.virtual_size();
        let end =
            offset.checked_add(len).filter(|end| *end <= size).ok_or_else(|| left(len, offset, size))?;
        let block = BLOCK as u64;
        let first = offset.next_multiple_of(block);
        // The disk's last block may be short.
        let last = if end == size { size.next_multiple_of(block) } else { end / block * block };
        if first >= last {
            return self.write_zeros(offset, end);
        }
        self.write_zeros(offset, first)?;
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        changes.clear(first / block..last / block);
        changes.zeros.add(first, last - first);
        drop(changes);
        self.write_zeros(last.min(end), end)
    }

    /// Zeros of less than two blocks.
    fn write_zeros(&self, from: u64, to: u64) -> Result<()> {
        let zeros = [0; 2 * BLOCK];
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        zeros.get(..len).map_or_else(
            || Err(Error::contract("more zeros than two blocks")),
            |zeros| self.write_all_at(from, zeros),
        )
    }

    /// The ranges that were made zeros as whole blocks, ascending: (offset, length).
    #[must_use]
    pub fn zeroed_ranges(&self) -> Vec<(u64, u64)> {
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        changes.zeros.iter().map(|(start, len)| (start, len.min(self.base.virtual_size() - start))).collect()
    }

    /// The ranges that differ from the base by being written, ascending, adjacent blocks joined: (offset, length).
    #[must_use]
    pub fn changed_ranges(&self) -> Vec<(u64, u64)> {
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let mut ranges = changes.zeros.clone();
        changes.blocks.keys().for_each(|block| ranges.add(block * BLOCK as u64, BLOCK as u64));
        ranges.iter().map(|(start, len)| (start, len.min(self.base.virtual_size() - start))).collect()
    }

    /// Bytes of changed blocks that are in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        changes.in_memory as u64 * BLOCK as u64
    }

    fn base_block(&self, block: u64) -> Result<Box<[u8; BLOCK]>> {
        let mut content = Box::new([0; BLOCK]);
        let start = block * BLOCK as u64;
        let len = (self.base.virtual_size() - start).min(BLOCK as u64) as usize;
        self.read_base(start, &mut content[..len])?;
        Ok(content)
    }

    fn copy_changes(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset + buf.len() as u64;
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        for (start, len) in changes.zeros.within(offset, end) {
            buf[(start - offset) as usize..][..len as usize].fill(0);
        }
        let blocks = offset / BLOCK as u64..end.div_ceil(BLOCK as u64);
        for &block in changes.blocks.range(blocks).map(|(block, _)| block) {
            let Some(content) = changes.load(block)? else { continue };
            let start = (block * BLOCK as u64).max(offset);
            let stop = ((block + 1) * BLOCK as u64).min(end);
            let from = (start % BLOCK as u64) as usize;
            let len = (stop - start) as usize;
            buf[(start - offset) as usize..][..len].copy_from_slice(&content[from..from + len]);
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, len: usize) -> Result<()> {
        let size = self.base.virtual_size();
        if offset.checked_add(len as u64).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(left(len as u64, offset, size))
    }
}

fn left(len: u64, offset: u64, size: u64) -> Error {
    Error::usage(format!("{len:#x} bytes at {offset:#x} leave the disk of {size:#x} bytes"))
}

impl Changes {
    fn load(&self, block: u64) -> Result<Option<Box<[u8; BLOCK]>>> {
        match (self.blocks.get(&block), &self.spill) {
            (Some(Slot::Memory(content)), _) => Ok(Some(content.clone())),
            (Some(Slot::Spilled(number)), Some(file)) => {
                let mut content = Box::new([0; BLOCK]);
                file.read_exact_at(&mut content[..], number * BLOCK as u64)
                    .map_err(|e| Error::io("cannot read the overlay's temporary file", e))?;
                Ok(Some(content))
            }
            (Some(Slot::Spilled(_)), None) => Err(Error::contract("a spilled block without a spill file")),
            (None, _) if self.zeros.run_at(block * BLOCK as u64).0 => Ok(Some(Box::new([0; BLOCK]))),
            (None, _) => Ok(None),
        }
    }

    /// Forgets the content of `blocks`.
    fn clear(&mut self, blocks: Range<u64>) {
        // The rest of the tree is not touched: a file system that is trimmed asks for this for each of its many gaps.
        while let Some((&block, _)) = self.blocks.range(blocks.clone()).next() {
            match self.blocks.remove(&block) {
                Some(Slot::Memory(_)) => self.in_memory -= 1,
                Some(Slot::Spilled(number)) => self.vacant.push(number),
                None => return,
            }
        }
    }

    fn store(&mut self, block: u64, content: Box<[u8; BLOCK]>) -> Result<()> {
        match self.blocks.get_mut(&block) {
            Some(Slot::Memory(old)) => *old = content,
            Some(Slot::Spilled(number)) => {
                let number = *number;
                self.write_spill(number, &content)?;
            }
            None if self.in_memory < Overlay::MEMORY_BLOCKS => {
                self.in_memory += 1;
                self.blocks.insert(block, Slot::Memory(content));
                self.zeros.remove(block * BLOCK as u64, BLOCK as u64);
            }
            None => {
                let number = self.vacant.last().copied().unwrap_or(self.spilled);
                self.write_spill(number, &content)?;
                if self.vacant.pop().is_none() {
                    self.spilled += 1;
                }
                self.blocks.insert(block, Slot::Spilled(number));
                self.zeros.remove(block * BLOCK as u64, BLOCK as u64);
            }
        }
        Ok(())
    }

    fn write_spill(&mut self, number: u64, content: &[u8; BLOCK]) -> Result<()> {
        let failed = |e| Error::io("cannot write the overlay's temporary file", e);
        let file = match &mut self.spill {
            Some(file) => file,
            none => none.insert(tempfile::tempfile().map_err(failed)?),
        };
        file.write_all_at(content, number * BLOCK as u64).map_err(failed)
    }
}

impl Layer for Overlay {
    fn format(&self) -> &'static str {
        "overlay"
    }

    fn virtual_size(&self) -> u64 {
        self.base.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        BLOCK as u64
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let size = self.virtual_size();
        if offset >= size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {size:#x} bytes"
            )));
        }
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let first = offset / BLOCK as u64;
        let mut following = changes.blocks.range(first..).map(|(&block, _)| block);
        let (kind, end) = match (following.next(), changes.zeros.run_at(offset)) {
            (Some(block), _) if block == first => {
                let wanted = first + 1..first + MAX_RUN as u64;
                let run = following.zip(wanted).take_while(|(found, wanted)| found == wanted).count() as u64;
                (ExtentKind::Data, (first + 1 + run).saturating_mul(BLOCK as u64))
            }
            (_, (true, len)) => (ExtentKind::Zero, len.map_or(u64::MAX, |len| offset.saturating_add(len))),
            (next, (false, len)) => {
                let data = next.map_or(u64::MAX, |block| block.saturating_mul(BLOCK as u64));
                (ExtentKind::Unallocated, len.map_or(data, |len| data.min(offset.saturating_add(len))))
            }
        };
        Ok(Extent { offset, len: end.min(size) - offset, kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len())?;
        buf.fill(0);
        self.copy_changes(offset, buf)
    }
}

#[cfg(test)]
mod tests;
