//! The transmission phase: one request after the other, until the client leaves.

use crate::extents::runs;
use crate::handshake::Session;
use crate::replies::{PIECE, Replies, chunk_head, data_head, simple_head};
use crate::request::{Failure, Request};
use crate::wire::{HOLE_OF_ZEROS, MAX_REQUEST, broken, chunk, command, flag, len32, take, violation};
use format_core::{Error, Result};
use std::io::{BufRead, ErrorKind, Write};

/// Descriptors in one reply: with 12 bits a client gets far with each question, and 32 KiB are no burden.
const MAX_DESCRIPTORS: usize = 4096;
/// How many extents are looked at for one question.
const MAX_LOOKUPS: u32 = 1 << 16;

/// One connection in transmission.
pub(crate) struct Transmission<'a, R, W> {
    reader: R,
    replies: Replies<W>,
    session: Session<'a>,
    /// Told of what an export could not do.
    tell: &'a (dyn Fn(&Error) + Sync),
}

impl<'a, R: BufRead, W: Write> Transmission<'a, R, W> {
    pub(crate) fn new(reader: R, writer: W, session: Session<'a>, tell: &'a (dyn Fn(&Error) + Sync)) -> Self {
        let replies = Replies::new(writer, session.is_structured);
        Self { reader, replies, session, tell }
    }

    /// Answers requests until the client leaves or `stops`.
    ///
    /// # Errors
    /// A violation of the protocol, or a connection that broke.
    pub(crate) fn run(mut self, stops: impl Fn() -> bool) -> Result<()> {
        while !stops() {
            match self.reader.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(_) => {}
                // Between requests a client may be silent as long as it likes.
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(broken(e)),
            }
            let request = Request::parse(&take(&mut self.reader).map_err(broken)?)?;
            if request.command == command::DISC {
                return Ok(());
            }
            self.answer(&request)?;
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request) -> Result<()> {
        let fault = request.fault(&self.session);
        if request.command == command::WRITE {
            return self.write(request, fault);
        }
        if let Some(fault) = fault {
            return self.replies.failed(request, &fault);
        }
        let export = self.session.export;
        let (offset, len) = (request.offset, u64::from(request.len));
        match request.command {
            command::READ if len == 0 => self.replies.done(request),
            command::READ if !self.session.is_structured => self.read_simply(request),
            command::READ if request.has(flag::DF) => self.read_whole(request),
            command::READ => self.read(request),
            command::BLOCK_STATUS => self.status(request),
            command::WRITE_ZEROES => {
                let result = export.zero_at(offset, len, request.has(flag::FAST_ZERO));
                self.finish(request, result)
            }
            command::TRIM => self.finish(request, export.trim_at(offset, len)),
            command::FLUSH => self.finish(request, export.flush()),
            // A hint that the range will be read: the host's page cache and the tables know best when that happens.
            _ => self.replies.done(request),
        }
    }

    /// Ends a request without data.
    fn finish(&mut self, request: &Request, result: Result<()>) -> Result<()> {
        let export = self.session.export;
        let forced = request.writes() && request.has(flag::FUA);
        match result.and_then(|()| if forced { export.flush() } else { Ok(()) }) {
            Ok(()) => self.replies.done(request),
            Err(error) => {
                let failure = self.failure(&error, request);
                self.replies.failed(request, &failure)
            }
        }
    }

    /// Data and holes, each as a chunk.
    fn read(&mut self, request: &Request) -> Result<()> {
        let (export, end) = (self.session.export, request.end());
        let (mut at, mut lookups) = (request.offset, u32::MAX);
        for run in runs(export, request.offset, end, &mut lookups) {
            let run = match run {
                Ok(run) => run,
                Err(error) => return self.fail_at(request, &error, at),
            };
            while at < run.end {
                let len = if run.is_zero { len_of(run.end - at) } else { len_of(run.end - at).min(PIECE) };
                let next = at + len as u64;
                if run.is_zero {
                    self.replies.hole(request, at, len32(len), next == end)?;
                } else {
                    let head = data_head(request, at, len, next == end);
                    let sent = self.replies.data(&head.0, len, |data| export.read_exact_at(at, data))?;
                    if let Err(error) = sent {
                        return self.fail_at(request, &error, at);
                    }
                }
                at = next;
            }
        }
        Ok(())
    }

