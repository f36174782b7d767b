//! Writing a raw disk: into a file, where zeros are holes, onto a device, or into a pipe.

use crate::error::RawError;
use format_core::{
    CreateRequest, Error, HostRange, Needs, Order, Packed, RangeSet, Result, Sink, StateReader, StateWriter,
    TargetStorage,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holes are left at this granularity; the usual block of host file systems.
const CHUNK: u64 = 4096;

/// How many zeros are written at once.
const ZEROS: usize = 1 << 20;

struct RawSink {
    target: Box<dyn TargetStorage>,
    size: u64,
    /// Whether zeros are written as bytes, so that the file has all its room.
    full: bool,
    done: Done,
}

/// What is remembered of the ranges that were written or zeroed.
enum Done {
    /// Nothing: what is never written reads as zeros.
    Unneeded,
    /// Up to where all is: bytes can only be added at the end, or shall be.
    UpTo(Mutex<u64>),
    /// Which ranges are: the target has old bytes everywhere else. They come in any order, so that servers and drives have several
    /// writes to do at a time.
    Ranges(Mutex<RangeSet>),
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let full = is_full(request)?;
    target.set_len(request.virtual_size)?;
    let done = match (full || target.is_sequential(), target.is_blank()) {
        (true, _) => Done::UpTo(Mutex::default()),
        (false, false) => Done::Ranges(Mutex::default()),
        (false, true) => Done::Unneeded,
    };
    Ok(Box::new(RawSink { target, size: request.virtual_size, full, done }))
}

/// The file is the disk: there is no state but how long it is.
pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let mut reader = StateReader::new(state);
    let size = reader.number_to(request.virtual_size)?;
    reader.end()?;
    target.resume_at(size)?;
    target.set_len(request.virtual_size)?;
    Ok(Box::new(RawSink { target, size: request.virtual_size, full: false, done: Done::Unneeded }))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_full(request: &CreateRequest) -> Result<bool> {
    Ok(match request.options.get("preallocation").map(String::as_str) {
        None | Some("off") => false,
        Some("full") => true,
        Some(found) => return Err(RawError::Preallocation { found: found.into() }.into()),
    })
}

impl RawSink {
    /// Does `action` for the range, and remembers it where nothing may be left out.
    fn at(&self, offset: u64, len: u64, action: impl FnOnce() -> Result<()>) -> Result<()> {
        // Behind the disk a device may have what is not ours.
        let end = offset.checked_add(len).filter(|&end| end <= self.size);
        let end = end.ok_or_else(|| {
            Error::contract(format!("{len:#x} bytes at {offset:#x} leave a disk of {:#x} bytes", self.size))
        })?;
        match &self.done {
            Done::Unneeded => action(),
            Done::UpTo(done) => self.in_order(&mut locked(done), offset, end, action),
            Done::Ranges(done) => {
                if locked(done).within(offset, end).next().is_some() {
                    return Err(Error::contract(format!(
                        "a part of {len:#x} bytes at {offset:#x} was written before"
                    )));
                }
                action()?;
                locked(done).add(offset, len);
                Ok(())
            }
        }
    }

    fn in_order(
        &self,
        done: &mut u64,
        offset: u64,
        end: u64,
        action: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let gap = offset.checked_sub(*done).ok_or_else(|| {
            Error::contract(format!("a raw disk is written up to {:#x} and was to be at {offset:#x}", *done))
        })?;
        if gap > 0 {
            self.zeros(*done, gap)?;
        }
        action()?;
        *done = end;
        Ok(())
    }

    /// Zeros what was never mentioned.
    fn fill_gaps(&self) -> Result<()> {
        match &self.done {
            Done::Unneeded => Ok(()),
            Done::UpTo(_) => self.at(self.size, 0, || Ok(())),
            Done::Ranges(done) => {
                let mut gaps = RangeSet::default();
                gaps.add(0, self.size);
                locked(done).iter().for_each(|(offset, len)| gaps.remove(offset, len));
                gaps.iter().try_for_each(|(offset, len)| self.zeros(offset, len))
            }
        }
    }

    fn zeros(&self, offset: u64, len: u64) -> Result<()> {
        if !self.full {
            return self.target.zero_range(offset, len);
        }
        let zeros = vec![0; len.min(ZEROS as u64) as usize];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(ZEROS as u64) as usize;
            self.target.write_all_at(offset + done, &zeros[..part])?;
            done += part as u64;
        }
        Ok(())
    }
}

impl Sink for RawSink {
    fn needs(&self) -> Needs {
        let order = if matches!(self.done, Done::UpTo(_)) { Order::Ascending } else { Order::Any };
        Needs { order, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        match data {
            Packed::Plain(bytes) => {
                self.at(offset, bytes.len() as u64, || self.target.write_all_at(offset, bytes))
            }
            Packed::Encoded { .. } => Err(Error::contract("raw images hold no encoded chunks")),
        }
    }

    fn share_at(&self, offset: u64, source: &HostRange) -> Result<bool> {
        let inside = offset.checked_add(source.len).is_some_and(|end| end <= self.size);
        // A range that was shared in part would count as written.
        Ok(matches!(self.done, Done::Unneeded) && inside && self.target.share(offset, source)?)
    }

    fn takes_pieces(&self) -> bool {
        matches!(self.done, Done::Unneeded) && self.target.gathers_writes()
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.at(offset, len, || self.zeros(offset, len))
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        Ok(matches!(self.done, Done::Unneeded).then(|| StateWriter::default().number(self.size).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.fill_gaps()?;
        if self.target.is_sequential() {
            // A pipe fills up to where it is written, also with nothing; its length is no length before the first byte.
            self.target.write_all_at(self.size, &[])?;
        }
        self.target.commit()
    }
}
