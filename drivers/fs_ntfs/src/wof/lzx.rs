//! LZX as WIM images and the overlay filter use it: chunks of 32 KiB that stand alone, blocks that default to 32 KiB,
//! and call instructions of x86 always translated (Microsoft's "LZX Data Compression Format" with the differences that
//! wimlib's documentation gives).

use super::huffman::Code;
use crate::bytes::{u16_at, u32_at};
use crate::lznt1::copy;

/// Bytes of a chunk, of the window, and of a block that does not give its size.
pub(super) const CHUNK: usize = 32 << 10;
/// Slots of distances for this window, and symbols of the main code: literals, and eight lengths for each slot.
const SLOTS: usize = 30;
const MAIN: usize = 256 + 8 * SLOTS;
const LENGTHS: usize = 249;
/// The size of the file that the translation of calls supposes.
const CALL_SIZE: i32 = 12_000_000;

/// Bits from 16-bit words, highest first. Behind the end there are zeros.
struct Bits<'a> {
    packed: &'a [u8],
    at: usize,
    bits: u64,
    count: u32,
}

impl Bits<'_> {
    fn need(&mut self, count: u32) {
        while self.count < count {
            let word = u64::from(u16_at(self.packed, self.at).unwrap_or_default());
            self.at += 2;
            self.bits = self.bits << 16 | word;
            self.count += 16;
        }
    }

    fn peek16(&mut self) -> u16 {
        self.need(16);
        (self.bits >> (self.count - 16)) as u16
    }

    fn take(&mut self, count: u32) -> u32 {
        self.need(count);
        self.count -= count;
        (self.bits >> self.count) as u32 & ((1 << count) - 1)
    }

    fn symbol(&mut self, code: &Code) -> Result<usize, String> {
        let peek = self.peek16();
        let (symbol, len) = code.decode(peek)?;
        self.count -= len;
        Ok(symbol.into())
    }

    /// Goes to the next word, or over a whole one from its start. Returns the place.
    fn align(&mut self) -> usize {
        let used = self.at * 8 - self.count as usize;
        self.at = (used / 16 + 1) * 2;
        (self.bits, self.count) = (0, 0);
        self.at
    }

    /// Whether more than what is looked ahead was read behind the end.
    fn is_behind(&self) -> bool {
        self.at > self.packed.len() + 4
    }
}

/// What goes on from block to block of a chunk.
struct State {
    main: [u8; MAIN],
    lengths: [u8; LENGTHS],
    recent: [u32; 3],
}

/// Unpacks one chunk; `out` has exactly the bytes of its content.
///
/// # Errors
/// What is wrong with the packed bytes.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut bits = Bits { packed, at: 0, bits: 0, count: 0 };
    let mut state = State { main: [0; MAIN], lengths: [0; LENGTHS], recent: [1; 3] };
    let mut done = 0;
    while done < out.len() {
        let kind = bits.take(3);
        let size = if bits.take(1) == 1 { CHUNK } else { bits.take(16) as usize };
        let end = done + size;
        if size == 0 || end > out.len() || bits.is_behind() {
            return Err(format!("a block of {size:#x} bytes at {done:#x} of {:#x}", out.len()));
        }
        match kind {
            1 | 2 => coded(&mut bits, &mut state, kind == 2, out, done..end)?,
            3 => plain(&mut bits, &mut state, out.get_mut(done..end).unwrap_or_default())?,
            _ => return Err(format!("a block of kind {kind}")),
        }
        done = end;
    }
    restore_calls(out);
    Ok(())
}

/// A block of plain bytes, with the recent distances in front.
fn plain(bits: &mut Bits<'_>, state: &mut State, out: &mut [u8]) -> Result<(), String> {
    let at = bits.align();
    for (number, recent) in state.recent.iter_mut().enumerate() {
        *recent = u32_at(bits.packed, at + 4 * number).ok_or("a plain block is cut")?;
    }
    let from = bits.packed.get(at + 12..at + 12 + out.len()).ok_or("a plain block is cut")?;
    out.copy_from_slice(from);
    bits.at = at + 12 + out.len() + out.len() % 2;
    Ok(())
}