    /// One chunk, whatever is in it. Once its header is sent, it is completed, and what failed is said behind it.
    fn read_whole(&mut self, request: &Request) -> Result<()> {
        let len = 8 + len_of(request.len.into());
        let head = chunk_head(request, 0, chunk::OFFSET_DATA, len).u64(request.offset);
        let mut failed: Option<(u64, Error)> = None;
        for (at, len) in pieces(request) {
            let export = self.session.export;
            let head: &[u8] = if at == request.offset { &head.0 } else { &[] };
            let is_lost = failed.is_some();
            let fill = |data: &mut [u8]| {
                if is_lost {
                    data.fill(0);
                    Ok(())
                } else {
                    export.read_exact_at(at, data)
                }
            };
            match self.replies.data(head, len, fill)? {
                Ok(()) => {}
                Err(error) if at == request.offset => return self.fail_at(request, &error, at),
                Err(error) => {
                    failed = Some((at, error));
                    self.replies.data(&[], len, |data| {
                        data.fill(0);
                        Ok(())
                    })??;
                }
            }
        }
        match failed {
            Some((at, error)) => self.fail_at(request, &error, at),
            None => self.replies.done(request),
        }
    }

    /// A simple reply has no way to say that a later piece failed: then the connection ends.
    fn read_simply(&mut self, request: &Request) -> Result<()> {
        let head = simple_head(request, 0);
        for (at, len) in pieces(request) {
            let export = self.session.export;
            let is_first = at == request.offset;
            let head: &[u8] = if is_first { &head.0 } else { &[] };
            match self.replies.data(head, len, |data| export.read_exact_at(at, data))? {
                Ok(()) => {}
                Err(error) if is_first => return self.finish(request, Err(error)),
                Err(error) => return Err(error.context("in the middle of a simple reply")),
            }
        }
        Ok(())
    }

    /// Takes the data, and writes them unless there is a `fault`.
    fn write(&mut self, request: &Request, fault: Option<Failure>) -> Result<()> {
        if request.len > MAX_REQUEST {
            return Err(violation(format!("{:#x} bytes to write at once", request.len)));
        }
        let export = self.session.export;
        let mut result = Ok(());
        for (at, len) in pieces(request) {
            let data = self.replies.room(len);
            self.reader.read_exact(data).map_err(broken)?;
            if fault.is_none() && result.is_ok() {
                result = export.write_all_at(at, data);
            }
        }
        match fault {
            Some(fault) => self.replies.failed(request, &fault),
            None => self.finish(request, result),
        }
    }

    fn status(&mut self, request: &Request) -> Result<()> {
        let most = if request.has(flag::REQ_ONE) { 1 } else { MAX_DESCRIPTORS };
        let mut lookups = MAX_LOOKUPS;
        let mut descriptors = Vec::new();
        let mut failed = None;
        for run in runs(self.session.export, request.offset, request.end(), &mut lookups).take(most) {
            match run {
                Ok(run) => {
                    let state = if run.is_zero { HOLE_OF_ZEROS } else { 0 };
                    descriptors.push((len32(len_of(run.end - run.start)), state));
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // What is known is said; who asks for more hears of the error then.
            Some(error) if descriptors.is_empty() => self.fail_at(request, &error, request.offset),
            _ => self.replies.status(request, &descriptors),
        }
    }

    fn fail_at(&mut self, request: &Request, error: &Error, offset: u64) -> Result<()> {
        let failure = self.failure(error, request);
        self.replies.failed_at(request, &failure, offset)
    }

    fn failure(&self, error: &Error, request: &Request) -> Failure {
        let failure = Failure::of(error, request);
        // That zeros are not fast is an answer, no trouble.
        if failure.errno != crate::wire::errno::NOTSUP {
            (self.tell)(error);
        }
        failure
    }
}

/// The pieces of a request's range: offset and length.
fn pieces(request: &Request) -> impl Iterator<Item = (u64, usize)> + use<> {
    let (offset, len) = (request.offset, len_of(request.len.into()));
    (0..len).step_by(PIECE).map(move |done| (offset.saturating_add(done as u64), PIECE.min(len - done)))
}

/// A length that came from 32 bits.
fn len_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
