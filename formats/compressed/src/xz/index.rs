//! The index of a stream: how long each of its blocks is, and how much it holds.
//!
//! ```text
//!  stream:  header 12 · block … · index · footer 12    (then zeros, four at a time, and the next stream)
//!  index:   0 · number of records · (unpadded size · unpacked size)… · zeros up to 4 · CRC32
//! ```

use super::MAGIC;
use crate::error::{PackedError, Result};
use format_core::Storage;

pub(crate) const HEADER_LEN: u64 = 12;
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// An index of more bytes is not read: 4 Mi blocks have less.
const MAX_INDEX: u64 = 64 << 20;
/// More streams are not followed; each costs a few reads.
const MAX_STREAMS: usize = 1 << 16;

/// A block, without where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its length in the file, without what fills it up to a multiple of 4.
    pub(crate) unpadded: u64,
    pub(crate) unpacked: u64,
}

impl Record {
    /// Its length in the file.
    pub(crate) fn padded(self) -> u64 {
        self.unpadded.saturating_add(3) & !3
    }
}

/// A stream of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct XzStream {
    /// Where its header lies.
    pub(crate) start: u64,
    /// The kind of check, as header and footer have it.
    pub(crate) flags: [u8; 2],
    pub(crate) records: Vec<Record>,
}

/// All streams of a file in their order; none when the file is not one of streams alone, or has too many.
pub(crate) fn streams(storage: &dyn Storage) -> Result<Option<Vec<XzStream>>> {
    let (mut end, mut streams, mut left) = (storage.size(), Vec::new(), MAX_INDEX);
    while end > 0 {
        end = without_padding(storage, end)?;
        if streams.len() == MAX_STREAMS {
            return Ok(None);
        }
        let Some(stream) = last_stream(storage, end, &mut left)? else { return Ok(None) };
        end = stream.start;
        streams.push(stream);
    }
    streams.reverse();
    Ok((!streams.is_empty()).then_some(streams))
}

fn without_padding(storage: &dyn Storage, mut end: u64) -> Result<u64> {
    let mut part = [0; 4096];
    while end > 0 {
        let len = end.min(part.len() as u64);
        let bytes = part.get_mut(..len as usize).unwrap_or_default();
        storage.read_exact_at(end - len, bytes)?;
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count() as u64;
        if zeros < len {
            // A footer never ends in a zero.
            return Ok(end - zeros / 4 * 4);
        }
        end -= len;
    }
    Ok(end)
}

/// The stream that ends at `end`; `left` is how many bytes of indexes may still be read.
fn last_stream(storage: &dyn Storage, end: u64, left: &mut u64) -> Result<Option<XzStream>> {
    let Some(footer_at) = end.checked_sub(HEADER_LEN) else { return Ok(None) };
    let mut footer = [0; HEADER_LEN as usize];
    storage.read_exact_at(footer_at, &mut footer)?;
    let [c0, c1, c2, c3, b0, b1, b2, b3, f0, f1, magic @ ..] = footer;
    let checked = [b0, b1, b2, b3, f0, f1];
    if magic != FOOTER_MAGIC || u32::from_le_bytes([c0, c1, c2, c3]) != crc32fast::hash(&checked) {
        return Ok(None);
    }
    let index_len = (u64::from(u32::from_le_bytes([b0, b1, b2, b3])) + 1) * 4;
    let Some(index_at) = footer_at.checked_sub(index_len).filter(|_| index_len <= *left) else {
        return Ok(None);
    };
    *left -= index_len;
    let mut index = vec![0; index_len as usize];
    storage.read_exact_at(index_at, &mut index)?;
    let records = parse_index(&index, index_at)?;
    let blocks = records.iter().try_fold(0u64, |sum, record| sum.checked_add(record.padded()));
    let start = blocks.and_then(|blocks| index_at.checked_sub(blocks)?.checked_sub(HEADER_LEN));
    let Some(start) = start else {
        let found = records.len() as u64;
        let possible = "its blocks do not fit into the file before it";
        return Err(PackedError::Field {
            what: "the number of records of an index",
            at: index_at,
            found,
            possible,
        });
    };
    let mut header = [0; HEADER_LEN as usize];
    storage.read_exact_at(start, &mut header)?;
    let fits = header == self::header([f0, f1]);
    Ok(fits.then_some(XzStream { start, flags: [f0, f1], records }))
}

/// The header of a stream with these flags.
pub(crate) fn header(flags: [u8; 2]) -> [u8; HEADER_LEN as usize] {
    let mut header = [0; HEADER_LEN as usize];
    let bytes = MAGIC.into_iter().chain(flags).chain(crc32fast::hash(&flags).to_le_bytes());
    header.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    header
}

fn parse_index(bytes: &[u8], at: u64) -> Result<Vec<Record>> {
    let wrong = |what, found, possible| PackedError::Field { what, at, found, possible };
    let (body, sum) = bytes.split_last_chunk::<4>().unwrap_or((&[], &[0; 4]));
    let (found, computed) = (u32::from_le_bytes(*sum), crc32fast::hash(body));
    if found != computed {
        return Err(PackedError::Checksum { what: "the CRC32 of an index", at, found, computed });
    }
    let Some((0, mut rest)) = body.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err(wrong("the mark of an index", body.first().copied().unwrap_or(0xff).into(), "it is 0"));
    };
    let cut = || wrong("the length of an index", bytes.len() as u64, "its records need more");
    let count = number(&mut rest).ok_or_else(cut)?;
    // Each record has two bytes at least.
    if count > rest.len() as u64 / 2 {
        return Err(cut());
    }
    let mut records = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let record = number(&mut rest).zip(number(&mut rest)).ok_or_else(cut)?;
        records.push(Record { unpadded: record.0, unpacked: record.1 });
    }
    if rest.len() > 3 || rest.iter().any(|&byte| byte != 0) {
        return Err(wrong("the rest of an index", rest.len() as u64, "only zeros up to a multiple of 4"));
    }
    Ok(records)
}

/// A number of up to 63 bits, seven to a byte.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            // The last byte of a longer number is never zero.
            return (*byte != 0 || place == 0).then_some(number);
        }
    }
    None
}
