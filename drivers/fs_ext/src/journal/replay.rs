//! The third pass: writing the blocks to their places.

use super::layout::{FEATURE_INCOMPAT_FAST_COMMIT, FLAG_ESCAPE, JBD2_MAGIC_NUMBER};
use super::parse::{JournalSuperblock, fast_commit_transaction};
use super::scan::{Log, Write, scan};
use crate::error::JournalError;
use crate::fs::{convert, open_library};
use crate::layout::SUPERBLOCK_OFFSET;
use crate::superblock::Superblock;
use driver_core::CachedVolume;
use driver_core::block::put;
use format_core::Result;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Blocks of a journal at most (4 GiB of 4 KiB blocks; mke2fs makes at most 1 GiB).
const MAX_BLOCKS: usize = 1 << 20;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) transactions: u32,
    pub(crate) blocks: u64,
}

/// The journal inside a file system.
pub(crate) struct Journal {
    io: Arc<CachedVolume>,
    /// Blocks of the file system, by blocks of the journal.
    map: Vec<u64>,
    block_size: u32,
    sb: JournalSuperblock,
}

/// Reads blocks of the journal.
pub(crate) struct LogReader<'a> {
    io: &'a CachedVolume,
    map: &'a [u64],
    block_size: u32,
}

impl LogReader<'_> {
    pub(crate) fn read(&self, at: u32) -> Result<Vec<u8>> {
        let place = self.map.get(at as usize).ok_or(JournalError::Unmapped(at.into()))?;
        let mut block = vec![0; self.block_size as usize];
        self.io.read(place * u64::from(self.block_size), &mut block)?;
        Ok(block)
    }
}

impl Journal {
    /// Finds the journal and checks its superblock. Nothing is written.
    pub(crate) fn open(io: &Arc<CachedVolume>, sb: &Superblock) -> Result<Self> {
        if sb.journal_inode() == 0 {
            return Err(JournalError::NoInode.into());
        }
        let fs = open_library(io, false)?;
        let listed = fs.blocks(sb.journal_inode(), MAX_BLOCKS).map_err(|error| convert(io, error))?;
        let map = checked_map(&listed, sb.blocks_count())?;
        let block_size = sb.block_size();
        let first = LogReader { io, map: &map, block_size }.read(0)?;
        let sb = JournalSuperblock::parse(&first, block_size, map.len() as u64)?;
        Ok(Self { io: Arc::clone(io), map, block_size, sb })
    }

    /// Whether the log says that there is something to replay.
    pub(crate) fn has_data(&self) -> bool {
        self.sb.start != 0
    }

    /// Replays the log, empties it and clears `needs_recovery`. Writes nothing unless all of the log is right.
    pub(crate) fn replay(&self, fs: &Superblock) -> Result<Replayed> {
        let log = scan(&self.reader(), &self.sb)?;
        self.check_fast_commits(&log)?;
        let last = self.last_writes(&log, fs.blocks_count())?;
        for (block, write) in &last {
            let mut content = self.reader().read(write.at)?;
            if write.tag.flags & FLAG_ESCAPE != 0 {
                put(&mut content, 0, &JBD2_MAGIC_NUMBER.to_be_bytes());
            }
            self.io.write(block * u64::from(self.block_size), &content)?;
        }
        self.finish(log.next_sequence)?;
        Ok(Replayed { transactions: log.transactions, blocks: last.len() as u64 })
    }

    fn reader(&self) -> LogReader<'_> {
        LogReader { io: &self.io, map: &self.map, block_size: self.block_size }
    }

    /// The last write of each block that counts, after checking all of them.
    fn last_writes<'a>(&self, log: &'a Log, blocks: u64) -> Result<BTreeMap<u64, &'a Write>> {
        let mut last = BTreeMap::new();
        for write in log.writes.iter().filter(|write| !log.is_revoked(write)) {
            let (block, sequence) = (write.tag.block, write.sequence);
            if block >= blocks {
                return Err(JournalError::BlockOutside { sequence, block, blocks }.into());
            }
            let content = self.reader().read(write.at)?;
            if !self.sb.block_is_right(write.tag.checksum, sequence, &content) {
                let what = format!("the checksum of block {block:#x} in it is wrong");
                return Err(JournalError::Transaction { sequence, what }.into());
            }
            last.insert(block, write);
        }
        Ok(last)
    }

    /// Fast commits that belong to the transaction after the last one would have to be replayed too.
    fn check_fast_commits(&self, log: &Log) -> Result<()> {
        if !self.has_data() || !self.sb.has_incompat(FEATURE_INCOMPAT_FAST_COMMIT) {
            return Ok(());
        }
        // The kernel starts one block behind the log; the block in between stays unused.
        for at in [self.sb.last, self.sb.last.saturating_add(1)] {
            let block = self.reader().read(at)?;
            if fast_commit_transaction(&block) == Some(log.next_sequence) {
                return Err(JournalError::FastCommit(log.next_sequence).into());
            }
        }
        Ok(())
    }

    /// Leaves out one sequence, as the kernel does, so that nothing of the old log can be taken for new.
    fn finish(&self, next_sequence: u32) -> Result<()> {
        let place = self.map.first().ok_or(JournalError::Unmapped(0))?;
        let emptied = self.sb.emptied(next_sequence.wrapping_add(1));
        self.io.write(place * u64::from(self.block_size), &emptied)?;
        // The log may have held a newer superblock.
        let fs = Superblock::load(&self.io)?;
        self.io.write(SUPERBLOCK_OFFSET, &fs.without_recovery())
    }
}

/// The journal's map: every block mapped, inside the file system, and only once.
fn checked_map(listed: &[(u64, u64)], blocks: u64) -> Result<Vec<u64>, JournalError> {
    for (expected, &(logical, physical)) in (0..).zip(listed) {
        if logical != expected {
            return Err(JournalError::Unmapped(expected));
        }
        if physical == 0 || physical >= blocks {
            return Err(JournalError::BadMap(physical));
        }
    }
    let map: Vec<u64> = listed.iter().map(|&(_, physical)| physical).collect();
    let mut sorted = map.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(JournalError::BadMap(pair.first().copied().unwrap_or_default())),
        None => Ok(map),
    }
}
