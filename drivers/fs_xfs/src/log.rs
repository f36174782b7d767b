//! Whether the log is clean: the record at its head says that the file system was unmounted.
//!
//! The log is a ring. Each of its 512-byte blocks begins with the number of the round in which it was written (the words
//! that belong there are kept in the record's header), so the head is where that number falls. As the kernel, this
//! searches the head by halving and then looks at what lies before it: up to eight buffers of 256 KiB may have been on their
//! way when the machine stopped, and came down in any order.

use crate::layout::{BBSIZE, XLOG_HEADER_MAGIC_NUM, XLOG_UNMOUNT_TRANS};
use crate::superblock::Superblock;
use crate::volume::CachedVolume;
use driver_core::block::{array as uuid, be32, byte};
use format_core::Result;

/// `XLOG_MAX_ICLOGS` buffers of `XLOG_MAX_RECORD_BSIZE` bytes, in blocks.
const WINDOW: u64 = 8 * (256 << 10) / BBSIZE;
/// `XLOG_HEADER_CYCLE_SIZE`: a header block for that many bytes.
const HEADER_CYCLE_SIZE: u32 = 32 << 10;
const BLOCK: usize = BBSIZE as usize;

/// Why the log is dirty, `None` when it is clean.
pub(crate) fn why_dirty(volume: &CachedVolume, sb: &Superblock) -> Result<Option<String>> {
    let blocks = u64::from(sb.log_blocks) * u64::from(sb.block_size) / BBSIZE;
    let log = Log { volume, start: sb.block_offset(sb.log_start), blocks };
    let (first, last) = (log.cycle(0)?, log.cycle(blocks - 1)?);
    if first == 0 {
        return Ok(None);
    }
    if last != first && last != first - 1 {
        return Ok(Some(format!("its rounds are {first:#x} at the start and {last:#x} at the end")));
    }
    let head = if last == first { blocks } else { log.find_head(first)? };
    let window = log.before(head)?;
    let wrapped = (window.len() / BLOCK).saturating_sub(head as usize);
    for (number, block) in window.chunks(BLOCK).enumerate() {
        let wanted = if number < wrapped { last } else { first };
        if cycle_of(block) != wanted {
            return Ok(Some("its last records are incomplete".into()));
        }
    }
    Ok(why_no_unmount(&window, sb))
}

/// Whether the last record in `window`, which ends at the head, is the one that unmounting writes.
fn why_no_unmount(window: &[u8], sb: &Superblock) -> Option<String> {
    let blocks: Vec<&[u8]> = window.chunks(BLOCK).collect();
    let Some(at) = blocks.iter().rposition(|block| be32(block, 0) == XLOG_HEADER_MAGIC_NUM) else {
        return Some("no record lies before its head".into());
    };
    let header = blocks.get(at).copied().unwrap_or_default();
    let header_blocks = match be32(header, 320) {
        size if sb.has_log_v2() && be32(header, 8) & 2 != 0 => {
            size.div_ceil(HEADER_CYCLE_SIZE).max(1) as usize
        }
        _ => 1,
    };
    if uuid(header, 304) != sb.uuid {
        return Some("its last record belongs to another file system".into());
    }
    let data = (be32(header, 12) as usize).div_ceil(BLOCK);
    let operation = blocks.get(at + header_blocks).copied().unwrap_or_default();
    let unmount = be32(header, 40) == 1 && byte(operation, 9) & XLOG_UNMOUNT_TRANS != 0;
    let ends_at_head = at.checked_add(header_blocks + data) == Some(blocks.len());
    (!unmount || !ends_at_head).then(|| "it does not end with the record of an unmount".into())
}

struct Log<'a> {
    volume: &'a CachedVolume,
    start: u64,
    /// Blocks of 512 bytes.
    blocks: u64,
}

impl Log<'_> {
    fn cycle(&self, block: u64) -> Result<u32> {
        Ok(cycle_of(&self.volume.read(self.start + block * BBSIZE, 8)?))
    }

    /// The first block that is not of the round `first`, which begins the log and does not end it.
    fn find_head(&self, first: u32) -> Result<u64> {
        let (mut inside, mut outside) = (0, self.blocks - 1);
        while outside - inside > 1 {
            let middle = inside + (outside - inside) / 2;
            match self.cycle(middle)? == first {
                true => inside = middle,
                false => outside = middle,
            }
        }
        Ok(outside)
    }

    /// The blocks before `head`, around the end of the ring where there are not enough.
    fn before(&self, head: u64) -> Result<Vec<u8>> {
        let wanted = WINDOW.min(self.blocks);
        let straight = wanted.min(head);
        let wrapped = wanted - straight;
        let mut window = vec![0; (wanted * BBSIZE) as usize];
        let (front, back) = window.split_at_mut((wrapped * BBSIZE) as usize);
        self.volume.read_content(self.start + (self.blocks - wrapped) * BBSIZE, front)?;
        self.volume.read_content(self.start + (head - straight) * BBSIZE, back)?;
        Ok(window)
    }
}

/// The round in which a block was written. A header has its magic there, and the round behind it.
fn cycle_of(block: &[u8]) -> u32 {
    match be32(block, 0) {
        XLOG_HEADER_MAGIC_NUM => be32(block, 4),
        cycle => cycle,
    }
}
