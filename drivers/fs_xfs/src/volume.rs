//! A volume behind a small read cache: metadata are read in pieces of some hundred bytes.

use driver_core::Volume;
use format_core::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes read from the volume at once.
const CHUNK: u64 = 32 << 10;
/// Chunks kept (8 MiB).
const CHUNKS: usize = 256;

/// A volume behind a cache.
pub(crate) struct CachedVolume {
    volume: Arc<dyn Volume>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    chunks: HashMap<u64, Vec<u8>>,
    /// Order in which chunks came in.
    order: VecDeque<u64>,
}

impl CachedVolume {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        Self { volume, cache: Mutex::default() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Metadata of `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.check_range(offset, len)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            let (number, inside) = (at / CHUNK, (at % CHUNK) as usize);
            let chunk = self.chunk(&mut cache, number)?;
            let part = chunk.get(inside..).unwrap_or_default();
            if part.is_empty() {
                return Err(Error::contract(format!("chunk {number:#x} of the volume is short")));
            }
            bytes.extend_from_slice(part.get(..len - bytes.len()).unwrap_or(part));
        }
        Ok(bytes)
    }

    /// Content of a file, past the cache.
    pub(crate) fn read_content(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len())?;
        self.volume.read_exact_at(offset, buf)
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(bytes.len() as u64);
        cache.chunks.retain(|number, _| number * CHUNK >= end || (number + 1) * CHUNK <= offset);
        let Cache { chunks, order } = &mut *cache;
        order.retain(|number| chunks.contains_key(number));
        self.volume.write_all_at(offset, bytes)
    }

    fn chunk<'a>(&self, cache: &'a mut Cache, number: u64) -> Result<&'a [u8]> {
        if !cache.chunks.contains_key(&number) {
            let start = number * CHUNK;
            let mut chunk = vec![0; self.size().saturating_sub(start).min(CHUNK) as usize];
            self.volume.read_exact_at(start, &mut chunk)?;
            if cache.order.len() >= CHUNKS
                && let Some(oldest) = cache.order.pop_front()
            {
                cache.chunks.remove(&oldest);
            }
            cache.order.push_back(number);
            cache.chunks.insert(number, chunk);
        }
        Ok(cache.chunks.get(&number).map(Vec::as_slice).unwrap_or_default())
    }

    fn check_range(&self, offset: u64, len: usize) -> Result<()> {
        let size = self.size();
        if offset.checked_add(len as u64).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "metadata point to {len:#x} bytes at {offset:#x}, the volume has {size:#x}"
        ))
        .in_format("xfs"))
    }
}

/// A volume and the superblock that tells what lies where on it.
pub(crate) struct Medium {
    pub(crate) volume: CachedVolume,
    pub(crate) sb: crate::superblock::Superblock,
}
