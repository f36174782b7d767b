//! A connection in transmission. One caller at a time has it; the pieces of a large range are all under way at once, and their replies
//! come in any order.

use super::facts::Facts;
use super::fault::Fault;
use super::limits::ClientLimits;
use super::line::{Clock, Line};
use super::pending::{Chunk, Pending, Want};
use super::status::{Quiet, StatusRuns};
use crate::wire::{
    Fields, Message, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, able, command, errno, len32,
    take,
};
use format_core::Seen;
use format_core::units::align_down;
use std::io::{BufReader, ErrorKind, IoSlice, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests for data under way on one connection.
const DEPTH: usize = 8;
/// About how many bytes of a write have one limit of time.
const GROUP: usize = 4 << 20;
/// Heads of replies are read through this; data pass it by.
const READ_AHEAD: usize = 4096;
/// How long a server is given to take our goodbye.
const GOODBYE: Duration = Duration::from_millis(100);

/// A read whose pieces are shown one by one.
pub(crate) struct Pieces<'s, 'a> {
    /// Where in the export it begins, in whole blocks of the server.
    pub(crate) offset: u64,
    /// Which pieces were shown. After a connection was lost, only the others are asked for again.
    pub(crate) shown: Vec<bool>,
    pub(crate) seen: &'s mut Seen<'a>,
}

/// A connection to an export.
pub(crate) struct Connection {
    line: BufReader<Line>,
    clock: Arc<Clock>,
    pub(crate) facts: Facts,
    limits: ClientLimits,
    cookie: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.clock.start(GOODBYE, GOODBYE);
        let goodbye = self.head(command::DISC, 0, 0);
        // It may be gone already.
        let _ = self.line.get_mut().write_all(&goodbye.0);
    }
}

impl Connection {
    pub(crate) fn new(line: Line, clock: Arc<Clock>, facts: Facts, limits: ClientLimits) -> Self {
        Self { line: BufReader::with_capacity(READ_AHEAD, line), clock, facts, limits, cookie: 0 }
    }

