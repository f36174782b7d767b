//! bzip2: streams of bit-aligned blocks, one after the other (`pbzip2` writes many).

use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::{Step, Unpack};
use bzip2::{Decompress, Status};
use format_core::Access;

pub(crate) const NAME: &str = "bzip2";

const MAGIC: [u8; 3] = *b"BZh";
const BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
const END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

/// The length of a stream that holds nothing: header, mark of the end, checksum.
const EMPTY_LEN: usize = 14;

/// Whether a file begins like bzip2 does.
pub(crate) fn is_start(head: &[u8]) -> bool {
    let first = head.get(4..).unwrap_or_default();
    head.starts_with(&MAGIC)
        && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
        && (first.starts_with(&BLOCK) || first.starts_with(&END))
}

pub(crate) struct Bzip2 {
    stream: Option<Decompress>,
    streams: u64,
}

impl Unpack for Bzip2 {
    const NAME: &'static str = NAME;

    fn new(_: &Access) -> Result<Self> {
        Ok(Self { stream: None, streams: 0 })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => match self.begin(input)? {
                    Some(stream) => stream,
                    None => return Ok(0),
                },
            };
            let at = input.position();
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let bytes = input.available()?;
            let offered = bytes.len();
            let status = stream.decompress(bytes, out);
            let status = status.map_err(|e| PackedError::Data { at, why: e.to_string() })?;
            let used = (stream.total_in() - before_in) as usize;
            let made = (stream.total_out() - before_out) as usize;
            input.consume(used);
            if status != Status::StreamEnd {
                Step { used, made, offered }.moved(input, "a stream")?;
                self.stream = Some(stream);
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

/// Whether it is a stream without blocks: nothing but its end, and the checksum of nothing.
fn is_nothing(stream: &[u8; EMPTY_LEN]) -> bool {
    let (head, sum) = stream.split_at(EMPTY_LEN - 4);
    is_start(head) && head.ends_with(&END) && sum == [0; 4]
}

impl Bzip2 {
    fn begin(&mut self, input: &mut Input) -> Result<Option<Decompress>> {
        // A decoder takes megabytes of memory, and a file can have any number of these.
        while input.peek(EMPTY_LEN)?.first_chunk().is_some_and(is_nothing) {
            input.consume(EMPTY_LEN);
            self.streams += 1;
        }
        let head = input.peek(MAGIC.len())?;
        if head.is_empty() {
            return if self.streams == 0 { Err(PackedError::Empty) } else { Ok(None) };
        }
        if head != MAGIC {
            return Err(input.garbage());
        }
        self.streams += 1;
        Ok(Some(Decompress::new(false)))
    }
}
