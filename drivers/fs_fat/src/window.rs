//! A volume as the stream that `fatfs` wants: with a cache, because it reads two bytes at a time, and with a bound on
//! reads, because a chain of clusters may run in circles.

use driver_core::Volume;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE: u64 = 4096;
/// Pages kept (4 MiB).
const PAGES: usize = 1024;

pub(crate) struct Window {
    volume: Arc<dyn Volume>,
    size: u64,
    at: u64,
    pages: HashMap<u64, Vec<u8>>,
    /// Reads left, shared with the file system that grants them.
    budget: Arc<AtomicU64>,
}

impl Window {
    pub(crate) fn new(volume: Arc<dyn Volume>, size: u64, budget: Arc<AtomicU64>) -> Self {
        Self { volume, size, at: 0, pages: HashMap::new(), budget }
    }

    fn page(&mut self, number: u64) -> io::Result<&[u8]> {
        if !self.pages.contains_key(&number) {
            if self.pages.len() >= PAGES {
                self.pages.clear();
            }
            let start = number * PAGE;
            let mut page = vec![0; (self.size - start).min(PAGE) as usize];
            self.volume.read_exact_at(start, &mut page).map_err(io::Error::other)?;
            self.pages.insert(number, page);
        }
        Ok(self.pages.get(&number).map(Vec::as_slice).unwrap_or_default())
    }
}

impl Read for Window {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let spent =
            self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if spent.is_err() {
            return Err(io::Error::other("too many reads: a chain of clusters may run in a circle"));
        }
        if self.at >= self.size {
            return Ok(0);
        }
        let at = self.at;
        let page = self.page(at / PAGE)?;
        let from = page.get((at % PAGE) as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.at = target.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}

impl Write for Window {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "this file system is only read"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