    /// Fills `buf` from `offset`; the range lies in the export.
    pub(crate) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if !self.facts.is_aligned(offset) || !self.facts.is_aligned(buf.len() as u64) {
            return self.read_blocks(offset, buf);
        }
        self.read_pieces(&mut Pieces { offset, shown: Vec::new(), seen: &mut |_, _| Ok(()) }, buf)
    }

    /// Fills what of `buf` was not shown yet, in whole blocks of the server, and shows it.
    pub(crate) fn read_pieces(&mut self, pieces: &mut Pieces<'_, '_>, buf: &mut [u8]) -> Result<(), Fault> {
        let piece = usize::try_from(self.facts.piece).unwrap_or(usize::MAX);
        pieces.shown.resize(buf.len().div_ceil(piece), false);
        let mut left: Vec<_> = (0..).step_by(piece).zip(buf.chunks_mut(piece)).collect();
        let mut shown = pieces.shown.iter();
        left.retain(|_| shown.next() == Some(&false));
        for group in left.chunks_mut(DEPTH) {
            let whole = group.iter().map(|(_, part)| part.len() as u64).sum();
            self.clock.start(self.limits.silence, self.limits.of_request(whole));
            let (mut heads, mut pending) = (Vec::new(), Vec::new());
            for (from, part) in group {
                let (at, len) = (pieces.offset + *from as u64, part.len() as u64);
                heads.extend(self.head(command::READ, at, len32(part.len())).0);
                pending.push(Pending::new(self.cookie, command::READ, at, len, Want::Data(part)));
            }
            self.send(&heads)?;
            self.complete(&mut pending, 0, |request| {
                let Some(bytes) = request.data() else { return Ok(()) };
                let from = usize::try_from(request.offset - pieces.offset).unwrap_or(usize::MAX);
                (pieces.seen)(from, bytes).map_err(Fault::Final)?;
                if let Some(shown) = pieces.shown.get_mut(from / piece) {
                    *shown = true;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A range that begins or ends inside of a block: those blocks by way of a buffer.
    fn read_blocks(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let step = self.facts.min_block;
        let mut block = vec![0; usize::try_from(step).unwrap_or(0)];
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let inside = at - align_down(at, step);
            let whole = align_down(rest.len() as u64, step);
            let len = if inside == 0 && whole > 0 { whole } else { (step - inside).min(rest.len() as u64) };
            let (part, behind) = rest.split_at_mut(usize::try_from(len).unwrap_or(usize::MAX));
            if inside == 0 && whole > 0 {
                self.read(at, part)?;
            } else {
                self.read(at - inside, &mut block)?;
                let inside = usize::try_from(inside).unwrap_or(usize::MAX);
                part.copy_from_slice(block.get(inside..inside + part.len()).unwrap_or_default());
            }
            (at, rest) = (at + len, behind);
        }
        Ok(())
    }

    /// Writes whole blocks.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let (piece, most) = self.facts.writing();
        let piece = usize::try_from(piece).unwrap_or(usize::MAX);
        let mut at = offset;
        for group in bytes.chunks(piece * (GROUP / piece).max(1)) {
            self.clock.start(self.limits.silence, self.limits.of_request(group.len() as u64));
            let mut pending = Vec::new();
            for part in group.chunks(piece) {
                self.complete(&mut pending, most - 1, |_| Ok(()))?;
                let head = self.head(command::WRITE, at, len32(part.len()));
                self.send_both(&head.0, part)?;
                let len = part.len() as u64;
                pending.push(Pending::new(self.cookie, command::WRITE, at, len, Want::Nothing));
                at += len;
            }
            self.complete(&mut pending, 0, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Zeros whole blocks, at most 4 GiB of them.
    pub(crate) fn zero(&mut self, offset: u64, len: u64) -> Result<(), Fault> {
        self.plain(command::WRITE_ZEROES, offset, len, self.limits.silence)
    }

    /// Makes durable what was written, where the server has something to do for that.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        let limit = self.limits.flush;
        if self.facts.can(able::SEND_FLUSH) { self.plain(command::FLUSH, 0, 0, limit) } else { Ok(()) }
    }

    fn plain(&mut self, command: u16, offset: u64, len: u64, limit: Duration) -> Result<(), Fault> {
        self.clock.start(limit, limit);
        let head = self.head(command, offset, u32::try_from(len).unwrap_or(u32::MAX));
        self.send(&head.0)?;
        self.complete(&mut [Pending::new(self.cookie, command, offset, len, Want::Nothing)], 0, |_| Ok(()))
    }

    /// The status of whole blocks, or of as many of them as the server likes.
    pub(crate) fn status(
        &mut self,
        context: u32,
        quiet: Quiet,
        offset: u64,
        len: u32,
    ) -> Result<StatusRuns, Fault> {
        self.clock.start(self.limits.silence, self.limits.of_request(8 << 20));
        let head = self.head(command::BLOCK_STATUS, offset, len);
        self.send(&head.0)?;
        let want = Want::Status(context, quiet);
        let mut pending = [Pending::new(self.cookie, command::BLOCK_STATUS, offset, len.into(), want)];
        self.complete(&mut pending, 0, |_| Ok(()))?;
        let [pending] = pending;
        pending.status.ok_or_else(|| Fault::violation("no block status"))
    }

    /// The head of the next request, whose number is then `self.cookie`.
    fn head(&mut self, command: u16, offset: u64, len: u32) -> Message {
        self.cookie = self.cookie.wrapping_add(1);
        Message::default().u32(REQUEST_MAGIC).u16(0).u16(command).u64(self.cookie).u64(offset).u32(len)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let line = self.line.get_mut();
        line.write_all(bytes).and_then(|()| line.flush()).map_err(|e| Fault::io(&e))
    }

    /// A head and what belongs to it in one call where they fit: the server wakes up once.
    fn send_both(&mut self, head: &[u8], body: &[u8]) -> Result<(), Fault> {
        let line = self.line.get_mut();
        let mut sent = 0;
        while let Some(rest) = head.get(sent..).filter(|rest| !rest.is_empty()) {
            match line.write_vectored(&[IoSlice::new(rest), IoSlice::new(body)]) {
                Ok(0) => return Err(Fault::io(&ErrorKind::WriteZero.into())),
                Ok(some) => sent += some,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::io(&error)),
            }
        }
        self.send(body.get(sent - head.len()..).unwrap_or_default())
    }

    /// Takes replies until all requests but `left` have theirs, and shows each when it has. How long that look takes is not the server's fault.
    fn complete(
        &mut self,
        pending: &mut [Pending<'_>],
        left: usize,
        mut look: impl FnMut(&Pending<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let is_enough = |pending: &[Pending<'_>]| {
            let open = pending.iter().filter(|request| !request.is_done).count();
            // Of a refused range nothing more is sent, and no reply to it is left for whoever has the connection next.
            open == 0 || (open <= left && pending.iter().all(|request| request.failure.is_none()))
        };
        while !is_enough(pending) {
            let request = self.reply(pending)?;
            if request.is_done {
                let before = Instant::now();
                look(request)?;
                self.clock.give(before.elapsed());
            }
        }
        let failure = pending.iter_mut().find_map(|request| request.failure.take());
        match failure {
            Some((errno::SHUTDOWN, error)) => Err(Fault::Lost(error)),
            Some((_, error)) => Err(Fault::Answer(error)),
            None => Ok(()),
        }
    }

    /// One simple reply, or one chunk, and whose it was.
    fn reply<'p, 'a>(&mut self, pending: &'p mut [Pending<'a>]) -> Result<&'p Pending<'a>, Fault> {
        let head: [u8; 16] = take(&mut self.line).map_err(|e| Fault::io(&e))?;
        let mut fields = Fields(&head);
        match fields.u32() {
            Some(SIMPLE_REPLY_MAGIC) => {
                let error = fields.u32().unwrap_or(0);
                let request = find(pending, fields.u64())?;
                request.simple(&mut self.line, error, self.facts.is_structured)?;
                Ok(request)
            }
            Some(STRUCTURED_REPLY_MAGIC) if self.facts.is_structured => {
                let (flags, kind) = (fields.u16().unwrap_or(0), fields.u16().unwrap_or(0));
                let request = find(pending, fields.u64())?;
                let len = u32::from_be_bytes(take(&mut self.line).map_err(|e| Fault::io(&e))?);
                request.chunk(&mut self.line, &Chunk { flags, kind, len })?;
                Ok(request)
            }
            magic => Err(Fault::violation(format!("a reply starts with {:#x}", magic.unwrap_or(0)))),
        }
    }
}

/// The request that a reply is for.
fn find<'p, 'a>(pending: &'p mut [Pending<'a>], cookie: Option<u64>) -> Result<&'p mut Pending<'a>, Fault> {
    pending
        .iter_mut()
        .find(|request| Some(request.cookie) == cookie && !request.is_done)
        .ok_or_else(|| Fault::violation("a reply that nobody waits for"))
}
