//! Small pieces of a file that lie close to each other, read in larger ones.

use crate::error::Result;
use format_core::Storage;

/// Headers of blocks that do not compress lie further apart, those of zeros are many in one.
const PART: u64 = 4096;

pub(crate) struct Window<'a> {
    storage: &'a dyn Storage,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, at: 0, bytes: Vec::new() }
    }

    /// The `len` bytes from `at`, fewer at the end of the file.
    pub(crate) fn up_to(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        let end = at.saturating_add(len as u64).min(self.storage.size());
        if at < self.at || end > self.at + self.bytes.len() as u64 {
            let part = self.storage.size().saturating_sub(at).min(PART.max(len as u64));
            self.bytes.resize(part as usize, 0);
            self.at = at;
            self.storage.read_exact_at(at, &mut self.bytes)?;
        }
        let range = (at - self.at) as usize..(end.max(at) - self.at) as usize;
        Ok(self.bytes.get(range).unwrap_or_default())
    }
}
