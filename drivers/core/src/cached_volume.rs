//! What lies between a file system's own reader and its library on one side and the volume on the other: a small read
//! cache, suppression of writes that change nothing, a bound on the library's reads, and changes that can be taken back.

use crate::volume::Volume;
use format_core::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read from the volume at once.
const CHUNK: u64 = 32 << 10;
/// Chunks kept (4 MiB).
const CHUNKS: usize = 128;
/// Chunks kept by all volumes together (64 MiB), as long as each keeps a few: a disk may hold hundreds of file systems.
const ALL_CHUNKS: usize = 2048;
const FEW_CHUNKS: usize = 8;
/// Those that are kept now.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// Chunks held back at most (64 MiB).
const MAX_PENDING: usize = 2048;
/// Bytes compared and written at once when held changes are let go: as much as an overlay keeps apart.
const PIECE: usize = 4096;

/// A volume behind a cache.
pub struct CachedVolume {
    volume: Arc<dyn Volume>,
    /// The file system's name, for errors.
    format: &'static str,
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
    /// A cache over `volume`, on which a file system of the kind `format` lies.
    #[must_use]
    pub fn new(volume: Arc<dyn Volume>, format: &'static str) -> Arc<Self> {
        Arc::new(Self { volume, format, state: Mutex::default() })
    }

    /// Size of the volume in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Allows the library at least `calls` reads or writes from here ([`CachedVolume::spend`]), and forgets why an
    /// earlier one failed. Metadata that runs in circles ends there.
    pub fn grant(&self, calls: u64) {
        let mut state = self.state();
        state.failure = None;
        if state.budget < calls {
            (state.budget, state.granted) = (calls, calls);
        }
    }

    /// Takes one read or write of the library from what was granted.
    ///
    /// # Errors
    /// `Limit` when nothing is left.
    pub fn spend(&self) -> Result<()> {
        let mut state = self.state();
        let left = state.budget.checked_sub(1);
        state.budget = left.ok_or_else(|| {
            let granted = state.granted;
            self.limit(format!("reading took more than {granted} reads; the metadata may run in circles"))
        })?;
        Ok(())
    }

    /// Keeps the first reason why something that the library asked for failed. Returns whether it went well.
    pub fn keep_failure(&self, result: Result<()>) -> bool {
        result.map_err(|error| self.state().failure.get_or_insert(error).kind()).is_ok()
    }

    /// Why the library's reads or writes failed.
    pub fn take_failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    /// From here on changes are held back, until [`CachedVolume::commit`] or [`CachedVolume::take_back`].
    pub fn hold(&self) {
        self.state().pending = Some(BTreeMap::new());
    }

    /// Writes what was held back.
    ///
    /// # Errors
    /// What the volume reports.
    pub fn commit(&self) -> Result<()> {
        let held = self.state().pending.take().unwrap_or_default();
        for (number, chunk) in held {
            for (offset, piece) in (number * CHUNK..).step_by(PIECE).zip(chunk.chunks(PIECE)) {
                self.write(offset, piece)?;
            }
        }
        Ok(())
    }

    /// Forgets what was held back. Returns whether there was anything.
    pub fn take_back(&self) -> bool {
        self.state().pending.take().is_some_and(|pending| !pending.is_empty())
    }

    /// Writes nothing from here on: an edit failed half-way, or the file system is closed.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `Corrupt` when the range leaves the volume, since it comes from the guest's metadata; what the volume reports.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
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
            if let (Some(to), Some(from)) = (rest.get_mut(..len), from.get(..len)) {
                to.copy_from_slice(from);
            }
            done += len;
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, or holds them back. What is there already is not written.
    ///
    /// # Errors
    /// As [`CachedVolume::read`]; `Limit` when too much is held back, `Contract` after [`CachedVolume::freeze`].
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
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
            return Err(Error::contract("a write after an edit that failed").in_format(self.format));
        }
        let State { chunks, pending, .. } = state;
        let chunk = match pending {
            None => {
                self.volume.write_all_at(number * CHUNK + inside.start as u64, part)?;
                chunks.get_mut(&number)
            }
            Some(pending) if pending.len() >= MAX_PENDING && !pending.contains_key(&number) => {
                let held = MAX_PENDING * CHUNK as usize;
                return Err(self.limit(format!("more than {held:#x} bytes of changes held back")));
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
            make_room(state);
            state.order.push_back(number);
            state.chunks.insert(number, chunk);
            KEPT.fetch_add(1, Ordering::Relaxed);
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
        Err(Error::corrupt(what).in_format(self.format))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self, what: String) -> Error {
        Error::new(ErrorKind::Limit, what).in_format(self.format)
    }
}

impl Drop for CachedVolume {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.state().order.len(), Ordering::Relaxed);
    }
}

