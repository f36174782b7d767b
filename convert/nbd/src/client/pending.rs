//! A request that waits for its reply, and what of the reply is there; every piece of it is checked ("Structured reply types").

use super::fault::{Fault, answered};
use super::status::{Quiet, StatusRuns};
use crate::wire::{MAX_STRING, chunk, command, take};
use format_core::{Error, RangeSet};
use std::io::Read;

/// The reply to a read has no more chunks than its sectors, and some: what is cut up finer costs more memory than its data.
const SPARE_CHUNKS: u64 = 64;
/// Descriptors in one reply: as many as the largest servers send.
const MAX_DESCRIPTORS: u32 = 1 << 20;

/// What a reply brings.
pub(crate) enum Want<'a> {
    /// Data, as many as the range has.
    Data(&'a mut [u8]),
    /// Block status of the context with this number.
    Status(u32, Quiet),
    Nothing,
}

/// A request on its way.
pub(crate) struct Pending<'a> {
    pub(crate) cookie: u64,
    pub(crate) command: u16,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    want: Want<'a>,
    filled: RangeSet,
    chunks: u64,
    /// Runs of a block status.
    pub(crate) status: Option<StatusRuns>,
    /// The first error the server told of, with its number.
    pub(crate) failure: Option<(u32, Error)>,
    pub(crate) is_done: bool,
}

/// The head of a chunk.
pub(crate) struct Chunk {
    pub(crate) flags: u16,
    pub(crate) kind: u16,
    pub(crate) len: u32,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(cookie: u64, command: u16, offset: u64, len: u64, want: Want<'a>) -> Self {
        let (filled, status, failure) = (RangeSet::default(), None, None);
        Self { cookie, command, offset, len, want, filled, chunks: 0, status, failure, is_done: false }
    }

