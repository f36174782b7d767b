//! An export that a raw disk is written to, in place, as to a block device.

use super::address::NbdAddress;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::limits::ClientLimits;
use super::pool::Pool;
use super::transport::Connector;
use crate::wire::able;
use format_core::units::{align_down, align_up};
use format_core::{Error, ErrorKind, RangeSet, Result, TargetStorage, codes};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Zeros that a server is asked for at once; it may have to write them.
const ZEROS: u64 = 64 << 20;
/// Zeros that are sent at once to a server that has no command for them.
const SENT_ZEROS: u64 = 1 << 20;

/// An export of an NBD server that is overwritten. Nothing can be undone, and nothing is tried again: after a connection is lost, nobody
/// knows which of the writes since the last flush the server has kept.
pub struct NbdTarget {
    pool: Pool,
    is_lost: AtomicBool,
    /// The server says that it has no command for zeros, whatever it said before.
    sends_zeros: AtomicBool,
    /// Who reads a block to write a part of it is alone with that.
    partial: Mutex<()>,
    written: Arc<Mutex<RangeSet>>,
}

impl NbdTarget {
    /// Connects to an export that can be written.
    ///
    /// # Errors
    /// `Denied` when it is read-only, `Destination` when it is not there; else as [`super::NbdDisk::connect`].
    pub fn connect(address: &NbdAddress, limits: &ClientLimits) -> Result<Self> {
        Self::at(Endpoint::of(address, limits)?)
    }

    /// Connects to `export` by way of `connector`.
    ///
    /// # Errors
    /// As [`NbdTarget::connect`].
    pub fn over(connector: Arc<dyn Connector>, export: &str, limits: &ClientLimits) -> Result<Self> {
        Self::at(Endpoint { connector, export: export.to_owned(), tls: None, limits: *limits })
    }

    fn at(endpoint: Endpoint) -> Result<Self> {
        let pool = Pool::connect(endpoint, Vec::new()).map_err(|error| match error.kind() {
            ErrorKind::SourceMissing => {
                error.with_kind(ErrorKind::Destination).with_code(&codes::DESTINATION_MISSING)
            }
            _ => error,
        })?;
        if pool.facts.can(able::READ_ONLY) {
            let error = Error::new(ErrorKind::Denied, "the export is read-only").in_format("nbd");
            return Err(pool.endpoint.named(error.hint("start the server so that clients may write")));
        }
        let sends_zeros = AtomicBool::new(!pool.facts.can(able::SEND_WRITE_ZEROES));
        let (is_lost, partial) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { pool, is_lost, sends_zeros, partial, written: Arc::default() })
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pool.facts.size
    }

    /// What was written or zeroed so far; it goes on counting, and outlives the target.
    #[must_use]
    pub fn written(&self) -> Arc<Mutex<RangeSet>> {
        Arc::clone(&self.written)
    }

    fn note(&self, offset: u64, len: u64) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).add(offset, len);
    }

    /// What became of a job. Once a connection is lost, all is.
    fn judged(&self, done: Result<(), Fault>) -> Result<()> {
        done.map_err(|fault| {
            if !matches!(fault, Fault::Answer(_)) {
                self.is_lost.store(true, Ordering::SeqCst);
            }
            let error = match fault {
                Fault::Lost(error) => error
                    .with_kind(ErrorKind::Temporary)
                    .with_code(&codes::DESTINATION_GONE)
                    .context("what was written last may not be there")
                    .hint("see that the server runs, then write the whole disk again"),
                fault => fault.into_error(),
            };
            self.pool.endpoint.named(error)
        })
    }

    fn once(&self, mut job: impl FnMut(&mut Connection) -> Result<(), Fault>) -> Result<()> {
        self.still_there()?;
        self.judged(self.pool.once(&mut job))
    }

    fn still_there(&self) -> Result<()> {
        if !self.is_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        let text = "a connection was lost before, and what was written then may not be there";
        let error =
            Error::new(ErrorKind::Temporary, text).in_format("nbd").with_code(&codes::DESTINATION_GONE);
        Err(self.pool.endpoint.named(error.hint("write the whole disk again")))
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.size();
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        let text = format!("{len:#x} bytes to write at {offset:#x}, the export ends at {size:#x}");
        Err(Error::new(ErrorKind::Destination, text).in_format("nbd").with_code(&codes::DESTINATION_DEVICE))
    }

    /// A part of one block: the server takes whole ones.
    fn write_part(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let step = self.pool.facts.min_block;
        let start = align_down(offset, step);
        let inside = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let _alone = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut block = vec![0; usize::try_from(step).unwrap_or(0)];
        self.once(|connection| {
            connection.read(start, &mut block)?;
            if let Some(part) = block.get_mut(inside..inside + bytes.len()) {
                part.copy_from_slice(bytes);
            }
            connection.write(start, &block)
        })
    }

    /// Cuts a range into a part of a block, whole blocks, and a part of a block.
    fn cut(&self, offset: u64, len: u64) -> [u64; 3] {
        let (step, end) = (self.pool.facts.min_block, offset + len);
        let first = align_up(offset, step).unwrap_or(end).min(end);
        let last = align_down(end, step).max(first);
        [first - offset, last - first, end - last]
    }

    fn zero_blocks(&self, offset: u64, len: u64) -> Result<()> {
        let (mut at, end) = (offset, offset + len);
        while at < end && !self.sends_zeros.load(Ordering::Relaxed) {
            let part = (end - at).min(ZEROS);
            let mut refused = false;
            self.once(|connection| match connection.zero(at, part) {
                Err(Fault::Answer(error)) if is_no_command(&error) => {
                    refused = true;
                    Ok(())
                }
                other => other,
            })?;
            if refused {
                self.sends_zeros.store(true, Ordering::Relaxed);
            } else {
                at += part;
            }
        }
        if at < end {
            let zeros = vec![0; usize::try_from(SENT_ZEROS.min(end - at)).unwrap_or(0)];
            while at < end {
                let part = (end - at).min(SENT_ZEROS);
                let zeros = zeros.get(..usize::try_from(part).unwrap_or(0)).unwrap_or_default();
                self.once(|connection| connection.write(at, zeros))?;
                at += part;
            }
        }
        Ok(())
    }
}

