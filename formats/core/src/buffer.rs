//! Memory that the host can read into and write from without copying.

use std::ops::{Deref, DerefMut};

/// What offsets, lengths and memory are aligned to where the page cache is passed by: a page, which is at least the
/// logical block of every disk in use.
pub const DIRECT_ALIGNMENT: usize = 4096;

/// A fixed number of bytes that start at a multiple of [`DIRECT_ALIGNMENT`] in memory.
#[derive(Debug)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        // The vector is never grown, so its bytes stay where they are.
        let bytes = vec![0; if len == 0 { 0 } else { len + DIRECT_ALIGNMENT - 1 }];
        // Where the alignment is not to be had, transfers are copied, no more.
        let start = bytes.as_ptr().align_offset(DIRECT_ALIGNMENT).min(bytes.len() - len);
        Self { bytes, start, len }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_aligned_and_as_many_as_asked_for() {
        for len in [0, 1, 511, 4096, 4 << 20] {
            let mut buffer = AlignedBuffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            buffer.fill(7);
            assert!(buffer.iter().all(|&byte| byte == 7));
            if len > 0 {
                assert_eq!(buffer.as_ptr().align_offset(DIRECT_ALIGNMENT), 0, "{len}");
            }
        }
    }
}
