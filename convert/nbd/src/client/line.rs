//! What a connection is read from and written to: a transport under a clock, plain or inside TLS.

use super::transport::Transport;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Until when the present step has to be done, and the longest silence in it. A limit for each call alone would not stop a server
/// that sends a byte from time to time; and it lies below TLS, which reads as often as it likes.
pub(crate) struct Clock(Mutex<(Instant, Duration)>);

impl Clock {
    pub(crate) fn new(silence: Duration, whole: Duration) -> Arc<Self> {
        let clock = Self(Mutex::new((Instant::now(), silence)));
        clock.start(silence, whole);
        Arc::new(clock)
    }

    /// A step that starts now.
    pub(crate) fn start(&self, silence: Duration, whole: Duration) {
        let now = Instant::now();
        let end = now.checked_add(whole).unwrap_or_else(|| now + Duration::from_secs(1 << 31));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (end, silence);
    }

    /// Puts the end off by the time in which nobody waited for the other side.
    pub(crate) fn give(&self, time: Duration) {
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clock.0 = clock.0.checked_add(time).unwrap_or(clock.0);
    }

    fn left(&self) -> io::Result<Duration> {
        let (end, silence) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.saturating_duration_since(Instant::now()).min(silence);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A transport that keeps to a clock.
pub(crate) struct Paced {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) clock: Arc<Clock>,
}

impl Read for Paced {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.transport.read_within(buf, self.clock.left()?)
    }
}

impl Write for Paced {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transport.write_within(buf, self.clock.left()?)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.transport.write_vectored_within(bufs, self.clock.left()?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plain, or inside TLS. Nothing is read ahead here: what a stranger says before TLS never counts as said in it.
pub(crate) enum Line {
    Plain(Paced),
    Tls(Box<StreamOwned<ClientConnection, Paced>>),
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(line) => line.read(buf),
            Self::Tls(line) => line.read(buf),
        }
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(line) => line.write(buf),
            Self::Tls(line) => line.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(line) => line.write_vectored(bufs),
            Self::Tls(line) => line.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(line) => line.flush(),
            Self::Tls(line) => line.flush(),
        }
    }
}
