//! The header of a gzip member.

use crate::error::{PackedError, Result};
use crate::input::Input;

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Longer names and comments are no names.
const MAX_TEXT: usize = 1 << 16;

/// Whether a file begins like a gzip member.
pub(crate) fn is_start(head: &[u8]) -> bool {
    head.len() >= 18 && head.starts_with(&MAGIC) && head.get(3).is_some_and(|flags| flags & RESERVED == 0)
}

/// Takes the header of a member; a file may have several.
pub(crate) fn skip_header(input: &mut Input) -> Result<()> {
    const WHAT: &str = "a gzip header";
    let at = input.position();
    let fixed: [u8; 10] = {
        let mut fixed = [0; 10];
        fixed.copy_from_slice(input.exactly(10, WHAT)?);
        fixed
    };
    let [magic0, magic1, method, flags, ..] = fixed;
    if [magic0, magic1] != [0x1f, 0x8b] {
        return Err(input.garbage());
    }
    if method != 8 {
        return Err(PackedError::Unknown {
            what: "the compression method",
            at: at + 2,
            found: method.into(),
        });
    }
    if flags & RESERVED != 0 {
        return Err(PackedError::Unknown { what: "the flags", at: at + 3, found: flags.into() });
    }
    let mut len = 10;
    if flags & FEXTRA != 0 {
        let bytes = input.exactly(len + 2, WHAT)?;
        let extra = bytes.get(len..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b));
        len += 2 + usize::from(extra);
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            len = text_end(input, len, WHAT)?;
        }
    }
    if flags & FHCRC != 0 {
        let bytes = input.exactly(len + 2, WHAT)?;
        let (header, sum) = bytes.split_at(len);
        let found = sum.first_chunk().map_or(0, |b| u16::from_le_bytes(*b));
        let computed = crc32fast::hash(header) & 0xffff;
        if u32::from(found) != computed {
            let at = at + len as u64;
            return Err(PackedError::Checksum {
                what: "the CRC16 of a header",
                at,
                found: found.into(),
                computed,
            });
        }
        len += 2;
    }
    input.exactly(len, WHAT)?;
    input.consume(len);
    Ok(())
}

/// Behind the zero that ends the text which starts `from` bytes into the header.
fn text_end(input: &mut Input, from: usize, what: &'static str) -> Result<usize> {
    let mut wanted = from + 64;
    loop {
        let at = input.position();
        let bytes = input.peek(wanted)?;
        if let Some(len) = bytes.get(from..).and_then(|text| text.iter().position(|&byte| byte == 0)) {
            return Ok(from + len + 1);
        }
        if bytes.len() < wanted {
            return Err(PackedError::Truncated { at: at + bytes.len() as u64, what });
        }
        if wanted - from > MAX_TEXT {
            let possible = "names and comments end with a zero within 0x10000 bytes";
            return Err(PackedError::Field {
                what: "the text in a header",
                at,
                found: wanted as u64,
                possible,
            });
        }
        wanted = wanted.saturating_mul(2);
    }
}
