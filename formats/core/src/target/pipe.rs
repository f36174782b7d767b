//! A target that only grows: a pipe.

use crate::{Error, Result, TargetStorage};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// A pipe or another writer without positions. There is no final name: the reader at its other end has to notice by
/// our exit code that an image is not complete.
pub struct PipeTarget {
    state: Mutex<State>,
}

struct State {
    writer: Box<dyn Write + Send>,
    at: u64,
}

impl PipeTarget {
    /// Writes to `writer`.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { state: Mutex::new(State { writer, at: 0 }) }
    }

    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|e| Error::io("cannot write to the pipe", e).at(self.at))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn fill_to(&mut self, offset: u64) -> Result<()> {
        if offset < self.at {
            let at = self.at;
            return Err(Error::contract(format!(
                "a pipe is at {at:#x} and was to be written at {offset:#x}"
            )));
        }
        let zeros = [0; 64 << 10];
        while self.at < offset {
            let len = (offset - self.at).min(zeros.len() as u64) as usize;
            self.write(&zeros[..len])?;
        }
        Ok(())
    }
}

impl TargetStorage for PipeTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.with(|state| {
            state.fill_to(offset)?;
            state.write(bytes)
        })
    }

    /// Called before the first write it says nothing; at the end it fills up with zeros.
    fn set_len(&self, len: u64) -> Result<()> {
        self.with(|state| if state.at == 0 { Ok(()) } else { state.fill_to(len) })
    }

    fn sync(&self) -> Result<()> {
        self.with(|state| state.writer.flush().map_err(|e| Error::io("cannot write to the pipe", e)))
    }

    fn is_sequential(&self) -> bool {
        true
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn gaps_become_zeros_and_nothing_goes_back() {
        let out = Shared::default();
        let target = PipeTarget::new(Box::new(out.clone()));
        target.set_len(6).unwrap();
        target.write_all_at(2, b"ab").unwrap();
        assert_eq!(target.write_all_at(3, b"c").unwrap_err().kind(), ErrorKind::Contract);
        target.set_len(6).unwrap();
        Box::new(target).commit().unwrap();
        assert_eq!(*out.0.lock().unwrap(), b"\0\0ab\0\0");
    }
}
