//! Between places and streams: a storage read from its start, and a disk's bytes as a storage.

use crate::{Disk, Extent, Result, Storage};
use std::io::Read;
use std::sync::Arc;

/// Reads a storage from its start to its end.
pub struct StorageReader {
    storage: Arc<dyn Storage>,
    at: u64,
}

impl StorageReader {
    /// A reader at the start of `storage`.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, at: 0 }
    }

    /// A reader at `offset`.
    #[must_use]
    pub fn at(storage: Arc<dyn Storage>, offset: u64) -> Self {
        Self { storage, at: offset }
    }
}

impl Read for StorageReader {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.storage.size().saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.storage.read_exact_at(self.at, &mut buf[..len]).map_err(std::io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// A disk's bytes as a storage: parts put together, an image inside an image.
pub struct DiskStorage(pub Disk);

impl Storage for DiskStorage {
    fn size(&self) -> u64 {
        self.0.virtual_size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size()) {
            let text =
                format!("{:#x} bytes wanted at {offset:#x}, the data end at {:#x}", buf.len(), self.size());
            return Err(crate::Error::corrupt(text).at(offset));
        }
        self.0.read_exact_at(offset, buf)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        self.0.extent_at(offset)
    }
}

/// A part of a storage: a member of an archive.
pub struct WindowStorage {
    storage: Arc<dyn Storage>,
    start: u64,
    len: u64,
}

impl WindowStorage {
    /// The `len` bytes of `storage` from `start`.
    ///
    /// # Errors
    /// `Corrupt` when they leave the storage.
    pub fn new(storage: Arc<dyn Storage>, start: u64, len: u64) -> Result<Self> {
        if start.checked_add(len).is_none_or(|end| end > storage.size()) {
            let text = format!("{len:#x} bytes wanted at {start:#x}, the file ends at {:#x}", storage.size());
            return Err(crate::Error::corrupt(text).at(start));
        }
        Ok(Self { storage, start, len })
    }
}

impl Storage for WindowStorage {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            let text =
                format!("{:#x} bytes wanted at {offset:#x}, the data end at {:#x}", buf.len(), self.len);
            return Err(crate::Error::corrupt(text).at(offset));
        }
        self.storage.read_exact_at(self.start + offset, buf)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.len {
            return Err(crate::Error::usage(format!(
                "extent asked for at {offset:#x} of {:#x} bytes",
                self.len
            )));
        }
        let found = self.storage.data_at(self.start + offset)?;
        Ok(Extent { offset, len: found.len.min(self.len - offset), ..found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStorage;

    #[test]
    fn windows_and_readers_see_their_bytes_and_no_more() {
        let storage: Arc<dyn Storage> = Arc::new(MemStorage((0..100).collect()));
        let window = Arc::new(WindowStorage::new(Arc::clone(&storage), 10, 20).unwrap());
        let mut bytes = Vec::new();
        StorageReader::new(window.clone()).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, (10..30).collect::<Vec<u8>>());
        assert!(window.read_exact_at(15, &mut [0; 6]).is_err());
        assert_eq!(window.data_at(5).unwrap().len, 15);
        assert!(window.data_at(20).is_err());
        assert!(WindowStorage::new(Arc::clone(&storage), 90, 11).is_err());
        assert!(WindowStorage::new(storage, u64::MAX, 2).is_err());
    }
}
