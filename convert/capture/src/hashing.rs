//! Hashes of pieces of a disk, taken where the disk is, by all processors and in order.

use convert_engine::{BLOCK_SIZE, LEAF_SIZE, block_hash, leaf_hash};
use format_core::{Disk, Error, ErrorKind, ExtentKind, HashLevel, Result, UNREADABLE};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::LazyLock;

/// How many bytes are hashed between two looks at who wants the hashes.
const BATCH: u64 = 64 << 20;

static ZERO_BLOCK: LazyLock<[u8; 32]> =
    LazyLock::new(|| *block_hash(&vec![0; BLOCK_SIZE as usize]).as_bytes());

/// Size of a piece in bytes; the last of a disk may be shorter.
pub(crate) fn piece_size(level: HashLevel) -> u64 {
    match level {
        HashLevel::Block => BLOCK_SIZE,
        HashLevel::Leaf => LEAF_SIZE,
    }
}

/// Calls `each` with the numbers and hashes of these pieces, in this order. Memory is 4 MiB for each processor.
///
/// # Errors
/// `Usage` for pieces beyond the disk; what reading the disk reports, but for places that cannot be read; what `each` returns.
pub fn hash_pieces(
    disk: &Disk,
    level: HashLevel,
    pieces: &[Range<u64>],
    mut each: impl FnMut(u64, [u8; 32]) -> Result<()>,
) -> Result<()> {
    let count = disk.virtual_size().div_ceil(piece_size(level));
    let batch = BATCH / piece_size(level);
    for piece in pieces {
        if piece.start > piece.end || piece.end > count {
            let Range { start, end } = piece;
            return Err(Error::usage(format!("pieces {start} to {end} of a disk of {count}")));
        }
        let mut next = piece.start;
        while next < piece.end {
            let end = piece.end.min(next + batch);
            let hashes: Vec<[u8; 32]> = (next..end)
                .into_par_iter()
                .map_init(Vec::new, |buffer, number| hash_of(disk, level, number, buffer))
                .collect::<Result<_>>()?;
            for (number, hash) in (next..end).zip(hashes) {
                each(number, hash)?;
            }
            next = end;
        }
    }
    Ok(())
}

fn hash_of(disk: &Disk, level: HashLevel, number: u64, buffer: &mut Vec<u8>) -> Result<[u8; 32]> {
    let start = number * piece_size(level);
    let len = (disk.virtual_size() - start).min(piece_size(level));
    if len == BLOCK_SIZE && !has_data(disk, start, len)? {
        return Ok(*ZERO_BLOCK);
    }
    buffer.resize(len as usize, 0);
    match disk.read_exact_at(start, buffer) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Io => return Ok(UNREADABLE),
        Err(error) => return Err(error),
    }
    Ok(match level {
        HashLevel::Block => *block_hash(buffer).as_bytes(),
        HashLevel::Leaf => *leaf_hash(buffer).as_bytes(),
    })
}

fn has_data(disk: &Disk, start: u64, len: u64) -> Result<bool> {
    let first = disk.extents(start, start + len).next().transpose()?;
    Ok(first.is_some_and(|run| run.kind == ExtentKind::Data || run.end() < start + len))
}
