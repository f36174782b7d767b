//! A volume in memory.

use driver_core::Volume;
use format_core::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const PAGE: u64 = 4096;

/// Shared bytes with changes of their own, which count.
pub struct PatchedVolume {
    base: Arc<Vec<u8>>,
    size: u64,
    /// Pages as they are now, where that is not as in `base`.
    pages: Mutex<HashMap<u64, Vec<u8>>>,
    writes: Mutex<u64>,
}

impl PatchedVolume {
    pub fn new(base: &Arc<Vec<u8>>, changes: impl IntoIterator<Item = (u64, u8)>) -> Arc<Self> {
        Self::of_size(base, base.len() as u64, changes)
    }

    pub fn of_size(
        base: &Arc<Vec<u8>>,
        size: u64,
        changes: impl IntoIterator<Item = (u64, u8)>,
    ) -> Arc<Self> {
        let base = Arc::clone(base);
        let volume = Self { base, size, pages: Mutex::default(), writes: Mutex::new(0) };
        changes.into_iter().for_each(|(at, byte)| volume.change(at, &[byte]));
        Arc::new(volume)
    }

    pub fn writes(&self) -> u64 {
        *self.writes.lock().unwrap()
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = vec![0; self.size as usize];
        self.read_exact_at(0, &mut all).unwrap();
        all
    }

    /// The rest of a page from `at`, as in `base`; zeros behind its end.
    fn original(&self, at: u64, buf: &mut [u8]) {
        let from = self.base.get(at as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        buf[len..].fill(0);
    }

    fn change(&self, mut at: u64, mut bytes: &[u8]) {
        let mut pages = self.pages.lock().unwrap();
        while !bytes.is_empty() {
            let (number, inside) = (at / PAGE, (at % PAGE) as usize);
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE as usize - inside));
            let page = pages.entry(number).or_insert_with(|| {
                let mut page = vec![0; PAGE as usize];
                self.original(number * PAGE, &mut page);
                page
            });
            page[inside..inside + now.len()].copy_from_slice(now);
            (at, bytes) = (at + now.len() as u64, rest);
        }
    }
}

impl Volume for PatchedVolume {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset + buf.len() as u64 > self.size {
            return Err(Error::usage("beyond the end"));
        }
        let pages = self.pages.lock().unwrap();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let inside = (at % PAGE) as usize;
            let (now, more) = rest.split_at_mut(rest.len().min(PAGE as usize - inside));
            match pages.get(&(at / PAGE)) {
                Some(page) => now.copy_from_slice(&page[inside..inside + now.len()]),
                None => self.original(at, now),
            }
            (at, rest) = (at + now.len() as u64, more);
        }
        Ok(())
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(offset + bytes.len() as u64 <= self.size);
        *self.writes.lock().unwrap() += 1;
        self.change(offset, bytes);
        Ok(())
    }
}
