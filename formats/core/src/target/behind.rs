//! Writing a file by way of the page cache, and out of it again.
//!
//! What a conversion writes is not read again soon, and has to be on the disk before the image may get its name. Left to itself the kernel begins
//! late to write, and the cache is full of it by then. Writing past the cache (`O_DIRECT`) is no way out for files: where nothing is allocated yet,
//! ext4 lets in one such write at a time, and the disk waits between two of them. So each run is handed to the disk as soon as it is written, and
//! leaves the cache when it is there: the disk always has work, and the host keeps what it had in its cache.

use rustix::fs::{Advice, fadvise};
use std::collections::VecDeque;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Shorter runs are left to the kernel, which gathers them.
const MIN_RUN: u64 = 256 << 10;
/// Bytes that the disk has time for before they are to leave the cache.
const WINDOW: u64 = 64 << 20;
/// `TMPFS_MAGIC` of `linux/magic.h`. Such files have no other place.
const TMPFS: u64 = 0x0102_1994;

/// A file whose bytes go to the disk behind the writer.
#[derive(Debug)]
pub(super) struct BehindFile {
    file: File,
    /// `None` where there is no disk.
    under_way: Option<Mutex<UnderWay>>,
}

/// What the disk was given last.
#[derive(Debug, Default)]
struct UnderWay {
    runs: VecDeque<(u64, NonZeroU64)>,
    bytes: u64,
}

impl BehindFile {
    pub(super) fn new(file: File) -> Self {
        let is_in_memory = rustix::fs::fstatfs(&file).is_ok_and(|found| found.f_type as u64 == TMPFS);
        Self { file, under_way: (!is_in_memory).then(Mutex::default) }
    }

    /// The file, for everything but writing.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        if let (Some(under_way), Some(len)) = (&self.under_way, NonZeroU64::new(bytes.len() as u64))
            && len.get() >= MIN_RUN
        {
            self.advise(offset, Some(len));
            let old = under_way.lock().unwrap_or_else(PoisonError::into_inner).next((offset, len));
            old.into_iter().for_each(|(offset, len)| self.advise(offset, Some(len)));
        }
        Ok(())
    }

    /// Makes durable what was written. All of it leaves the cache: who verifies the file reads the disk.
    pub(super) fn sync_all(&self) -> std::io::Result<()> {
        self.file.sync_all()?;
        if let Some(under_way) = &self.under_way {
            *under_way.lock().unwrap_or_else(PoisonError::into_inner) = UnderWay::default();
            self.advise(0, None);
        }
        Ok(())
    }

    /// Begins to write what is dirty, and drops what is on the disk (posix_fadvise(2), `POSIX_FADV_DONTNEED`). It is a hint: nothing depends
    /// on it.
    fn advise(&self, offset: u64, len: Option<NonZeroU64>) {
        let _ = fadvise(&self.file, offset, len, Advice::DontNeed);
    }
}

impl UnderWay {
    /// Takes a run, and gives those that had their time.
    fn next(&mut self, run: (u64, NonZeroU64)) -> Vec<(u64, NonZeroU64)> {
        self.bytes += run.1.get();
        self.runs.push_back(run);
        let mut old = Vec::new();
        while self.bytes > WINDOW
            && let Some(run) = self.runs.pop_front()
        {
            self.bytes -= run.1.get();
            old.push(run);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_written_and_reads_back() {
        let memory: Vec<u8> = (0u32..2 << 20).map(|i| (i % 251) as u8).collect();
        let target = BehindFile::new(tempfile::tempfile().unwrap());
        let mut wanted = vec![0; 6 << 20];
        for (offset, from, len) in [
            (0, 0, 1 << 19),
            (1 << 20, 0, (1 << 20) - 5),
            ((2 << 20) + 512, 512, 300_000),
            ((2 << 20) + 512 + 300_000, 7, 70_000),
            (4 << 20, 1, (2 << 20) - 1),
            (4 << 20, 3, 100),
        ] {
            target.write_all_at(&memory[from..from + len], offset).unwrap();
            wanted[offset as usize..offset as usize + len].copy_from_slice(&memory[from..from + len]);
        }
        target.sync_all().unwrap();
        let mut found = vec![1; wanted.len()];
        target.file().set_len(wanted.len() as u64).unwrap();
        target.file().read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found.iter().zip(&wanted).position(|(a, b)| a != b), None);
    }

    #[test]
    fn runs_leave_in_their_order_when_later_ones_are_under_way() {
        let mut under_way = UnderWay::default();
        let run = |number: u64| (number * (20 << 20), NonZeroU64::new(20 << 20).unwrap());
        for number in 0..3 {
            assert_eq!(under_way.next(run(number)), []);
        }
        assert_eq!(under_way.next(run(3)), [run(0)]);
        assert_eq!(under_way.next((9 << 30, NonZeroU64::new(60 << 20).unwrap())), [run(1), run(2), run(3)]);
        assert_eq!(under_way.bytes, 60 << 20);
    }
}
