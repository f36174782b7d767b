//! Writing to a device past the page cache.
//!
//! What a conversion writes is not read again soon. Through the page cache it costs a copy and a page for every 4 KiB, drives out what the host
//! needs, and has to be written all the same before the copy is done.

use crate::DIRECT_ALIGNMENT;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// Shorter runs go through the page cache, which gathers them.
const MIN_RUN: usize = 64 << 10;

/// A device, written past the page cache where that is possible and worth it.
#[derive(Debug)]
pub(super) struct DirectFile {
    buffered: File,
    /// The same file, opened for direct transfers.
    direct: Option<File>,
    /// The host refused a transfer that should have been possible: not tried again.
    refused: AtomicBool,
}

impl DirectFile {
    pub(super) fn new(file: File) -> Self {
        Self { direct: open_direct(&file), buffered: file, refused: AtomicBool::new(false) }
    }

    /// The file, for everything but writing.
    pub(super) fn file(&self) -> &File {
        &self.buffered
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let direct = self.direct.as_ref().filter(|_| !self.refused.load(Ordering::Relaxed));
        let (Some(direct), Some(run)) = (direct, aligned_run(bytes, offset)) else {
            return self.buffered.write_all_at(bytes, offset);
        };
        let (before, rest) = bytes.split_at(run.start);
        let (whole, after) = rest.split_at(run.len());
        let at = offset + run.start as u64;
        let done = self.write_run(direct, whole, at)?;
        // What is left of the run is behind a transfer that was cut short, or all of it where the host refused.
        self.buffered.write_all_at(&whole[done..], at + done as u64)?;
        self.buffered.write_all_at(before, offset)?;
        self.buffered.write_all_at(after, at + whole.len() as u64)
    }

    /// Writes as much as goes directly, and tells how much that was.
    fn write_run(&self, direct: &File, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match direct.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => {}
                    Some(Errno::INVAL | Errno::OPNOTSUPP) => {
                        self.refused.store(done == 0, Ordering::Relaxed);
                        break;
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(done)
    }
}

/// By number, since the name may belong to another file by now. Without /proc, or on a file system without direct transfers, all goes
/// through the page cache.
fn open_direct(file: &File) -> Option<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::DIRECT.bits() as i32);
    options.open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// The part of `bytes` that is aligned in the file and in memory, if it is long enough.
fn aligned_run(bytes: &[u8], offset: u64) -> Option<std::ops::Range<usize>> {
    let start = (offset.next_multiple_of(DIRECT_ALIGNMENT as u64) - offset) as usize;
    let len = bytes.len().checked_sub(start)? / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
    let is_aligned = bytes[start..].as_ptr().align_offset(DIRECT_ALIGNMENT) == 0;
    (is_aligned && len >= MIN_RUN).then_some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlignedBuffer;

    #[test]
    fn every_alignment_writes_the_same_bytes() {
        let mut memory = AlignedBuffer::zeroed(1 << 20);
        memory.iter_mut().zip(0u32..).for_each(|(byte, i)| *byte = (i % 251) as u8);
        let file = tempfile::tempfile().unwrap();
        let target = DirectFile::new(file);
        let mut wanted = vec![0; 3 << 20];
        for (offset, from, len) in [
            (0, 0, 1 << 19),
            (1 << 20, 0, (1 << 20) - 5),
            ((2 << 20) + 512, 512, 300_000),
            ((2 << 20) + 512 + 300_000, 7, 70_000),
            ((2 << 20) + 512 + 370_000, 0, 100),
        ] {
            target.write_all_at(&memory[from..from + len], offset).unwrap();
            wanted[offset as usize..offset as usize + len].copy_from_slice(&memory[from..from + len]);
        }
        let mut found = vec![1; wanted.len()];
        target.file().set_len(wanted.len() as u64).unwrap();
        target.file().read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found.iter().zip(&wanted).position(|(a, b)| a != b), None);
    }

    #[test]
    fn only_long_aligned_runs_are_direct() {
        let memory = AlignedBuffer::zeroed(1 << 20);
        assert_eq!(aligned_run(&memory, 8192), Some(0..1 << 20));
        assert_eq!(aligned_run(&memory[512..], 512), Some(3584..(1 << 20) - 512));
        assert_eq!(aligned_run(&memory[512..], 0), None, "the memory is not aligned where the file is");
        assert_eq!(aligned_run(&memory[..MIN_RUN - 1], 0), None);
        assert_eq!(aligned_run(&memory[..100], 1), None);
    }
}
