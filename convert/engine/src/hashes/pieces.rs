//! Long runs of zeros in pieces: where they have to be hashed, no worker is to be alone with a terabyte.

use crate::digest::BLOCK_SIZE;
use crate::planner::{Work, WorkKind, WorkSource};
use format_core::Result;

/// Zeros that are handed out at once.
const PIECE: u64 = 16 * BLOCK_SIZE;

/// Hands out the work of another source with its runs of zeros cut, numbered anew.
pub(crate) struct ShortRuns<'a> {
    inner: Box<dyn WorkSource + 'a>,
    /// What is left of a run: offset and length.
    rest: Option<(u64, u64)>,
    turn: u64,
}

impl<'a> ShortRuns<'a> {
    pub(crate) fn new(inner: Box<dyn WorkSource + 'a>) -> Self {
        Self { inner, rest: None, turn: 0 }
    }
}

impl WorkSource for ShortRuns<'_> {
    fn next(&mut self, block: &mut [u8]) -> Result<Option<Work>> {
        let kind = match self.rest.take() {
            Some((offset, len)) => WorkKind::Zeros { offset, len },
            None => match self.inner.next(block)? {
                Some(work) => work.kind,
                None => return Ok(None),
            },
        };
        let kind = match kind {
            WorkKind::Zeros { offset, len } if len > PIECE => {
                self.rest = Some((offset + PIECE, len - PIECE));
                WorkKind::Zeros { offset, len: PIECE }
            }
            kind => kind,
        };
        let turn = self.turn;
        self.turn += 1;
        Ok(Some(Work { turn, kind }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Piece, disk_of};
    use crate::planner::Planner;

    #[test]
    fn runs_are_cut_and_turns_have_no_gaps() {
        let size = 3 * PIECE + 5 * BLOCK_SIZE + 7;
        let disk = disk_of(size, vec![Piece(2 * PIECE, 1)]);
        let mut source = ShortRuns::new(Box::new(Planner::new(&disk)));
        let mut lens = Vec::new();
        while let Some(Work { turn, kind }) = source.next(&mut []).unwrap() {
            assert_eq!(turn, lens.len() as u64);
            lens.push(match kind {
                WorkKind::Zeros { len, .. } => len,
                WorkKind::Block { .. } => BLOCK_SIZE,
            });
        }
        assert_eq!(lens, [PIECE, PIECE, BLOCK_SIZE, PIECE, 4 * BLOCK_SIZE + 7]);
    }
}
