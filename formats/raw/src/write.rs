//! Writing a raw disk: into a file, where zeros are holes, onto a device, or into a pipe.

use crate::error::RawError;
use format_core::{
    CreateRequest, Error, HostRange, Needs, Order, Packed, Result, Sink, StateReader, StateWriter,
    TargetStorage,
};
use std::sync::{Mutex, PoisonError};

/// Holes are left at this granularity; the usual block of host file systems.
const CHUNK: u64 = 4096;

/// How many zeros are written at once.
const ZEROS: usize = 1 << 20;

struct RawSink {
    target: Box<dyn TargetStorage>,
    size: u64,
    /// Whether zeros are written as bytes, so that the file has all its room.
    full: bool,
    /// Where not every byte is zero that is not written: up to where all is written. Order is then ascending.
    done: Option<Mutex<u64>>,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let full = is_full(request)?;
    target.set_len(request.virtual_size)?;
    let ascending = full || target.is_sequential() || !target.is_blank();
    let done = ascending.then(Mutex::default);
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
    Ok(Box::new(RawSink { target, size: request.virtual_size, full: false, done: None }))
}

fn is_full(request: &CreateRequest) -> Result<bool> {
    Ok(match request.options.get("preallocation").map(String::as_str) {
        None | Some("off") => false,
        Some("full") => true,
        Some(found) => return Err(RawError::Preallocation { found: found.into() }.into()),
    })
}

impl RawSink {
    /// Does `action` for the range; where nothing may be left out, zeros what lies before it and was never mentioned.
    fn at(&self, offset: u64, len: u64, action: impl FnOnce() -> Result<()>) -> Result<()> {
        // Behind the disk a device may have what is not ours.
        let end = offset.checked_add(len).filter(|&end| end <= self.size);
        let end = end.ok_or_else(|| {
            Error::contract(format!("{len:#x} bytes at {offset:#x} leave a disk of {:#x} bytes", self.size))
        })?;
        let Some(done) = &self.done else { return action() };
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
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
        let order = if self.done.is_some() { Order::Ascending } else { Order::Any };
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
        // In order, a range that was shared in part would count as written.
        Ok(self.done.is_none() && inside && self.target.share(offset, source)?)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.at(offset, len, || self.zeros(offset, len))
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.done.is_none().then(|| StateWriter::default().number(self.size).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.at(self.size, 0, || Ok(()))?;
        if self.target.is_sequential() {
            // A pipe fills up to where it is written, also with nothing; its length is no length before the first byte.
            self.target.write_all_at(self.size, &[])?;
        }
        self.target.commit()
    }
}
