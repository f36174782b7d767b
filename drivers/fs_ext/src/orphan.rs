//! Inodes that the guest had deleted or cut while a program still held them open, or while it crashed.
//!
//! They hang on a list that starts at `s_last_orphan`, or stand in the blocks of the orphan file. The kernel deletes
//! them (no links left) or completes their cut (links left) at the next mount; so does this.

use crate::error::ExtError;
use crate::fs::ExtFs;
use crate::layout::{S_IFMT, S_IFREG};
use driver_core::block::le32;
use format_core::{Error, Result};
use std::collections::BTreeSet;

/// `ob_magic` at the end of each block of the orphan file.
const ORPHAN_BLOCK_MAGIC: u32 = 0x0b10_ca04;
/// Length of `struct ext4_orphan_block_tail`: the magic and a checksum.
const TAIL_LEN: usize = 8;
/// Blocks of the orphan file at most (the kernel's limit).
const MAX_FILE_BLOCKS: usize = 512;
/// Block reads at most while orphans are freed.
const MAX_READS: u64 = 1 << 20;
/// Orphans at most: far more files than one kernel holds open.
const MAX_ORPHANS: usize = 1 << 20;

impl ExtFs {
    pub(crate) fn has_orphans(&self) -> bool {
        self.sb.last_orphan() != 0 || self.sb.orphan_present()
    }

    /// Frees all orphans and brings the superblock's free counts up to date, which a journal does not keep. Or fails
    /// and leaves the volume as it is.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let orphans = self.has_orphans();
        if !orphans && self.opening.transactions == 0 {
            return Ok(());
        }
        self.io.grant(MAX_READS);
        self.io.hold();
        let settled = if orphans { self.free_all_orphans() } else { Ok(()) };
        if let Err(error) = settled.and_then(|()| self.write_counts()) {
            self.io.take_back();
            return Err(error);
        }
        self.io.commit()
    }

    fn write_counts(&mut self) -> Result<()> {
        self.fs.recount_free();
        let flushed = self.fs.flush();
        self.check(flushed)
    }

    fn free_all_orphans(&mut self) -> Result<()> {
        let loaded = self.fs.load_bitmaps();
        self.check(loaded)?;
        self.bitmaps_loaded = true;
        let mut orphans = self.listed_orphans()?;
        if self.sb.orphan_present() {
            self.take_orphan_file(&mut orphans)?;
        }
        for &ino in &orphans {
            self.free_orphan(ino)?;
        }
        self.fs.clear_orphan_list();
        if self.sb.orphan_present() {
            self.fs.clear_orphan_present();
        }
        Ok(())
    }

    /// The inodes on the list, which is linked through `i_dtime`.
    fn listed_orphans(&self) -> Result<BTreeSet<u32>> {
        let mut orphans = BTreeSet::new();
        let mut ino = self.sb.last_orphan();
        while ino != 0 {
            self.check_orphan(ino)?;
            if !orphans.insert(ino) || orphans.len() > MAX_ORPHANS {
                return Err(ExtError::Orphans(format!("it runs in a circle at inode {ino}")).into());
            }
            ino = self.stat(ino)?.dtime;
        }
        Ok(orphans)
    }

    /// Adds the inodes in the orphan file and empties it.
    fn take_orphan_file(&mut self, orphans: &mut BTreeSet<u32>) -> Result<()> {
        let ino = self.sb.orphan_file_inode();
        let generation = self.stat(ino)?.generation;
        let blocks = self.check(self.fs.blocks(ino, MAX_FILE_BLOCKS))?;
        for (_, at) in blocks {
            let size = u64::from(self.sb.block_size());
            let mut block = vec![0; self.sb.block_size() as usize];
            let offset = at.checked_mul(size).ok_or_else(|| orphan_file(at, "is outside the file system"))?;
            self.io.read(offset, &mut block)?;
            self.check_orphan_block(ino, generation, at, &mut block)?;
            let entries = block.len() - TAIL_LEN;
            let Some(numbers) = block.get_mut(..entries) else { continue };
            for number in numbers.chunks_exact(4).map(|number| le32(number, 0)).filter(|&number| number != 0)
            {
                self.check_orphan(number)?;
                orphans.insert(number);
            }
            numbers.fill(0);
            if let Some(sum) = self.fs.orphan_checksum(ino, generation, at, &mut block)
                && self.sb.has_metadata_csum()
            {
                driver_core::block::put(&mut block, entries + 4, &sum.to_le_bytes());
            }
            self.io.write(offset, &block)?;
        }
        Ok(())
    }

    fn check_orphan_block(&self, ino: u32, generation: u32, at: u64, block: &mut [u8]) -> Result<()> {
        let tail = block.len() - TAIL_LEN;
        if le32(block, tail) != ORPHAN_BLOCK_MAGIC {
            return Err(orphan_file(at, "has no magic number"));
        }
        let stored = le32(block, tail + 4);
        let computed = self.fs.orphan_checksum(ino, generation, at, block);
        if self.sb.has_metadata_csum() && computed != Some(stored) {
            return Err(orphan_file(at, "has a wrong checksum"));
        }
        Ok(())
    }

    fn check_orphan(&self, ino: u32) -> Result<()> {
        let what = if ino < self.sb.first_inode() || ino > self.sb.inodes_count() {
            "is no number of a file"
        } else if !self.fs.inode_in_use(ino) {
            "is marked free"
        } else {
            return Ok(());
        };
        Err(ExtError::Orphans(format!("inode {ino} {what}")).into())
    }

    fn free_orphan(&mut self, ino: u32) -> Result<()> {
        let inode = self.stat(ino)?;
        self.check_inodes(&[ino], "the orphan list")?;
        let done = if inode.links == 0 {
            self.opening.orphans_deleted += 1;
            self.fs.release(ino)
        } else if inode.mode & S_IFMT == S_IFREG {
            self.opening.orphans_cut += 1;
            self.fs.cut(ino)
        } else {
            return Err(ExtError::Orphans(format!("inode {ino} is linked and no file")).into());
        };
        self.check(done)
    }
}

fn orphan_file(at: u64, what: &str) -> Error {
    ExtError::Orphans(format!("block {at:#x} of the orphan file {what}")).into()
}
