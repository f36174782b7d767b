//! Memory that is changed in place and can crash.

use crate::{Error, ErrorKind, Result, Storage, UpdateStorage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A file in memory, for tests: it fails after a number of writes, and tells what a power cut could leave. Clones share
/// the bytes.
#[derive(Clone, Debug, Default)]
pub struct MemInPlace {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// What was done since the last sync, in sectors.
    pending: Vec<Change>,
    writes: u64,
    fails_at: Option<u64>,
}

#[derive(Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

impl MemInPlace {
    /// A file that holds `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let state = State { durable: bytes.clone(), bytes, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Change number `n` (counted from 0, syncs too) and all later ones fail.
    #[must_use]
    pub fn failing_at(self, n: u64) -> Self {
        self.state().fails_at = Some(n);
        self
    }

    /// What is in it now.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// How many changes there were.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// What a power cut leaves now: all that was made durable, and of what was written since then those sectors that
    /// `survives` says.
    #[must_use]
    pub fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut bytes = state.durable.clone();
        for change in &state.pending {
            if survives() {
                change.apply(&mut bytes);
            }
        }
        bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<()> {
        let mut state = self.state();
        state.count()?;
        for change in changes {
            change.apply(&mut state.bytes);
            state.pending.push(change);
        }
        Ok(())
    }
}

impl State {
    fn count(&mut self) -> Result<()> {
        if self.fails_at.is_some_and(|at| self.writes >= at) {
            return Err(Error::new(ErrorKind::Temporary, "no space left in the test storage"));
        }
        self.writes += 1;
        Ok(())
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Len(len) => bytes.resize(*len, 0),
            Self::Bytes(at, new) => {
                let end = at + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(new);
            }
        }
    }
}

/// `bytes` in pieces that a disk writes at once.
fn sectors(offset: u64, bytes: &[u8]) -> Vec<Change> {
    let (mut at, mut rest, mut changes) = (offset as usize, bytes, Vec::new());
    while !rest.is_empty() {
        let (sector, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        changes.push(Change::Bytes(at, sector.to_vec()));
        (at, rest) = (at + sector.len(), behind);
    }
    changes
}

impl Storage for MemInPlace {
    fn size(&self) -> u64 {
        self.state().bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.state();
        let found = usize::try_from(offset).ok().and_then(|at| state.bytes.get(at..)?.get(..buf.len()));
        let found =
            found.ok_or_else(|| Error::corrupt("read behind the end of the test storage").at(offset))?;
        buf.copy_from_slice(found);
        Ok(())
    }
}

impl UpdateStorage for MemInPlace {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.change(sectors(offset, bytes))
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        let len = len.min(self.size().saturating_sub(offset));
        self.change(sectors(offset, &vec![0; len as usize]))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.change([Change::Len(len as usize)])
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        state.count()?;
        state.durable = state.bytes.clone();
        state.pending.clear();
        Ok(())
    }
}
