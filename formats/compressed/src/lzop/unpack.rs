//! lzop from the start to the end; files may follow each other.

use super::header::{self, ADLER32_C, ADLER32_D, CRC32_C, CRC32_D, MAGIC};
use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::Unpack;
use format_core::Access;

/// What lzop itself takes for the largest block.
const MAX_BLOCK: u32 = 64 << 20;

pub(crate) struct Lzop {
    /// Inside a file: its flags.
    flags: Option<u32>,
    files: u64,
    buf: Vec<u8>,
    ready: std::ops::Range<usize>,
}

impl Unpack for Lzop {
    const NAME: &'static str = super::NAME;

    fn new(_: &Access) -> Result<Self> {
        Ok(Self { flags: None, files: 0, buf: Vec::new(), ready: 0..0 })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            if !self.ready.is_empty() {
                let len = self.ready.len().min(out.len());
                let part = self.buf.get(self.ready.start..self.ready.start + len).unwrap_or_default();
                out.get_mut(..len).unwrap_or_default().copy_from_slice(part);
                self.ready.start += len;
                return Ok(len);
            }
            let made = match self.flags {
                Some(flags) => self.block(flags, input, out)?,
                None => {
                    let head = input.peek(MAGIC.len())?;
                    if head.is_empty() {
                        return if self.files == 0 { Err(PackedError::Empty) } else { Ok(0) };
                    }
                    if head != MAGIC {
                        return Err(input.garbage());
                    }
                    input.consume(MAGIC.len());
                    self.flags = Some(header::take(input)?);
                    self.files += 1;
                    0
                }
            };
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

/// What stands before a block.
struct Block {
    at: u64,
    unpacked: u32,
    packed: u32,
    /// Adler-32 and CRC-32 of the unpacked bytes, then of the packed ones.
    sums: [Option<u32>; 4],
}

impl Lzop {
    fn block(&mut self, flags: u32, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        let Some(block) = take_block(flags, input)? else {
            self.flags = None;
            return Ok(0);
        };
        let Block { at, unpacked, packed, sums: [adler, crc, packed_adler, packed_crc] } = block;
        let bytes = input.exactly(packed as usize, "a block")?;
        check(bytes, packed_adler, packed_crc, at)?;
        let len = unpacked as usize;
        let direct = out.len() >= len;
        let room = if direct {
            out
        } else {
            self.buf.resize(self.buf.len().max(len), 0);
            &mut self.buf
        };
        let room = room.get_mut(..len).unwrap_or_default();
        if packed == unpacked {
            room.copy_from_slice(bytes);
        } else {
            let made = lzokay::decompress::decompress(bytes, room);
            let made = made.map_err(|e| PackedError::Data { at, why: format!("{e:?}") })?;
            if made != len {
                let (said, found) = (unpacked.into(), made as u64);
                return Err(PackedError::Length { what: "a block", at, said, found });
            }
        }
        check(room, adler, crc, at)?;
        input.consume(packed as usize);
        if direct {
            return Ok(len);
        }
        self.ready = 0..len;
        Ok(0)
    }
}

fn take_block(flags: u32, input: &mut Input) -> Result<Option<Block>> {
    const WHAT: &str = "the header of a block";
    let at = input.position();
    let mut number = || input.take(WHAT).map(u32::from_be_bytes);
    let unpacked = number()?;
    if unpacked == 0 {
        return Ok(None);
    }
    let packed = number()?;
    let possible = "a block has 0x4000000 bytes at most, and fewer when it is packed";
    if unpacked > MAX_BLOCK || packed > unpacked || packed == 0 {
        let found = if unpacked > MAX_BLOCK { unpacked } else { packed };
        return Err(PackedError::Field { what: "the length of a block", at, found: found.into(), possible });
    }
    let mut sums = [None; 4];
    for (sum, flag) in sums.iter_mut().zip([ADLER32_D, CRC32_D, ADLER32_C, CRC32_C]) {
        // What is not packed has no sums of its own.
        let of_packed = flag == ADLER32_C || flag == CRC32_C;
        if flags & flag != 0 && !(of_packed && packed == unpacked) {
            *sum = Some(number()?);
        }
    }
    Ok(Some(Block { at, unpacked, packed, sums }))
}

fn check(bytes: &[u8], adler: Option<u32>, crc: Option<u32>, at: u64) -> Result<()> {
    let wrong = |what, found, computed| PackedError::Checksum { what, at, found, computed };
    if let Some(found) = adler {
        let computed = simd_adler32::adler32(&bytes);
        if found != computed {
            return Err(wrong("the Adler-32 of a block", found, computed));
        }
    }
    if let Some(found) = crc {
        let computed = crc32fast::hash(bytes);
        if found != computed {
            return Err(wrong("the CRC32 of a block", found, computed));
        }
    }
    Ok(())
}
