//! Cuts a disk into the work of the copy: blocks that hold data, and runs of zeros between them.

use crate::blocks::BlockSet;
use crate::digest::BLOCK_SIZE;
use format_core::{Disk, Extent, ExtentKind, Extents, Result};

/// One piece of work, numbered in ascending order of offsets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Counted from 0 without gaps: the turn in which an ordered sink gets it.
    pub(crate) turn: u64,
    pub(crate) kind: WorkKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// Whole blocks (but for the disk's end) that read as zeros.
    Zeros { offset: u64, len: u64 },
    /// One block that holds data.
    Block { index: u64, data: Vec<(u64, u64)> },
}

/// Hands out the work of a copy in order.
pub(crate) trait WorkSource: Send {
    /// The next piece of work, `None` at the end of the disk. A source that brings the bytes itself puts those of a
    /// block into `block`, which is a whole block long, zeros included; any other leaves it alone.
    fn next(&mut self, block: &mut [u8]) -> Result<Option<Work>>;
}

/// Hands out the work in order; many workers share one behind a mutex.
pub(crate) struct Planner<'a> {
    extents: Extents<'a>,
    size: u64,
    /// The extent that was begun, what is left of it.
    current: Option<Extent>,
    at: u64,
    turn: u64,
    /// Blocks that are left out.
    done: BlockSet,
}

impl WorkSource for Planner<'_> {
    fn next(&mut self, _block: &mut [u8]) -> Result<Option<Work>> {
        self.next_work()
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(disk: &'a Disk) -> Self {
        let size = disk.virtual_size();
        Self {
            extents: disk.extents(0, size),
            size,
            current: None,
            at: 0,
            turn: 0,
            done: BlockSet::default(),
        }
    }

    /// The same without these blocks.
    pub(crate) fn without(self, done: BlockSet) -> Self {
        Self { done, ..self }
    }

    fn next_work(&mut self) -> Result<Option<Work>> {
        while self.at < self.size {
            let kind = self.next_kind()?;
            if matches!(&kind, WorkKind::Block { index, .. } if self.done.contains(*index)) {
                continue;
            }
            let turn = self.turn;
            self.turn += 1;
            return Ok(Some(Work { turn, kind }));
        }
        Ok(None)
    }

    fn next_kind(&mut self) -> Result<WorkKind> {
        match self.peek()? {
            Some(Extent { kind: ExtentKind::Data, .. }) => self.block(),
            Some(zeros) => match self.whole_zero_blocks(zeros.end()) {
                0 => self.block(),
                len => {
                    let offset = self.at;
                    self.skip_to(offset + len);
                    Ok(WorkKind::Zeros { offset, len })
                }
            },
            None => Err(format_core::Error::contract("the extents end before the disk")),
        }
    }

    /// Bytes of zeros from here that fill whole blocks, when zeros run until `end`.
    fn whole_zero_blocks(&self, end: u64) -> u64 {
        let end = if end >= self.size { self.size } else { end - end % BLOCK_SIZE };
        end.saturating_sub(self.at)
    }

    fn peek(&mut self) -> Result<Option<Extent>> {
        if self.current.is_none() {
            self.current = self.extents.next().transpose()?;
        }
        Ok(self.current)
    }

    fn skip_to(&mut self, at: u64) {
        self.at = at;
        if self.current.is_some_and(|extent| extent.end() <= at) {
            self.current = None;
        } else if let Some(extent) = &mut self.current {
            extent.len = extent.end() - at;
            extent.offset = at;
        }
    }

    /// The block at `self.at` with its data ranges.
    fn block(&mut self) -> Result<WorkKind> {
        let index = self.at / BLOCK_SIZE;
        let end = self.size.min((index + 1) * BLOCK_SIZE);
        let mut data = Vec::new();
        while self.at < end {
            let Some(extent) = self.peek()? else { break };
            let stop = extent.end().min(end);
            if extent.kind == ExtentKind::Data {
                data.push((extent.offset, stop - extent.offset));
            }
            self.skip_to(stop);
        }
        Ok(WorkKind::Block { index, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Piece, disk_of};

    #[test]
    fn every_byte_is_handed_out_once_and_zeros_come_in_long_runs() {
        const B: u64 = BLOCK_SIZE;
        let disk = disk_of(10 * B + 100, vec![Piece(5, 10), Piece(B - 1, 2), Piece(7 * B + 3, B)]);
        let mut planner = Planner::new(&disk);
        let mut work = Vec::new();
        while let Some(next) = planner.next_work().unwrap() {
            work.push(next.kind);
        }
        let block = |index, data: &[(u64, u64)]| WorkKind::Block { index, data: data.to_vec() };
        let expected = [
            block(0, &[(5, 10), (B - 1, 1)]),
            block(1, &[(B, 1)]),
            WorkKind::Zeros { offset: 2 * B, len: 5 * B },
            block(7, &[(7 * B + 3, B - 3)]),
            block(8, &[(8 * B, 3)]),
            WorkKind::Zeros { offset: 9 * B, len: B + 100 },
        ];
        assert_eq!(work, expected);

        let mut done = BlockSet::new(disk.virtual_size());
        [0, 7].into_iter().for_each(|index| done.insert(index));
        let mut planner = Planner::new(&disk).without(done);
        let left: Vec<_> = std::iter::from_fn(|| planner.next_work().unwrap()).collect();
        let turns: Vec<_> = left.iter().map(|work| work.turn).collect();
        assert_eq!(turns, [0, 1, 2, 3], "an ordered sink waits for every turn");
        let kinds: Vec<_> = left.into_iter().map(|work| work.kind).collect();
        let [_, second, zeros, _, fifth, rest] = expected;
        assert_eq!(kinds, [second, zeros, fifth, rest]);
    }
}
