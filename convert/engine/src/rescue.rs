//! Reads a disk on a failing host device: what cannot be read becomes zeros, and is told.
//!
//! A read that fails is tried again in smaller and smaller pieces, down to a sector. What follows 128 bad sectors in a row
//! is not tried one by one: after each further bad sector a run is passed over, 64 KiB at first, then twice as much each
//! time, at most to the end of the range that was asked for. A sector that can be read ends that. After 256 bad
//! sectors in a row 32 places further on are tried, and where none of them can be read either, the device is taken for
//! gone: a run with zeros for all that remained would be no copy.

use crate::losses::Losses;
use format_core::{Disk, Error, ErrorKind, Extent, ExtentKind, Layer, Result};
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The largest piece in which a failed range is tried again.
const PIECE: u64 = 64 << 10;
/// Each smaller piece is this part of the one before.
const SMALLER: u64 = 8;
/// Bad sectors in a row until runs are passed over.
const PASS_OVER_AFTER: u32 = 128;
/// Bad sectors in a row until the device may be gone.
const GONE_AFTER: u32 = 256;
/// How many places are tried then. What was read before could still come from the host's memory.
const PROBES: u64 = 32;

/// How a failing disk is read.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The smallest piece that is read, in bytes: a power of two.
    pub sector: u64,
    /// How often a bad sector is read again at once before it is given up. `None`: it ends the run.
    pub retries: Option<u32>,
}

/// A disk on a failing device.
#[derive(Clone)]
pub struct Rescue(Arc<Rescued>);

struct Rescued {
    disk: Disk,
    patience: Patience,
    losses: Losses,
    interrupted: Arc<AtomicBool>,
    /// Whether anything was read at all.
    has_read: AtomicBool,
    /// Held while a failed range is read in pieces: heads that jump between workers would wear a failing disk.
    trouble: Mutex<Trouble>,
}

/// What went wrong last.
struct Trouble {
    bad_in_a_row: u32,
    pass_over: u64,
}

impl Trouble {
    const NONE: Self = Self { bad_in_a_row: 0, pass_over: PIECE };
}

impl Rescue {
    /// Reads `disk` with patience, until `interrupted` is set. Its damage stays an error: only what the host cannot read
    /// becomes zeros.
    #[must_use]
    pub fn new(disk: &Disk, patience: Patience, interrupted: Arc<AtomicBool>) -> Self {
        let patience = Patience { sector: patience.sector.next_power_of_two().clamp(512, PIECE), ..patience };
        Self(Arc::new(Rescued {
            disk: disk.clone(),
            patience,
            losses: Losses::default(),
            interrupted,
            has_read: AtomicBool::new(false),
            trouble: Mutex::new(Trouble::NONE),
        }))
    }

    /// The disk with zeros where it cannot be read.
    ///
    /// # Errors
    /// `Contract` never in practice.
    pub fn disk(&self) -> Result<Disk> {
        Disk::new(vec![Arc::clone(&self.0) as Arc<dyn Layer>])
    }

    /// What became zeros so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.0.losses.clone()
    }

    /// Gives up a range without trying it.
    ///
    /// # Errors
    /// `error` itself when there are too many.
    pub fn give_up(&self, offset: u64, len: u64, is_tried: bool, error: Error) -> Result<()> {
        self.0.losses.add(offset, len, is_tried, error)
    }
}

fn gone(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Io, reason)
        .context("the source does not answer any more")
        .hint("look at the device and its cables, then run the same command again")
}

/// Whether a place of the medium is bad, by what Linux says of block devices: through the page cache it is always EIO.
fn is_bad_sector(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<std::io::Error>().and_then(Errno::from_io_error) {
            return matches!(
                found,
                Errno::IO | Errno::NODATA | Errno::REMOTEIO | Errno::ILSEQ | Errno::TIMEDOUT
            );
        }
        cause = error.source();
    }
    false
}

impl Rescued {
    /// Whether zeros take the place of what this error is about.
    fn is_bearable(&self, error: &Error) -> bool {
        self.patience.retries.is_some() && is_bad_sector(error)
    }

    fn retries(&self) -> u32 {
        self.patience.retries.unwrap_or(0)
    }

    /// Whether nothing can be read from `offset` on, as far as a few places tell.
    fn is_gone_from(&self, offset: u64) -> bool {
        let left = self.disk.virtual_size() - offset;
        (1..=PROBES).all(|probe| {
            let place = u128::from(left) * u128::from(probe) / u128::from(PROBES + 1);
            let place = format_core::units::align_down(offset + place as u64, self.patience.sector);
            !self.answers_at(place).is_ok_and(|answers| answers)
        })
    }

