//! What lies between us and the library on one side and the volume on the other: a small read cache, suppression of
//! writes that change nothing, a bound on the library's reads, and changes that can be taken back.

use crate::error::NtfsError;
use driver_core::Volume;
use format_core::{Error, Result};
use ntfs3g_sys::{BlockIo, IoFailed};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read from the volume at once.
const CHUNK: u64 = 32 << 10;
/// Chunks kept (4 MiB).
const CHUNKS: usize = 128;
/// Chunks held back at most (64 MiB).
const MAX_PENDING: usize = 2048;

/// A volume behind a cache.
pub(crate) struct CachedVolume {
    volume: Arc<dyn Volume>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chunks: HashMap<u64, Vec<u8>>,
    /// Order in which chunks came in.
    order: VecDeque<u64>,
    /// Chunks as changed since [`CachedVolume::hold`], `None` when changes go straight through.
    pending: Option<BTreeMap<u64, Vec<u8>>>,
    failure: Option<Error>,
    /// Nothing is written any more: an edit failed half-way.
    frozen: bool,
    /// Reads left of `granted`.
    budget: u64,
    granted: u64,
}

impl CachedVolume {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Arc<Self> {
        Arc::new(Self { volume, state: Mutex::default() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Allows the library `reads` reads from here; after that they fail. Metadata that runs in circles ends there.
    pub(crate) fn grant(&self, reads: u64) {
        let mut state = self.state();
        (state.budget, state.granted) = (reads, reads);
    }

    /// Why the library's last read or write failed.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    /// From here on changes are held back, until [`CachedVolume::take_back`].
    pub(crate) fn hold(&self) {
        self.state().pending = Some(BTreeMap::new());
    }

    /// Forgets what was held back. Returns whether there was anything.
    pub(crate) fn take_back(&self) -> bool {
        self.state().pending.take().is_some_and(|pending| !pending.is_empty())
    }

    /// Writes nothing from here on.
    pub(crate) fn freeze(&self) {
        self.state().frozen = true;
    }

    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len())?;
        let mut state = self.state();
        if buf.len() as u64 >= CHUNK && state.pending.is_none() {
            // Writes go through to the volume, so a long read can pass the cache by.
            return self.volume.read_exact_at(offset, buf);
        }
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (number, inside) = (at / CHUNK, (at % CHUNK) as usize);
            let chunk = self.chunk(&mut state, number)?;
            let from = chunk.get(inside..).unwrap_or_default();
            let rest = buf.get_mut(done..).unwrap_or_default();
            let len = from.len().min(rest.len());
            if len == 0 {
                return Err(Error::contract(format!("chunk {number:#x} of the volume is short")));
            }
            rest.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            done += len;
        }
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        let mut state = self.state();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, inside) = (at / CHUNK, (at % CHUNK) as usize);
            let len = (CHUNK as usize - inside).min(bytes.len() - done);
            let part = bytes.get(done..done + len).unwrap_or_default();
            self.write_part(&mut state, number, inside, part)?;
            done += len;
        }
        Ok(())
    }

    /// Writes inside one chunk, unless the bytes are there already: the ranges that changed are then exactly those that
    /// the guest's content needs.
    fn write_part(&self, state: &mut State, number: u64, inside: usize, part: &[u8]) -> Result<()> {
        let inside = inside..inside + part.len();
        if self.chunk(state, number)?.get(inside.clone()) == Some(part) {
            return Ok(());
        }
        if state.frozen {
            return Err(Error::contract("a write after an edit that failed").in_format("ntfs"));
        }
        let State { chunks, pending, .. } = state;
        let chunk = match pending {
            None => {
                self.volume.write_all_at(number * CHUNK + inside.start as u64, part)?;
                chunks.get_mut(&number)
            }
            Some(pending) if pending.len() >= MAX_PENDING && !pending.contains_key(&number) => {
                return Err(NtfsError::PendingLimit(MAX_PENDING * CHUNK as usize).into());
            }
            Some(pending) => {
                let content = chunks.get(&number).cloned().unwrap_or_default();
                Some(pending.entry(number).or_insert(content))
            }
        };
        let place = chunk.and_then(|chunk| chunk.get_mut(inside));
        place.ok_or_else(|| Error::contract("a chunk of the volume is short"))?.copy_from_slice(part);
        Ok(())
    }

    /// The chunk as it is now. Afterwards it is in `pending` or in `chunks`.
    fn chunk<'a>(&self, state: &'a mut State, number: u64) -> Result<&'a [u8]> {
        let held = state.pending.as_ref().is_some_and(|pending| pending.contains_key(&number));
        if !held && !state.chunks.contains_key(&number) {
            let start = number * CHUNK;
            let mut chunk = vec![0; (self.size() - start).min(CHUNK) as usize];
            self.volume.read_exact_at(start, &mut chunk)?;
            if state.order.len() >= CHUNKS
                && let Some(oldest) = state.order.pop_front()
            {
                state.chunks.remove(&oldest);
            }
            state.order.push_back(number);
            state.chunks.insert(number, chunk);
        }
        let found = match &state.pending {
            Some(pending) if held => pending.get(&number),
            _ => state.chunks.get(&number),
        };
        Ok(found.map(Vec::as_slice).unwrap_or_default())
    }

    fn check_range(&self, offset: u64, len: usize) -> Result<()> {
        let size = self.size();
        if offset.checked_add(len as u64).is_some_and(|end| end <= size) {
            return Ok(());
        }
        let what = format!("metadata point to {len:#x} bytes at {offset:#x}, the volume has {size:#x}");
        Err(NtfsError::Structure(what).into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The library's view of a [`CachedVolume`].
pub(crate) struct LibraryIo(pub(crate) Arc<CachedVolume>);

impl LibraryIo {
    fn keep_reason(&self, result: Result<()>) -> Result<(), IoFailed> {
        result.map_err(|error| {
            self.0.state().failure.get_or_insert(error);
            IoFailed
        })
    }

    fn spend(&self) -> Result<()> {
        let mut state = self.0.state();
        let granted = state.granted;
        state.budget = state.budget.checked_sub(1).ok_or(NtfsError::Budget(granted))?;
        Ok(())
    }
}

impl BlockIo for LibraryIo {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), IoFailed> {
        self.keep_reason(self.spend().and_then(|()| self.0.read(offset, buf)))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailed> {
        self.keep_reason(self.spend().and_then(|()| self.0.write(offset, bytes)))
    }
}
