//! The host's end of the channel, with a time limit on all that is waited for.

use microvm_init::{
    Answer, Failure, Frame, Listed, Reply, Request, WireError, read_frame, write_data, write_message,
};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What is sent at once.
const PIECE: usize = 64 << 10;
/// How much content one answer may have.
const MAX_ANSWER: u64 = 4 << 30;
/// How many names one answer may have: what the VM lists at most.
const MAX_NAMES: usize = 1 << 20;

/// A channel to a VM.
pub(crate) struct Channel(UnixStream);

/// The end of a request and all that came before it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) content: Vec<u8>,
    pub(crate) listed: Vec<Listed>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The VM could not do it, and goes on.
    Failed(Failure),
    /// The VM did not answer in time.
    Late,
    /// The channel ended, or what came is no answer.
    Ended(WireError),
}

/// The stream until a point in time.
struct Until<'a> {
    stream: &'a UnixStream,
    end: Instant,
}

impl Until<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let mut stream = self.stream;
        stream.read(buf)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        let mut stream = self.stream;
        stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Says something that is not answered.
    pub(crate) fn tell(&self, request: &Request, limit: Duration) -> Result<(), WireError> {
        let mut until = Until { stream: &self.0, end: Instant::now() + limit };
        write_message(&mut until, request)
    }

    /// Asks, with `content` behind the request, and waits for the end of the answer. More content than `most` bytes is an error.
    pub(crate) fn ask(
        &self,
        request: &Request,
        content: &[u8],
        most: u64,
        limit: Duration,
    ) -> Result<Answered, NoAnswer> {
        let mut until = Until { stream: &self.0, end: Instant::now() + limit };
        self.converse(&mut until, request, content, most.min(MAX_ANSWER)).unwrap_or_else(|error| {
            Err(match error {
                WireError::Io(error)
                    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
                {
                    NoAnswer::Late
                }
                error => NoAnswer::Ended(error),
            })
        })
    }

    fn converse(
        &self,
        until: &mut Until<'_>,
        request: &Request,
        content: &[u8],
        most: u64,
    ) -> Result<Result<Answered, NoAnswer>, WireError> {
        write_message(until, request)?;
        for piece in content.chunks(PIECE) {
            write_data(until, piece)?;
        }
        let mut answered = Answered { reply: Reply::Done, content: Vec::new(), listed: Vec::new() };
        loop {
            let frame = read_frame(until)?;
            if let Frame::Data(bytes) = &frame {
                if answered.content.len() as u64 + bytes.len() as u64 > most {
                    return Err(WireError::Broken("more content than was asked for"));
                }
                answered.content.extend_from_slice(bytes);
                continue;
            }
            match frame.message()? {
                Answer::Listed(listed) => answered.listed.extend(listed),
                Answer::Failed(failure) => return Ok(Err(NoAnswer::Failed(failure))),
                Answer::Done(reply) => {
                    answered.reply = reply;
                    return Ok(Ok(answered));
                }
            }
            if answered.listed.len() > MAX_NAMES {
                return Err(WireError::Broken("more names than a folder may have"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_vm_is_late_and_a_lying_one_is_cut_off() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours);
        let limit = Duration::from_millis(50);
        assert!(matches!(channel.ask(&Request::Hello, &[], 0, limit), Err(NoAnswer::Late)));
        write_data(&mut theirs, &[0; 11]).unwrap();
        assert!(matches!(channel.ask(&Request::Hello, &[], 10, limit), Err(NoAnswer::Ended(_))));
        drop(theirs);
        assert!(matches!(channel.ask(&Request::Hello, &[], 10, limit), Err(NoAnswer::Ended(_))));
    }
}
