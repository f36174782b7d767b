//! One block of 512 bytes as a header.

use crate::error::TarError;
use crate::write::{SPARSE_IN_BLOCK, SPARSE_IN_HEADER};
use std::ops::Range;

const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
pub(crate) const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const PREFIX: Range<usize> = 345..500;
/// Where GNU tar keeps the first runs of a sparse member, and whether more follow.
const GNU_MAP: usize = 386;
const GNU_MORE: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;
/// The same in a block that follows.
const BLOCK_MORE: usize = 504;
/// Two numbers of 12 bytes each.
const RUN_LEN: usize = 24;

/// What a header says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) size: u64,
}

/// Whether the magic of POSIX or of GNU tar is there.
pub(crate) fn has_magic(block: &[u8; 512]) -> bool {
    &block[MAGIC.start..MAGIC.end - 1] == b"ustar"
}

impl Header {
    /// The header in `block`, which is at `at`; `None` for a block of zeros, which ends an archive.
    pub(crate) fn parse(block: &[u8; 512], at: u64) -> Result<Option<Self>, format_core::Error> {
        if format_core::is_zero(block) {
            return Ok(None);
        }
        check_sum(block).map_err(|e| e.at(at))?;
        let mut name = text(&block[NAME]).to_vec();
        if &block[MAGIC] == b"ustar\0" {
            let prefix = text(&block[PREFIX]);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
        }
        let size = number(&block[SIZE], "size").map_err(|e| e.at(at))?;
        Ok(Some(Self { name, link: text(&block[LINK]).to_vec(), kind: block[TYPE], size }))
    }
}

/// The runs in an old GNU header and whether a block with more follows.
pub(crate) fn gnu_runs(block: &[u8; 512]) -> Result<(Vec<(u64, u64)>, bool), TarError> {
    let (runs, ended) = runs(&block[GNU_MAP..GNU_MORE], SPARSE_IN_HEADER)?;
    Ok((runs, block[GNU_MORE] != 0 && !ended))
}

/// The same of a block that follows it.
pub(crate) fn gnu_more_runs(block: &[u8; 512]) -> Result<(Vec<(u64, u64)>, bool), TarError> {
    let (runs, ended) = runs(&block[..BLOCK_MORE], SPARSE_IN_BLOCK)?;
    Ok((runs, block[BLOCK_MORE] != 0 && !ended))
}

/// The size of the sparse member of an old GNU header with its holes.
pub(crate) fn gnu_real_size(block: &[u8; 512]) -> Result<u64, TarError> {
    number(&block[GNU_REAL_SIZE], "realsize")
}

fn runs(bytes: &[u8], most: usize) -> Result<(Vec<(u64, u64)>, bool), TarError> {
    let mut runs = Vec::with_capacity(most);
    for run in bytes.chunks_exact(RUN_LEN).take(most) {
        let (offset, len) = run.split_at(RUN_LEN / 2);
        // An empty length ends the map, one of zero does not.
        if len.first() == Some(&0) {
            return Ok((runs, true));
        }
        runs.push((number(offset, "offset")?, number(len, "numbytes")?));
    }
    Ok((runs, false))
}

fn check_sum(block: &[u8; 512]) -> Result<(), TarError> {
    let said = number(&block[CHECKSUM], "chksum")?;
    let sum = sum_of(block);
    // Some old programs summed up signed bytes.
    let others = block.iter().enumerate().filter(|(at, _)| !CHECKSUM.contains(at));
    let high = others.filter(|(_, byte)| **byte >= 0x80).count() as u64;
    if said == sum || sum.checked_sub(high * 0x100) == Some(said) {
        return Ok(());
    }
    Err(TarError::Checksum { said, sum })
}

/// The sum of a header's bytes, where its own place counts as spaces.
pub(crate) fn sum_of(block: &[u8; 512]) -> u64 {
    let byte = |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { 0x20 } else { u64::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}

/// What stands before the first zero byte.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in base 256 where the first bit is set.
fn number(field: &[u8], name: &'static str) -> Result<u64, TarError> {
    let bad = || TarError::Number { field: name };
    if let Some((&first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        if first & 0x40 != 0 {
            return Err(TarError::Negative { field: name });
        }
        return rest.iter().try_fold(u64::from(first & 0x3f), |value, byte| {
            Ok(value.checked_mul(0x100).ok_or_else(bad)? | u64::from(*byte))
        });
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Err(bad());
    }
    digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => Ok(value.checked_mul(8).ok_or_else(bad)? | u64::from(byte - b'0')),
        _ => Err(bad()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_bases() {
        assert_eq!(number(b"00000001750\0", "x"), Ok(0o1750));
        assert_eq!(number(b"   644 \0", "x"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0", "x"), Ok(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1], "x"), Ok(0x2_0000_0001));
        assert_eq!(number(&[0xff; 12], "x"), Err(TarError::Negative { field: "x" }));
        assert_eq!(number(&[0xbf; 12], "x"), Err(TarError::Number { field: "x" }));
        assert_eq!(number(b"8", "x"), Err(TarError::Number { field: "x" }));
        assert_eq!(number(b"7 7", "x"), Err(TarError::Number { field: "x" }));
    }
}
