//! The header of an lzop file: numbers are big-endian.

use crate::error::{PackedError, Result};
use crate::input::Input;

pub(crate) const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n'];

pub(crate) const ADLER32_D: u32 = 0x1;
pub(crate) const ADLER32_C: u32 = 0x2;
pub(crate) const CRC32_D: u32 = 0x100;
pub(crate) const CRC32_C: u32 = 0x200;
const EXTRA_FIELD: u32 = 0x40;
const MULTIPART: u32 = 0x400;
const FILTER: u32 = 0x800;
const HEADER_CRC32: u32 = 0x1000;

/// From this version on there are the version that is needed, a level, and the upper half of the time.
const LONG_SINCE: u16 = 0x0940;
/// What the last lzop writes is readable since this version.
const KNOWN_VERSION: u16 = 0x1040;
/// LZO1X-1, LZO1X-1(15), LZO1X-999: one decoder for all.
const METHODS: std::ops::RangeInclusive<u8> = 1..=3;

const WHAT: &str = "the header of an lzop file";

/// Takes the header, behind its magic bytes, and returns the flags.
pub(crate) fn take(input: &mut Input) -> Result<u32> {
    let at = input.position();
    // Without the name and what follows it: 25 bytes, and 4 more with a filter.
    let head = input.peek(64)?.to_vec();
    let mut bytes = Header { head: &head, at: 0 };
    let cut = || PackedError::Truncated { at: at + head.len() as u64, what: WHAT };
    let unknown = |what, at, found: u32| PackedError::Unknown { what, at, found: found.into() };
    let version = bytes.number(2).ok_or_else(cut)? as u16;
    let _library = bytes.number(2).ok_or_else(cut)?;
    let is_long = version >= LONG_SINCE;
    if version < 0x0900 {
        return Err(unknown("the version", at, version.into()));
    }
    if is_long {
        let needed = bytes.number(2).ok_or_else(cut)?;
        if needed > KNOWN_VERSION.into() {
            return Err(unknown("the version that is needed", at + 4, needed));
        }
    }
    let method = bytes.number(1).ok_or_else(cut)?;
    if u8::try_from(method).map_or(true, |method| !METHODS.contains(&method)) {
        return Err(unknown("the method", at + bytes.at as u64 - 1, method));
    }
    if is_long {
        bytes.number(1).ok_or_else(cut)?;
    }
    let flags_at = at + bytes.at as u64;
    let flags = bytes.number(4).ok_or_else(cut)?;
    if flags & (FILTER | MULTIPART) != 0 {
        return Err(unknown("a flag (a filter, or one part of several)", flags_at, flags));
    }
    // Mode and time.
    bytes.number(4).ok_or_else(cut)?;
    bytes.number(4).ok_or_else(cut)?;
    if is_long {
        bytes.number(4).ok_or_else(cut)?;
    }
    let name_len = bytes.number(1).ok_or_else(cut)?;
    let len = bytes.at + name_len as usize;
    check(input, len, flags)?;
    if flags & EXTRA_FIELD != 0 {
        let len = input.exactly(4, WHAT)?.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        // Long ones are unknown; memory grows with what is there.
        check(input, len as usize + 4, flags)?;
    }
    Ok(flags)
}

/// Passes `len` bytes and the checksum of them.
fn check(input: &mut Input, len: usize, flags: u32) -> Result<()> {
    let at = input.position();
    let bytes = input.exactly(len + 4, WHAT)?;
    let (checked, sum) = bytes.split_at(len);
    let found = sum.first_chunk().map_or(0, |sum| u32::from_be_bytes(*sum));
    let computed =
        if flags & HEADER_CRC32 != 0 { crc32fast::hash(checked) } else { simd_adler32::adler32(&checked) };
    if found != computed {
        return Err(PackedError::Checksum { what: "the checksum of a header", at, found, computed });
    }
    input.consume(len + 4);
    Ok(())
}

struct Header<'a> {
    head: &'a [u8],
    at: usize,
}

impl Header<'_> {
    fn number(&mut self, len: usize) -> Option<u32> {
        let bytes = self.head.get(self.at..self.at + len)?;
        self.at += len;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }
}
