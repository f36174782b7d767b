//! The socket of a connection, with limits on how long it may block.

use format_core::{Error, Result};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connected socket.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// How long one read or write may block.
    pub(crate) fn set_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Unix(s) => s.set_read_timeout(Some(limit)).and_then(|()| s.set_write_timeout(Some(limit))),
            Self::Tcp(s) => s.set_read_timeout(Some(limit)).and_then(|()| s.set_write_timeout(Some(limit))),
        }
    }

    /// Ends what waits for this socket, in any thread. It may be closed already.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

/// A socket that is read and written within the limits of a [`Pace`].
pub(crate) struct Paced<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) pace: &'a Pace,
}

/// How long a connection may take.
pub(crate) struct Pace {
    /// The end of the handshake, until there is none any more.
    deadline: Cell<Option<Instant>>,
    /// The longest silence in it.
    silence: Duration,
}

impl Pace {
    /// For a handshake that starts now.
    pub(crate) fn of_handshake(limit: Duration, silence: Duration) -> Self {
        Self { deadline: Cell::new(Instant::now().checked_add(limit)), silence }
    }

    /// The handshake is over: from now on, nothing may block for longer than `limit`.
    pub(crate) fn relax(&self, stream: &Stream, limit: Duration) -> Result<()> {
        self.deadline.set(None);
        stream.set_timeout(limit).map_err(|e| Error::io("cannot set the limits of a connection", e))
    }
}

impl Paced<'_> {
    /// A limit for each call would not stop a peer that sends a byte from time to time.
    fn hurry(&self) -> io::Result<()> {
        let Some(deadline) = self.pace.deadline.get() else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now()).min(self.pace.silence);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { self.stream.set_timeout(left) }
    }
}

impl Read for Paced<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.hurry()?;
        match self.stream {
            Stream::Unix(stream) => (&*stream).read(buf),
            Stream::Tcp(stream) => (&*stream).read(buf),
        }
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.hurry()?;
        match self.stream {
            Stream::Unix(stream) => (&*stream).write(buf),
            Stream::Tcp(stream) => (&*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
