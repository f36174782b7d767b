//! xz from the start to the end: streams follow each other, with zeros between them.

use super::{failed, memory_limit};
use crate::error::{PackedError, Result};
use crate::input::Input;
use crate::stream::{Step, Unpack};
use format_core::Access;
use liblzma::stream::{Action, CONCATENATED, Status, Stream, TELL_UNSUPPORTED_CHECK};

pub(crate) struct Xz {
    stream: Stream,
    limit: u64,
}

impl Unpack for Xz {
    const NAME: &'static str = super::NAME;

    fn new(access: &Access) -> Result<Self> {
        let limit = memory_limit(access);
        let stream = Stream::new_stream_decoder(limit, CONCATENATED | TELL_UNSUPPORTED_CHECK);
        let stream = stream.map_err(|_| PackedError::Memory { needed: 1 << 16, limit })?;
        Ok(Self { stream, limit })
    }

    fn unpack(&mut self, input: &mut Input, out: &mut [u8]) -> Result<usize> {
        loop {
            let at = input.position();
            let bytes = input.available()?;
            let offered = bytes.len();
            if at == 0 && offered == 0 {
                return Err(PackedError::Empty);
            }
            let action = if offered == 0 { Action::Finish } else { Action::Run };
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.process(bytes, out, action);
            let used = (self.stream.total_in() - before_in) as usize;
            let made = (self.stream.total_out() - before_out) as usize;
            input.consume(used);
            let status = status.map_err(|e| failed(&e, at, self.limit.saturating_add(1), self.limit))?;
            if status == Status::StreamEnd {
                return Ok(made);
            }
            Step { used, made, offered }.moved(input, "a stream")?;
            if made > 0 {
                return Ok(made);
            }
        }
    }
}