/// Whether a refusal says that the command is none, or not for ranges of this length.
fn is_no_command(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    use rustix::io::Errno;
    cause
        .and_then(Errno::from_io_error)
        .is_some_and(|errno| matches!(errno, Errno::INVAL | Errno::OPNOTSUPP | Errno::OVERFLOW))
}

impl TargetStorage for NbdTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        self.check(offset, len)?;
        let mut at = offset;
        let mut rest = bytes;
        for (place, part) in self.cut(offset, len).into_iter().enumerate() {
            let (now, behind) = rest.split_at(usize::try_from(part).unwrap_or(usize::MAX).min(rest.len()));
            if !now.is_empty() {
                if place == 1 {
                    self.once(|connection| connection.write(at, now))?;
                } else {
                    self.write_part(at, now)?;
                }
            }
            (at, rest) = (at + part, behind);
        }
        self.note(offset, len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        if len <= self.size() {
            return Ok(());
        }
        let text = format!("the export has {} bytes, the image needs {len}", self.size());
        let error = Error::new(ErrorKind::Destination, text).in_format("nbd");
        Err(self.pool.endpoint.named(error.with_code(&codes::DESTINATION_DEVICE)))
    }

    fn sync(&self) -> Result<()> {
        self.still_there()?;
        // One does for all: without CAN_MULTI_CONN, by which a flush covers what was written over others, there is only one connection.
        self.judged(self.pool.once(&mut Connection::flush))?;
        // A write that another thread lost meanwhile is not covered.
        self.still_there()
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.check(offset, len)?;
        let [head, whole, tail] = self.cut(offset, len);
        for (at, part) in [(offset, head), (offset + head + whole, tail)] {
            if part > 0 {
                self.write_part(at, &vec![0; usize::try_from(part).unwrap_or(0)])?;
            }
        }
        self.zero_blocks(offset + head, whole)?;
        self.note(offset, len);
        Ok(())
    }

    fn is_blank(&self) -> bool {
        false
    }

    /// Flushes; the goodbye follows when the connections are dropped.
    fn commit(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
