//! The two ways of a connection, with limits on how long they block; and who makes connections.

use format_core::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A connection's two ways. What takes longer than a limit fails with `TimedOut`.
pub trait Transport: Send {
    /// Reads what is there, at least a byte, 0 at the end.
    ///
    /// # Errors
    /// `TimedOut`, and what the system reports.
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize>;

    /// Writes what there is room for, at least a byte.
    ///
    /// # Errors
    /// `TimedOut`, and what the system reports.
    fn write_within(&mut self, buf: &[u8], limit: Duration) -> io::Result<usize>;

    /// The same from several places; those behind the first that has bytes may be left for later.
    ///
    /// # Errors
    /// As [`Transport::write_within`].
    fn write_vectored_within(&mut self, bufs: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.write_within(first.map_or(&[], |buf| buf), limit)
    }
}

/// Makes connections to one server: the first, more of them where the server allows that, and new ones when one was lost.
pub trait Connector: Send + Sync {
    /// A new connection, within `limit`.
    ///
    /// # Errors
    /// `SourceMissing` and `Denied` where trying again helps nothing, else `Temporary`. No error has one of the system as its cause
    /// that tells of a disk.
    fn connect(&self, limit: Duration) -> Result<Box<dyn Transport>>;

    /// What messages call the server.
    fn name(&self) -> String;
}

/// A pair of descriptors: both ends of one socket, or two pipes.
pub struct Polled<R, W> {
    reader: R,
    writer: W,
    /// Kept as long as the connection.
    _keep: Option<Box<dyn Send>>,
}

impl<R: Read + AsFd + Send, W: Write + AsFd + Send> Polled<R, W> {
    /// Reads from `reader` and writes to `writer`; both stop blocking. `keep` is dropped after them.
    ///
    /// # Errors
    /// What the system reports.
    pub fn new(reader: R, writer: W, keep: Option<Box<dyn Send>>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Self { reader, writer, _keep: keep })
    }
}

impl<R: Read + AsFd + Send, W: Write + AsFd + Send> Transport for Polled<R, W> {
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let end = Instant::now().checked_add(limit);
        loop {
            match self.reader.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.reader.as_fd(), PollFlags::IN, end)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_within(&mut self, buf: &[u8], limit: Duration) -> io::Result<usize> {
        self.write_vectored_within(&[IoSlice::new(buf)], limit)
    }

    fn write_vectored_within(&mut self, bufs: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let end = Instant::now().checked_add(limit);
        loop {
            match self.writer.write_vectored(bufs) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.writer.as_fd(), PollFlags::OUT, end)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// Until the descriptor is ready, or `end`.
pub(crate) fn wait(fd: BorrowedFd<'_>, what: PollFlags, end: Option<Instant>) -> io::Result<()> {
    loop {
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        // The kernel's clock takes no more than this.
        let left = left.min(Duration::from_secs(1 << 20));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
