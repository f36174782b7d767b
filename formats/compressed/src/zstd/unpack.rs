//! zstd from the start to the end: frames follow each other, some of them to be passed over.

use super::frame::{self, Start};
use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::{Step, Unpack, WINDOW_LIMIT};
use format_core::Access;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

/// The largest window of all (`--long=31`), as a power of two.
const MAX_WINDOW_LOG: u32 = 31;

pub(crate) struct Zstd {
    decoder: DCtx<'static>,
    limit: u64,
    in_frame: bool,
    /// How many frames there were.
    frames: u64,
}

impl Unpack for Zstd {
    const NAME: &'static str = super::NAME;

    fn new(access: &Access) -> Result<Self> {
        let limit = if access.long_window { 1 << MAX_WINDOW_LOG } else { WINDOW_LIMIT };
        let needed = PackedError::Memory { needed: 1 << 18, limit };
        let mut decoder = DCtx::try_create().ok_or(needed)?;
        let parameter = DParameter::WindowLogMax(limit.ilog2());
        decoder.set_parameter(parameter).map_err(|code| failed(0, code))?;
        Ok(Self { decoder, limit, in_frame: false, frames: 0 })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            if !self.in_frame && !self.begin(input)? {
                return Ok(0);
            }
            let made = self.step(input, out)?;
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

impl Zstd {
    /// Finds the next frame; false at the end.
    fn begin(&mut self, input: &mut Input) -> Result<bool> {
        loop {
            let at = input.position();
            let head = input.peek(frame::MAX_HEADER)?;
            if head.is_empty() {
                return if at == 0 { Err(PackedError::Empty) } else { Ok(false) };
            }
            match frame::parse(head, at) {
                Ok(Start::Skippable { len }) => input.skip(len, "a skippable frame")?,
                Ok(Start::Frame(header)) => {
                    if header.window > self.limit {
                        return Err(PackedError::Window { window: header.window, limit: self.limit });
                    }
                    if header.dictionary != 0 {
                        return Err(PackedError::Dictionary { at, id: header.dictionary });
                    }
                    self.in_frame = true;
                    self.frames += 1;
                    return Ok(true);
                }
                Ok(Start::Other) => return Err(input.garbage()),
                Err(_) if self.frames > 0 && head.len() < 4 => return Err(input.garbage()),
                Err(error) => return Err(error),
            }
        }
    }

    fn step(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        let at = input.position();
        let bytes = input.available()?;
        let offered = bytes.len();
        let (mut from, mut to) = (InBuffer::around(bytes), OutBuffer::around(out));
        let hint = self.decoder.decompress_stream(&mut to, &mut from);
        let (used, made) = (from.pos(), to.pos());
        let hint = hint.map_err(|code| failed(at, code))?;
        input.consume(used);
        if hint == 0 {
            self.in_frame = false;
        } else {
            Step { used, made, offered }.moved(input, "a frame")?;
        }
        Ok(made)
    }
}

/// What the library says.
pub(super) fn failed(at: u64, code: usize) -> PackedError {
    PackedError::Data { at, why: get_error_name(code).to_owned() }
}
