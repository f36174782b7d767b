//! An array as a volume.
//!
//! Levels 0, 1 and 10 (near) are one arithmetic: copy `i` of chunk `c` is number `v = c × copies + i` of all chunks on
//! `n` members, counted row by row, and so lies on member `v % n` in row `v / n` (kernel documentation and md(4),
//! "RAID10"). Level 0 has one copy; level 1 has as many as members, and one chunk.
//! Level 10 far and offset are in `raid10.rs`.

use crate::raid10::Far;
use driver_core::Volume;
use format_core::{Error, Result};
use std::sync::Arc;

/// How the array's bytes lie on its members.
pub(crate) enum Layout {
    /// One member after the other; where each ends.
    Concatenated(Vec<u64>),
    /// Chunks in rows.
    Rows { chunk: u64, copies: u64 },
    /// Chunks in rows, the copies in rows of their own.
    Far(Far),
}

/// A member that takes part.
pub(crate) struct Slot {
    pub(crate) volume: Arc<dyn Volume>,
    /// First byte of the array's data on it.
    pub(crate) start: u64,
    /// Its content is complete; else it is only written.
    pub(crate) is_in_sync: bool,
    /// Asked last.
    pub(crate) is_write_mostly: bool,
}

/// A mapped array. Every place has a member in sync, and lies on its volume: assembling checked that.
pub(crate) struct Mapped {
    pub(crate) layout: Layout,
    pub(crate) slots: Vec<Option<Slot>>,
    pub(crate) size: u64,
    /// Why it must not be written.
    pub(crate) read_only: Option<String>,
}

impl Mapped {
    /// How many bytes from `offset` lie in one piece on each member that has them.
    fn run(&self, offset: u64) -> u64 {
        let end = match &self.layout {
            Layout::Rows { chunk, .. } | Layout::Far(Far { chunk, .. }) => {
                (offset / chunk).saturating_add(1).saturating_mul(*chunk)
            }
            Layout::Concatenated(ends) => ends.iter().copied().find(|&end| end > offset).unwrap_or(self.size),
        };
        end.min(self.size) - offset
    }

    /// The members that have the byte at `offset`, in the order in which the kernel prefers them, and where.
    fn copies(&self, offset: u64) -> Vec<(&Slot, u64)> {
        let count = self.slots.len() as u64;
        let slot = |(member, place): (u64, u64)| {
            let slot = self.slots.get(member as usize)?.as_ref()?;
            Some((slot, slot.start + place))
        };
        match &self.layout {
            Layout::Concatenated(ends) => {
                let index = ends.partition_point(|&end| end <= offset);
                let before = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
                slot((index as u64, offset - before)).into_iter().collect()
            }
            Layout::Rows { chunk, copies } => {
                let first = offset / chunk * copies;
                let place = |number: u64| (number % count, number / count * chunk + offset % chunk);
                (first..first + copies).map(place).filter_map(slot).collect()
            }
            Layout::Far(far) => far.places(offset, count).filter_map(slot).collect(),
        }
    }

    /// Whether every place has a member in sync. What lies where repeats after as many chunks as there are members.
    pub(crate) fn is_complete(&self) -> bool {
        let places: Vec<u64> = match &self.layout {
            Layout::Concatenated(ends) => ends.iter().filter_map(|end| end.checked_sub(1)).collect(),
            Layout::Rows { chunk, .. } | Layout::Far(Far { chunk, .. }) => {
                let starts = (0..self.slots.len() as u64).map_while(|number| number.checked_mul(*chunk));
                starts.take_while(|&start| start < self.size).collect()
            }
        };
        places.into_iter().all(|place| self.copies(place).iter().any(|(slot, _)| slot.is_in_sync))
    }

    fn check(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::usage(format!(
                "{len:#x} bytes at {offset:#x} leave the array of {:#x} bytes",
                self.size
            ))),
        }
    }
}

impl Volume for Mapped {
    fn size(&self) -> u64 {
        self.size
    }

    /// Of copies that may differ always the same one is read: the one that the kernel's resync would keep.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(offset, buf.len())?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let len = usize::try_from(self.run(at)).unwrap_or(usize::MAX).min(rest.len());
            let (piece, more) = rest.split_at_mut(len);
            let readable = self.copies(at).into_iter().filter(|(slot, _)| slot.is_in_sync);
            let (slot, place) = readable
                .min_by_key(|(slot, _)| slot.is_write_mostly)
                .ok_or_else(|| Error::contract(format!("no member holds {at:#x}")))?;
            slot.volume.read_exact_at(place, piece)?;
            at += len as u64;
            rest = more;
        }
        Ok(())
    }

    /// Members that are being rebuilt are written, too: the kernel goes on behind what is rebuilt already.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        if let Some(reason) = &self.read_only {
            return Err(Error::needs_person(reason.clone()));
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let len = usize::try_from(self.run(at)).unwrap_or(usize::MAX).min(rest.len());
            let (piece, more) = rest.split_at(len);
            for (slot, place) in self.copies(at) {
                slot.volume.write_all_at(place, piece)?;
            }
            at += len as u64;
            rest = more;
        }
        Ok(())
    }
}