/// Drops the oldest chunks, so that one more can be kept.
fn make_room(state: &mut State) {
    let is_full =
        |own: usize| own >= CHUNKS || (own >= FEW_CHUNKS && KEPT.load(Ordering::Relaxed) >= ALL_CHUNKS);
    while is_full(state.order.len())
        && let Some(oldest) = state.order.pop_front()
    {
        state.chunks.remove(&oldest);
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in memory that count the writes to them.
    struct Memory(Mutex<(Vec<u8>, u32)>);

    impl Memory {
        fn state(&self) -> (Vec<u8>, u32) {
            self.0.lock().unwrap().clone()
        }
    }

    impl Volume for Memory {
        fn size(&self) -> u64 {
            self.0.lock().unwrap().0.len() as u64
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let state = self.0.lock().unwrap();
            buf.copy_from_slice(&state.0[offset as usize..][..buf.len()]);
            Ok(())
        }

        fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
            let mut state = self.0.lock().unwrap();
            state.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            state.1 += 1;
            Ok(())
        }
    }

    /// More chunks than the cache keeps, the last one short.
    const SIZE: u64 = (CHUNKS as u64 + 4) * CHUNK + 100;

    fn volume() -> (Arc<Memory>, Arc<CachedVolume>) {
        let bytes = (0..SIZE).map(|at| (at / 512) as u8).collect();
        let memory = Arc::new(Memory(Mutex::new((bytes, 0))));
        (Arc::clone(&memory), CachedVolume::new(memory, "test"))
    }

    fn whole(cache: &CachedVolume, piece: usize) -> Vec<u8> {
        let mut all = vec![0; SIZE as usize];
        for (number, part) in all.chunks_mut(piece).enumerate() {
            cache.read((number * piece) as u64, part).unwrap();
        }
        all
    }

    #[test]
    fn what_was_written_is_read_in_pieces_of_any_length() {
        let (memory, cache) = volume();
        for at in [0, CHUNK - 3, 5 * CHUNK + 1, SIZE - 70_000] {
            cache.write(at, &[0xaa; 70_000]).unwrap();
        }
        for piece in [1000, 40_000, SIZE as usize] {
            assert!(whole(&cache, piece) == memory.state().0, "{piece}");
        }
    }

    #[test]
    fn the_same_bytes_are_not_written() {
        let (memory, cache) = volume();
        let all = whole(&cache, 9000);
        cache.write(0, &all).unwrap();
        assert_eq!(memory.state().1, 0);
        cache.write(CHUNK, &[0xbb]).unwrap();
        assert_eq!(memory.state().1, 1);
    }

    #[test]
    fn held_changes_are_seen_and_taken_back_or_let_go() {
        let (memory, cache) = volume();
        let before = memory.state();
        cache.hold();
        assert!(!cache.take_back(), "there was nothing");
        cache.hold();
        cache.write(CHUNK - 1, &[0xcc; 2]).unwrap();
        let changed = whole(&cache, SIZE as usize);
        assert_eq!(changed[CHUNK as usize - 1..][..2], [0xcc; 2]);
        assert!(cache.take_back());
        assert!(whole(&cache, 700) == before.0 && memory.state() == before);
        cache.hold();
        cache.write(CHUNK - 1, &[0xcc; 2]).unwrap();
        cache.commit().unwrap();
        assert!(memory.state() == (changed, 2), "one write in each chunk");
    }

    #[test]
    fn changes_that_are_held_back_have_a_bound() {
        struct Endless;
        impl Volume for Endless {
            fn size(&self) -> u64 {
                1 << 40
            }
            fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
                buf.fill(0);
                Ok(())
            }
            fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
                panic!("it is held back")
            }
        }
        let cache = CachedVolume::new(Arc::new(Endless), "test");
        cache.hold();
        (0..MAX_PENDING as u64).for_each(|number| cache.write(number * CHUNK, &[1]).unwrap());
        cache.write(9, &[1]).unwrap();
        assert_eq!(cache.write(1 << 39, &[1]).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn hundreds_of_volumes_share_what_is_kept() {
        let caches: Vec<_> = (0..100).map(|_| volume().1).collect();
        for cache in &caches {
            whole(cache, 1000);
        }
        let kept: usize = caches.iter().map(|cache| cache.state().order.len()).sum();
        assert!(kept <= ALL_CHUNKS + caches.len() * FEW_CHUNKS, "{kept}");
        for cache in &caches {
            let state = cache.state();
            assert_eq!(state.order.len(), state.chunks.len());
            assert!(state.order.len() >= FEW_CHUNKS);
        }
    }

    #[test]
    fn ranges_and_grants_and_the_end_are_kept() {
        let (memory, cache) = volume();
        for at in [SIZE, SIZE - 1, u64::MAX] {
            assert_eq!(cache.read(at, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(cache.write(at, &[0; 2]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        cache.grant(3);
        cache.grant(2);
        (0..3).for_each(|_| cache.spend().unwrap());
        let error = cache.spend().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(!cache.keep_failure(Err(error)) && !cache.keep_failure(Err(Error::usage("another"))));
        assert_eq!(cache.take_failure().unwrap().kind(), ErrorKind::Limit);
        assert!(cache.keep_failure(Ok(())) && cache.take_failure().is_none());
        cache.freeze();
        assert_eq!(cache.write(0, &[0xee]).unwrap_err().kind(), ErrorKind::Contract);
        assert_eq!(memory.state().1, 0);
    }
}
