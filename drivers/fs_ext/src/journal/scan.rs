//! The first two passes: where does the log end, what was revoked, and which blocks are to be written.

use super::layout::{
    FEATURE_INCOMPAT_ASYNC_COMMIT, JBD2_COMMIT_BLOCK, JBD2_DESCRIPTOR_BLOCK, JBD2_REVOKE_BLOCK,
};
use super::parse::{Header, JournalSuperblock, Tag, commit_time, crc32_be};
use super::replay::LogReader;
use crate::error::JournalError;
use format_core::Result;
use std::collections::HashMap;

/// Revoked blocks at most: far more than a log of a gigabyte frees in practice.
const MAX_REVOKES: usize = 4 << 20;

/// One block that a committed transaction wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) tag: Tag,
    pub(crate) sequence: u32,
    /// Where its content is in the journal.
    pub(crate) at: u32,
}

/// What the log holds.
#[derive(Default)]
pub(crate) struct Log {
    /// In the order of the log.
    pub(crate) writes: Vec<Write>,
    /// The last transaction that revoked each block.
    pub(crate) revoked: HashMap<u64, u32>,
    /// The first sequence that is not in the log.
    pub(crate) next_sequence: u32,
    pub(crate) transactions: u32,
}

impl Log {
    /// Whether a later (or the same) transaction says that this write must not be replayed.
    pub(crate) fn is_revoked(&self, write: &Write) -> bool {
        self.revoked.get(&write.tag.block).is_some_and(|&by| is_at_least(by, write.sequence))
    }
}

/// Sequences wrap around.
fn is_at_least(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() >= 0
}

/// A transaction that is not committed yet.
struct Open {
    writes: Vec<Write>,
    revokes: Vec<u64>,
    /// v1 checksum so far.
    sum: u32,
    /// A descriptor or revoke block had a wrong checksum.
    suspicious: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { writes: Vec::new(), revokes: Vec::new(), sum: !0, suspicious: false }
    }
}

/// A walk along the log, which visits each of its blocks at most once.
struct Walk<'a> {
    sb: &'a JournalSuperblock,
    at: u32,
    left: u32,
}

impl Walk<'_> {
    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let here = self.at;
        self.at = if here + 1 >= self.sb.last { self.sb.first } else { here + 1 };
        Some(here)
    }
}

/// What a commit block decides.
enum Verdict {
    Committed,
    /// Left over from an earlier life of the log: the log ends before it.
    Stale,
}

/// Reads the log from its start to its end.
pub(crate) fn scan(reader: &LogReader<'_>, sb: &JournalSuperblock) -> Result<Log> {
    let mut log = Log { next_sequence: sb.sequence, ..Log::default() };
    if sb.start == 0 {
        return Ok(log);
    }
    let mut walk = Walk { sb, at: sb.start, left: sb.last - sb.first };
    let mut open = Open::default();
    let mut last_commit = 0;
    while let Some(at) = walk.next() {
        let block = reader.read(at)?;
        let sequence = log.next_sequence;
        let kind = match Header::parse(&block) {
            Some(header) if header.sequence == sequence => header.block_type,
            _ => break,
        };
        match kind {
            JBD2_DESCRIPTOR_BLOCK => {
                open.suspicious |= !sb.tail_is_right(&block);
                if !take_descriptor(reader, sb, &block, sequence, &mut walk, &mut open)? {
                    break;
                }
            }
            JBD2_REVOKE_BLOCK => {
                open.suspicious |= !sb.tail_is_right(&block);
                take_revokes(sb, &block, sequence, log.revoked.len(), &mut open)?;
            }
            JBD2_COMMIT_BLOCK => {
                let time = commit_time(&block);
                if let Verdict::Stale = judge_commit(sb, &block, sequence, &open, time < last_commit)? {
                    break;
                }
                last_commit = time;
                commit(&mut log, std::mem::take(&mut open))?;
            }
            _ => break,
        }
    }
    Ok(log)
}

/// `false` when the log ends inside the transaction.
fn take_descriptor(
    reader: &LogReader<'_>,
    sb: &JournalSuperblock,
    block: &[u8],
    sequence: u32,
    walk: &mut Walk<'_>,
    open: &mut Open,
) -> Result<bool> {
    if sb.has_csum_v1() {
        open.sum = crc32_be(open.sum, block);
    }
    for tag in sb.tags(block) {
        let Some(at) = walk.next() else { return Ok(false) };
        if sb.has_csum_v1() {
            open.sum = crc32_be(open.sum, &reader.read(at)?);
        }
        open.writes.push(Write { tag, sequence, at });
    }
    Ok(true)
}

fn take_revokes(
    sb: &JournalSuperblock,
    block: &[u8],
    sequence: u32,
    known: usize,
    open: &mut Open,
) -> Result<(), JournalError> {
    let Some(revoked) = sb.revoked(block) else {
        // A wrong checksum is judged with the commit block; a count that cannot be is an error by itself.
        if open.suspicious {
            return Ok(());
        }
        let what = "its revoke block counts more bytes than it has".into();
        return Err(JournalError::Transaction { sequence, what });
    };
    open.revokes.extend(revoked);
    if known + open.revokes.len() > MAX_REVOKES {
        return Err(JournalError::TooManyRevokes(MAX_REVOKES));
    }
    Ok(())
}

fn judge_commit(
    sb: &JournalSuperblock,
    block: &[u8],
    sequence: u32,
    open: &Open,
    older: bool,
) -> Result<Verdict, JournalError> {
    let commit_right = if sb.has_csum_v1() {
        JournalSuperblock::transaction_is_right(block, open.sum)
    } else {
        !sb.has_csum_v2_or_v3() || sb.commit_is_right(block)
    };
    if commit_right && !open.suspicious {
        return Ok(Verdict::Committed);
    }
    if older {
        return Ok(Verdict::Stale);
    }
    if open.suspicious {
        let what = "the checksum of a descriptor or revoke block is wrong".into();
        return Err(JournalError::Transaction { sequence, what });
    }
    // With asynchronous commits the commit block may reach the disk before the rest: the crash came in between.
    if sb.has_incompat(FEATURE_INCOMPAT_ASYNC_COMMIT) {
        return Ok(Verdict::Stale);
    }
    let what = "the checksum of its commit block is wrong".into();
    Err(JournalError::Transaction { sequence, what })
}

fn commit(log: &mut Log, open: Open) -> Result<(), JournalError> {
    let sequence = log.next_sequence;
    log.writes.extend(open.writes);
    for block in open.revokes {
        log.revoked.insert(block, sequence);
    }
    log.transactions += 1;
    log.next_sequence = sequence.wrapping_add(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn sequences_wrap_around() {
        assert!(is_at_least(5, 5) && is_at_least(6, 5) && !is_at_least(4, 5));
        assert!(is_at_least(2, u32::MAX - 2) && !is_at_least(u32::MAX - 2, 2));
    }
}