    /// What was read, once the whole reply is there and is no error.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        match &self.want {
            Want::Data(buf) if self.is_done && self.failure.is_none() => Some(buf),
            _ => None,
        }
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// A simple reply; `has_chunks` says whether structured ones were agreed on.
    pub(crate) fn simple(&mut self, from: &mut impl Read, error: u32, has_chunks: bool) -> Result<(), Fault> {
        match &mut self.want {
            Want::Data(_) if has_chunks => return Err(Fault::violation("a simple reply to a read")),
            _ if error != 0 => self.fail(error, "", self.offset),
            Want::Data(buf) => from.read_exact(buf).map_err(|e| Fault::io(&e))?,
            Want::Status(..) => return Err(Fault::violation("a simple reply to a block status")),
            Want::Nothing => {}
        }
        self.is_done = true;
        Ok(())
    }

    /// A chunk of a structured reply, its head being read.
    pub(crate) fn chunk(&mut self, from: &mut impl Read, chunk: &Chunk) -> Result<(), Fault> {
        self.chunks += 1;
        if self.chunks > self.len / 512 + SPARE_CHUNKS {
            return Err(Fault::violation(format!("more than {} chunks in a reply", self.chunks - 1)));
        }
        let is_last = chunk.flags & chunk::DONE != 0;
        match (chunk.kind, &self.want) {
            (chunk::NONE, _) if is_last && chunk.len == 0 => {}
            (chunk::OFFSET_DATA, Want::Data(_)) => self.data_chunk(from, chunk.len)?,
            (chunk::OFFSET_HOLE, Want::Data(_)) => self.hole(from, chunk.len)?,
            (chunk::BLOCK_STATUS, Want::Status(id, quiet)) => {
                let (id, quiet) = (*id, *quiet);
                self.block_status(from, chunk.len, id, quiet)?;
            }
            (kind, _) if kind >> 15 == 1 => self.error(from, kind, chunk.len)?,
            (kind, _) => {
                let (len, command) = (chunk.len, self.command);
                return Err(Fault::violation(format!(
                    "chunk {kind:#x} of {len:#x} bytes in a reply to command {command}"
                )));
            }
        }
        if is_last { self.finish() } else { Ok(()) }
    }

    fn data_chunk(&mut self, from: &mut impl Read, len: u32) -> Result<(), Fault> {
        let len = u64::from(len).checked_sub(8).filter(|len| *len > 0);
        let len = len.ok_or_else(|| Fault::violation("a chunk without data"))?;
        let offset = u64::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        from.read_exact(self.part(offset, len)?).map_err(|e| Fault::io(&e))
    }

    fn hole(&mut self, from: &mut impl Read, len: u32) -> Result<(), Fault> {
        if len != 12 {
            return Err(Fault::violation(format!("a hole's chunk has {len:#x} bytes")));
        }
        let offset = u64::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        let len = u32::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        self.part(offset, len.into())?.fill(0);
        Ok(())
    }

    /// The room for a chunk: inside of the range that was asked for, and not filled yet.
    fn part(&mut self, offset: u64, len: u64) -> Result<&mut [u8], Fault> {
        let (start, end) = (self.offset, self.end());
        let last = offset.checked_add(len).filter(|last| len > 0 && offset >= start && *last <= end);
        let Some(last) = last else {
            let text = format!("a chunk of {len:#x} bytes at {offset:#x}, asked were {start:#x} to {end:#x}");
            return Err(Fault::violation(text));
        };
        if self.filled.within(offset, last).next().is_some() {
            return Err(Fault::violation(format!("a reply has the bytes at {offset:#x} twice")));
        }
        self.filled.add(offset, len);
        let place = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        let Want::Data(buf) = &mut self.want else { return Err(Fault::violation("data nobody asked for")) };
        buf.get_mut(place(offset)..place(last))
            .ok_or_else(|| Fault::violation("a chunk outside of its range"))
    }

    fn block_status(
        &mut self,
        from: &mut impl Read,
        len: u32,
        wanted: u32,
        quiet: Quiet,
    ) -> Result<(), Fault> {
        let count = len.checked_sub(4).filter(|rest| rest.is_multiple_of(8)).map(|rest| rest / 8);
        let Some(count) = count.filter(|count| (1..=MAX_DESCRIPTORS).contains(count)) else {
            return Err(Fault::violation(format!("a block status of {len:#x} bytes")));
        };
        let id = u32::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        if id != wanted || self.status.is_some() {
            return Err(Fault::violation(format!(
                "a block status of context {id}, which is none or was there"
            )));
        }
        let mut runs = StatusRuns::new(self.offset, self.end());
        for _ in 0..count {
            let len = u32::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
            let flags = u32::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
            runs.add(len.into(), quiet(flags)).map_err(Fault::violation)?;
        }
        runs.close();
        self.status = Some(runs);
        Ok(())
    }

    fn error(&mut self, from: &mut impl Read, kind: u16, len: u32) -> Result<(), Fault> {
        let head: Option<u32> = len.checked_sub(6);
        let rest = head.ok_or_else(|| Fault::violation("an error's chunk is cut off"))?;
        let number = u32::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        let text_len = u16::from_be_bytes(take(from).map_err(|e| Fault::io(&e))?);
        let tail = rest.checked_sub(text_len.into());
        let fits = match kind {
            chunk::ERROR => tail == Some(0),
            chunk::ERROR_OFFSET => tail == Some(8),
            _ => tail.is_some_and(|tail| tail <= 64),
        };
        if !fits || usize::from(text_len) > MAX_STRING || number == 0 {
            return Err(Fault::violation(format!(
                "an error {number} of {len:#x} bytes, {text_len:#x} of them text"
            )));
        }
        let mut text = vec![0; usize::from(text_len)];
        from.read_exact(&mut text).map_err(|e| Fault::io(&e))?;
        let mut tail = vec![0; usize::try_from(tail.unwrap_or(0)).unwrap_or(0)];
        from.read_exact(&mut tail).map_err(|e| Fault::io(&e))?;
        let mut offset = self.offset;
        if kind == chunk::ERROR_OFFSET {
            offset = tail.first_chunk().map_or(offset, |bytes| u64::from_be_bytes(*bytes));
            if offset < self.offset || offset > self.end() {
                return Err(Fault::violation(format!("an error at {offset:#x}, outside of the range")));
            }
        }
        self.fail(number, &String::from_utf8_lossy(&text), offset);
        Ok(())
    }

    fn fail(&mut self, number: u32, text: &str, offset: u64) {
        let verb = match self.command {
            command::READ => "read",
            command::WRITE => "write",
            command::WRITE_ZEROES => "zero",
            command::FLUSH => "make durable what was written to",
            command::BLOCK_STATUS => "tell the status of",
            _ => "do what was asked with",
        };
        let what = if self.command == command::FLUSH {
            format!("{verb} the export")
        } else {
            format!("{verb} {:#x} bytes", self.len)
        };
        let error = answered(number, text, &what, offset);
        self.failure.get_or_insert((number, error));
    }

    /// The last chunk was there: what has come has to be all.
    fn finish(&mut self) -> Result<(), Fault> {
        self.is_done = true;
        if self.failure.is_some() {
            return Ok(());
        }
        let (len, got) = (self.len, self.filled.total());
        match self.want {
            Want::Data(_) if got != len => {
                Err(Fault::violation(format!("a reply ends with {got:#x} of {len:#x} bytes")))
            }
            Want::Status(..) if self.status.is_none() => {
                Err(Fault::violation("a reply ends without the block status"))
            }
            _ => Ok(()),
        }
    }
}
