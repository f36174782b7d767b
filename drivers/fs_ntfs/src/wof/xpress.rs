//! LZ77 with Huffman codes ("Xpress Huffman", [MS-XCA] section 2.2), one chunk with one code.

use super::huffman::Code;
use crate::bytes::u16_at;
use crate::lznt1::copy;

/// Bytes of the table of code lengths: 512 of four bits.
const TABLE: usize = 256;

/// Bits from 16-bit words, highest first, with single bytes between them. Behind the end there are zeros.
struct Bits<'a> {
    packed: &'a [u8],
    at: usize,
    bits: u32,
    /// Bits in `bits` beyond the 16 that can always be looked at.
    extra: i32,
}

impl Bits<'_> {
    fn word(&mut self) -> u32 {
        let word = u16_at(self.packed, self.at).unwrap_or_default();
        self.at += 2;
        word.into()
    }

    fn skip(&mut self, count: u32) {
        self.bits = self.bits.checked_shl(count).unwrap_or_default();
        self.extra -= count as i32;
        if self.extra < 0 {
            self.bits |= self.word() << self.extra.unsigned_abs();
            self.extra += 16;
        }
    }

    fn byte(&mut self) -> Result<usize, String> {
        let byte = self.packed.get(self.at).ok_or("it ends in a length")?;
        self.at += 1;
        Ok(usize::from(*byte))
    }
}

/// Unpacks one chunk; `out` has exactly the bytes of its content.
///
/// # Errors
/// What is wrong with the packed bytes.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    let table = packed.get(..TABLE).ok_or("it is shorter than its table of codes")?;
    let lengths: Vec<u8> = table.iter().flat_map(|pair| [pair & 15, pair >> 4]).collect();
    let code = Code::new(&lengths)?;
    let mut bits = Bits { packed, at: TABLE, bits: 0, extra: 16 };
    bits.bits = bits.word() << 16;
    bits.bits |= bits.word();
    let mut done = 0;
    while done < out.len() {
        // A stream behind whose end more than the words that are looked ahead would be read is no stream.
        if bits.at > packed.len() + 4 {
            return Err("it ends before its content does".into());
        }
        let (symbol, len) = code.decode((bits.bits >> 16) as u16)?;
        bits.skip(len);
        let symbol = usize::from(symbol);
        if symbol < 256 {
            *out.get_mut(done).ok_or("it is longer than its content")? = symbol as u8;
            done += 1;
            continue;
        }
        let len = length(&mut bits, symbol % 16)?;
        let distance_bits = ((symbol - 256) / 16) as u32;
        let low = if distance_bits == 0 { 0 } else { bits.bits >> (32 - distance_bits) };
        bits.skip(distance_bits);
        let distance = (low | 1 << distance_bits) as usize;
        done = copy(out, done, distance, len).ok_or("a copy leaves its chunk")?;
    }
    Ok(())
}

/// The length of a copy; long ones stand in bytes of their own.
fn length(bits: &mut Bits<'_>, short: usize) -> Result<usize, String> {
    if short < 15 {
        return Ok(short + 3);
    }
    let byte = bits.byte()?;
    if byte < 255 {
        return Ok(byte + 15 + 3);
    }
    let long = bits.byte()? | bits.byte()? << 8;
    if long < 15 {
        return Err(format!("a long length is {long}"));
    }
    Ok(long + 3)
}