/// A block with codes.
fn coded(
    bits: &mut Bits<'_>,
    state: &mut State,
    aligned: bool,
    out: &mut [u8],
    range: std::ops::Range<usize>,
) -> Result<(), String> {
    let low = if aligned {
        let lengths: Vec<u8> = (0..8).map(|_| bits.take(3) as u8).collect();
        Some(Code::new(&lengths)?)
    } else {
        None
    };
    let (literals, copies) = state.main.split_at_mut(256);
    code_lengths(bits, literals)?;
    code_lengths(bits, copies)?;
    code_lengths(bits, &mut state.lengths)?;
    let (main, long) = (Code::new(&state.main)?, Code::new(&state.lengths)?);
    let mut done = range.start;
    while done < range.end {
        if bits.is_behind() {
            return Err("it ends before its content does".into());
        }
        let symbol = bits.symbol(&main)?;
        if symbol < 256 {
            *out.get_mut(done).ok_or("it is longer than its content")? = symbol as u8;
            done += 1;
            continue;
        }
        let (slot, head) = ((symbol - 256) / 8, symbol % 8);
        let len = if head == 7 { bits.symbol(&long)? + 9 } else { head + 2 };
        let distance = distance(bits, state, slot, low.as_ref())?;
        if done + len > range.end {
            return Err("a copy leaves its block".into());
        }
        done = copy(out, done, distance, len).ok_or("a copy leaves its chunk")?;
    }
    Ok(())
}

/// The distance of a copy. The first three slots stand for the distances used last.
fn distance(
    bits: &mut Bits<'_>,
    state: &mut State,
    slot: usize,
    low: Option<&Code>,
) -> Result<usize, String> {
    let [first, second, third] = state.recent;
    let (now, recent) = match slot {
        0 => (first, [first, second, third]),
        1 => (second, [second, first, third]),
        2 => (third, [third, second, first]),
        _ => {
            let extra = (slot as u32 / 2).saturating_sub(1);
            let base = (2 + slot as u32 % 2) << extra;
            let more = match low {
                Some(low) if extra >= 3 => bits.take(extra - 3) << 3 | bits.symbol(low)? as u32,
                _ => bits.take(extra),
            };
            let now = base + more - 2;
            (now, [now, first, second])
        }
    };
    state.recent = recent;
    Ok(now as usize)
}

/// Lengths of a code, as differences to those of the block before, in a code of their own.
fn code_lengths(bits: &mut Bits<'_>, lengths: &mut [u8]) -> Result<(), String> {
    let own: Vec<u8> = (0..20).map(|_| bits.take(4) as u8).collect();
    let own = Code::new(&own)?;
    let mut at = 0;
    while at < lengths.len() {
        let symbol = bits.symbol(&own)?;
        let (run, change) = match symbol {
            17 => (4 + bits.take(4), None),
            18 => (20 + bits.take(5), None),
            19 => {
                let run = 4 + bits.take(1);
                let change = bits.symbol(&own)?;
                (run, Some(change))
            }
            _ => (1, Some(symbol)),
        };
        if change.is_some_and(|change| change > 16) {
            return Err("a length of a code changes by more than there is".into());
        }
        // All of a run get the length that the first of them would have.
        let old = lengths.get(at).copied().unwrap_or_default();
        let new = change.map_or(0, |change| ((u32::from(old) + 17 - change as u32) % 17) as u8);
        // A run that goes beyond the last one ends there.
        let end = lengths.len().min(at + run as usize);
        lengths.get_mut(at..end).unwrap_or_default().fill(new);
        at = end;
    }
    Ok(())
}

/// Puts relative addresses of calls back, which were made absolute before packing.
fn restore_calls(out: &mut [u8]) {
    let mut at = 0;
    while at + 10 < out.len() {
        if out.get(at) != Some(&0xe8) {
            at += 1;
            continue;
        }
        let found = u32_at(out, at + 1).unwrap_or_default().cast_signed();
        let place = at as i32;
        let restored = if found >= 0 {
            (found < CALL_SIZE).then(|| found - place)
        } else {
            (found >= -place).then(|| found + CALL_SIZE)
        };
        if let (Some(restored), Some(bytes)) = (restored, out.get_mut(at + 1..at + 5)) {
            bytes.copy_from_slice(&restored.to_le_bytes());
        }
        at += 5;
    }
}
