//! Line 6 as the caller's duty: a sink that watches how it is used.

use crate::{Outcome, broken, first_difference, require};
use format_core::{Error, Needs, Order, Packed, Result, Sink};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A sink that keeps what it is given and notes each breach of its needs.
#[derive(Debug)]
pub struct Recorder {
    needs: Needs,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    mentioned: Vec<bool>,
    last_end: u64,
    breach: Option<String>,
}

impl Recorder {
    /// A recorder for a disk of `size` bytes that asks for `needs`.
    #[must_use]
    pub fn new(size: usize, needs: Needs) -> Self {
        let state = State { bytes: vec![0; size], mentioned: vec![false; size], last_end: 0, breach: None };
        Self { needs, state: Mutex::new(state) }
    }

    /// Checks that the caller kept to the needs and delivered `expected`.
    ///
    /// # Errors
    /// The violation of line 6.
    pub fn check(&self, expected: &[u8]) -> Outcome {
        let state = self.lock();
        if let Some(breach) = &state.breach {
            return Err(broken(6, breach.clone()));
        }
        let difference = first_difference(&state.bytes, expected);
        require(6, difference.is_none(), || format!("another byte than delivered at {difference:#x?}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, offset: u64, len: u64, content: Option<&[u8]>, alone: bool) -> Result<()> {
        let mut state = self.lock();
        let size = state.bytes.len() as u64;
        let chunk = self.needs.chunk_size;
        let end = offset.checked_add(len).filter(|&end| end <= size);
        let Some(end) = end else { return Err(Error::contract("outside the disk")) };
        let (from, to) = (offset as usize, end as usize);
        let ragged = !offset.is_multiple_of(chunk) || (!end.is_multiple_of(chunk) && end != size);
        let breach = if ragged {
            Some("is not in whole chunks")
        } else if self.needs.order == Order::Ascending && offset < state.last_end {
            Some("comes after a higher offset")
        } else if state.mentioned[from..to].contains(&true) {
            Some("was mentioned before")
        } else if self.needs.packed && alone && len > chunk {
            Some("was not packed alone")
        } else {
            None
        };
        if let (Some(breach), None) = (breach, &state.breach) {
            state.breach = Some(format!("{offset:#x}+{len:#x} {breach}"));
        }
        state.last_end = end;
        state.mentioned[from..to].fill(true);
        match content {
            Some(bytes) => state.bytes[from..to].copy_from_slice(bytes),
            None => state.bytes[from..to].fill(0),
        }
        Ok(())
    }
}

impl Sink for Recorder {
    fn needs(&self) -> Needs {
        self.needs
    }

    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Encoded { bytes: data.to_vec(), guest_len: data.len() as u64 })
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        match (&data, self.needs.packed) {
            (Packed::Plain(bytes), false) => self.note(offset, bytes.len() as u64, Some(bytes), true),
            (Packed::Encoded { bytes, guest_len }, true) => self.note(offset, *guest_len, Some(bytes), true),
            _ => Err(Error::contract("not in the form that was asked for")),
        }
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.note(offset, len, None, false)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
