//! Reading a file without leaving it in the page cache.
//!
//! A source is read once. Kept in the cache, a disk of a terabyte drives out everything that the host had there, and
//! finding room for its pages costs more than reading them. What was in the cache before is taken from there and stays.

use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// `RWF_DONTCACHE` of Linux 6.14 and later (include/uapi/linux/fs.h), which rustix does not name.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Shorter reads are of tables as a rule, and tables are read again.
const MIN_LEN: usize = 256 << 10;

/// Whether the host can do it: so until it says no.
#[derive(Debug, Default)]
pub(crate) struct UncachedReads {
    refused: AtomicBool,
}

impl UncachedReads {
    /// Fills `buf` from `offset`.
    pub(crate) fn read_exact_at(&self, file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let mut done = 0;
        while buf.len() - done >= MIN_LEN && !self.refused.load(Ordering::Relaxed) {
            let rest = IoSliceMut::new(&mut buf[done..]);
            match rustix::io::preadv2(file, &mut [rest], offset + done as u64, DONTCACHE) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    self.refused.store(true, Ordering::Relaxed);
                }
                Err(other) => return Err(other.into()),
            }
        }
        file.read_exact_at(&mut buf[done..], offset + done as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_length_reads_the_same_and_never_past_the_end() {
        let content: Vec<u8> = (0..3u32 << 18).map(|i| (i % 253) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        for refused in [false, true] {
            let reads = UncachedReads { refused: refused.into() };
            for (offset, len) in [(0, content.len()), (5, MIN_LEN), (4096, MIN_LEN + 7), (77, 100), (0, 0)] {
                let mut buf = vec![0; len];
                reads.read_exact_at(&file, &mut buf, offset as u64).unwrap();
                assert!(buf == content[offset..offset + len], "{offset} {len}");
            }
            let end = content.len() as u64;
            for (offset, len) in [(end - 10, MIN_LEN), (end, MIN_LEN), (end - 1, 2)] {
                assert!(reads.read_exact_at(&file, &mut vec![0; len], offset).is_err(), "{offset} {len}");
            }
        }
    }
}
