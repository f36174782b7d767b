//! A target in memory.

use crate::{Error, ErrorKind, Result, TargetStorage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A target in memory, for tests and for measuring. Clones share the bytes.
#[derive(Clone, Debug, Default)]
pub struct MemTarget {
    state: Arc<Mutex<MemState>>,
    siblings: Arc<Mutex<BTreeMap<String, MemTarget>>>,
}

#[derive(Debug, Default)]
struct MemState {
    bytes: Vec<u8>,
    committed: bool,
    writes_left: Option<u64>,
}

impl MemTarget {
    /// A target whose write number `n` (counted from 0) and all later ones fail.
    #[must_use]
    pub fn failing_after(n: u64) -> Self {
        let target = Self::default();
        target.with(|state| state.writes_left = Some(n));
        target
    }

    /// The committed bytes of the image's other files, by name.
    #[must_use]
    pub fn committed_siblings(&self) -> BTreeMap<String, Vec<u8>> {
        let siblings = self.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        siblings.iter().filter_map(|(name, file)| Some((name.clone(), file.committed_bytes()?))).collect()
    }

    /// The bytes under the final name: `None` before the commit.
    #[must_use]
    pub fn committed_bytes(&self) -> Option<Vec<u8>> {
        self.with(|state| state.committed.then(|| state.bytes.clone()))
    }

    fn with<T>(&self, action: impl FnOnce(&mut MemState) -> T) -> T {
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemState {
    fn count_write(&mut self) -> Result<()> {
        match &mut self.writes_left {
            Some(0) => Err(Error::new(ErrorKind::Temporary, "no space left in the test target")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl TargetStorage for MemTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.with(|state| {
            state.count_write()?;
            let start = usize::try_from(offset).map_err(|_| Error::usage("offset too large for memory"))?;
            let end =
                start.checked_add(bytes.len()).ok_or_else(|| Error::usage("range too large for memory"))?;
            if state.bytes.len() < end {
                state.bytes.resize(end, 0);
            }
            state.bytes[start..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.with(|state| {
            state.count_write()?;
            state
                .bytes
                .resize(usize::try_from(len).map_err(|_| Error::usage("size too large for memory"))?, 0);
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        self.with(MemState::count_write)
    }

    fn name(&self) -> Option<&str> {
        Some("image")
    }

    fn sibling(&self, name: &str) -> Result<Box<dyn TargetStorage>> {
        self.with(MemState::count_write)?;
        let sibling = Self { siblings: Arc::clone(&self.siblings), ..Self::default() };
        sibling.with(|state| state.writes_left = self.with(|state| state.writes_left));
        self.siblings.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), sibling.clone());
        Ok(Box::new(sibling))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.with(|state| {
            state.count_write()?;
            state.committed = true;
            Ok(())
        })
    }
}