    /// Whether the first data at or behind `place` can be read: a hole is no answer of the device.
    fn answers_at(&self, place: u64) -> Result<bool> {
        let mut extent = self.disk.extent_at(place)?;
        if extent.kind == ExtentKind::Zero && extent.end() < self.disk.virtual_size() {
            extent = self.disk.extent_at(extent.end())?;
        }
        if extent.kind != ExtentKind::Data {
            return Ok(false);
        }
        let mut sector = vec![0; self.patience.sector.min(extent.len) as usize];
        self.read(extent.offset, &mut sector).map(|()| true)
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.read_exact_at(offset, buf)?;
        self.has_read.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Reads a range that failed as a whole, piece by piece.
    fn read_in_pieces(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset + buf.len() as u64;
        let is_hopeless = trouble.bad_in_a_row >= PASS_OVER_AFTER;
        let mut piece = if is_hopeless { self.patience.sector } else { PIECE };
        let (mut at, mut last_error) = (offset, None);
        while at < end {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(crate::observer::interrupted());
            }
            let (is_lost, run) = self.losses.run_at(at);
            let stop = run.map_or(end, |run| end.min(at + run));
            let rest = &mut buf[(at - offset) as usize..];
            if is_lost {
                rest[..(stop - at) as usize].fill(0);
                at = stop;
                continue;
            }
            let len = (piece - at % piece).min(stop - at);
            let now = &mut rest[..len as usize];
            match self.read(at, now) {
                Ok(()) => {
                    *trouble = Trouble::NONE;
                    at += len;
                    // Not before the end of the larger piece: it would meet the bad sector again.
                    if at.is_multiple_of(piece * SMALLER) {
                        piece = (piece * SMALLER).min(PIECE);
                    }
                }
                Err(error) if !self.is_bearable(&error) => return Err(error),
                Err(_) if len > self.patience.sector => {
                    piece = (piece / SMALLER).max(self.patience.sector);
                }
                Err(error) => {
                    if self.read_again(at, now)? {
                        *trouble = Trouble::NONE;
                    } else {
                        last_error = Some(error.to_string());
                        self.lose(&mut trouble, at, len, stop, error)?;
                        now.fill(0);
                    }
                    at += len;
                }
            }
        }
        // A small device that is gone has not enough sectors for the count.
        match last_error.filter(|_| !self.has_read.load(Ordering::Relaxed)) {
            Some(reason) if end == self.disk.virtual_size() && self.is_gone_from(0) => Err(gone(reason)),
            _ => Ok(()),
        }
    }

    /// Tries one sector again, and gives it up. Tells whether it could be read at last.
    fn read_again(&self, at: u64, sector: &mut [u8]) -> Result<bool> {
        for _ in 0..self.retries() {
            match self.read(at, sector) {
                Err(error) if self.is_bearable(&error) => {}
                other => return other.map(|()| true),
            }
        }
        Ok(false)
    }

    /// Gives up `len` bytes, and a run up to `stop` at most where all before it is bad.
    fn lose(&self, trouble: &mut Trouble, at: u64, len: u64, stop: u64, error: Error) -> Result<()> {
        trouble.bad_in_a_row += 1;
        if trouble.bad_in_a_row >= GONE_AFTER {
            if self.is_gone_from(at) {
                return Err(gone(error.to_string()));
            }
            trouble.bad_in_a_row = PASS_OVER_AFTER;
        }
        let reason = error.to_string();
        self.losses.add(at, len, true, error)?;
        let run = trouble.pass_over.min(stop - at - len);
        if trouble.bad_in_a_row < PASS_OVER_AFTER || run == 0 {
            return Ok(());
        }
        trouble.pass_over = trouble.pass_over.saturating_mul(2);
        let why = Error::new(ErrorKind::Io, format!("passed over, all before it is bad: {reason}"));
        self.losses.add(at + len, run, false, why)
    }
}

impl Layer for Rescued {
    fn format(&self) -> &'static str {
        "rescue"
    }

    fn virtual_size(&self) -> u64 {
        self.disk.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (is_lost, run) = self.losses.run_at(offset);
        let clipped = |len: u64| run.map_or(len, |run| run.min(len));
        let left = self.disk.virtual_size().saturating_sub(offset);
        if is_lost && left > 0 {
            return Ok(Extent { offset, len: clipped(left), kind: ExtentKind::Zero });
        }
        let mut found = self.disk.extent_at(offset);
        for _ in 0..self.retries() {
            if found.as_ref().is_err_and(|e| self.is_bearable(e)) {
                found = self.disk.extent_at(offset);
            }
        }
        match found {
            Ok(extent) => Ok(Extent { len: clipped(extent.len), ..extent }),
            Err(error) if self.is_bearable(&error) => {
                // A table of the image cannot be read, and where its data are is lost with it.
                let len = clipped(left.min(PIECE - offset % PIECE));
                let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                self.lose(&mut trouble, offset, len, offset + len, error)?;
                Ok(Extent { offset, len, kind: ExtentKind::Zero })
            }
            Err(error) => Err(error),
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (is_lost, run) = self.losses.run_at(offset);
        if is_lost || run.is_some_and(|run| run < buf.len() as u64) {
            return self.read_in_pieces(offset, buf);
        }
        match self.read(offset, buf) {
            Err(error) if self.is_bearable(&error) => self.read_in_pieces(offset, buf),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
