//! A raw disk that comes out of a pipe or a compressed file.

use crate::error::RawError;
use format_core::{ChunkStream, LayerContext, Result, StreamChunk, is_zero};
use std::io::Read;

/// Read at once.
const PART: usize = 1 << 20;
const SECTOR: u64 = 512;
/// Where the backup of a GPT header lies: UEFI specification 2.10, 5.3.2, table 5.5.
const ALTERNATE_LBA: usize = 32;

pub(crate) fn open(from: Box<dyn Read + Send>, context: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let size = context.stream_size.ok_or(RawError::SizeUnknown)?;
    Ok(Box::new(RawStream { from, at: 0, size }))
}

/// A GPT ends with the disk, unless that has grown since.
pub(crate) fn size_by_gpt(head: &[u8]) -> Option<u64> {
    let header = head.get(SECTOR as usize..2 * SECTOR as usize)?;
    let last: [u8; 8] = header.get(ALTERNATE_LBA..ALTERNATE_LBA + 8)?.try_into().ok()?;
    let last = u64::from_le_bytes(last);
    let size = last.checked_add(1)?.checked_mul(SECTOR)?;
    // The header at the end of a disk names the one at its start, and a disk with a table at both ends has more sectors.
    (header.starts_with(b"EFI PART") && last > 66 && size <= i64::MAX as u64).then_some(size)
}

struct RawStream {
    from: Box<dyn Read + Send>,
    at: u64,
    size: u64,
}

impl ChunkStream for RawStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        loop {
            let mut data = vec![0; PART];
            let len = fill(self.from.as_mut(), &mut data)?;
            data.truncate(len);
            let (offset, expected) = (self.at, self.size);
            let end = offset + len as u64;
            if end > expected {
                return Err(RawError::TooLong { expected, found: end }.into());
            }
            if len == 0 && end < expected {
                return Err(RawError::TooShort { expected, found: end }.into());
            }
            self.at = end;
            if len == 0 {
                return Ok(None);
            }
            if !is_zero(&data) {
                return Ok(Some(StreamChunk { offset, data }));
            }
        }
    }
}

/// Reads until `buf` is full or nothing is left.
fn fill(from: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match from.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(format_core::stream_error(e)),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::{DenyAll, ErrorKind};
    use std::sync::Arc;

    fn read(bytes: &[u8], size: Option<u64>) -> Result<Vec<(u64, usize)>> {
        let context = LayerContext { stream_size: size, ..LayerContext::new(Arc::new(DenyAll)) };
        let mut stream = open(Box::new(std::io::Cursor::new(bytes.to_vec())), &context)?;
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next_chunk()? {
            chunks.push((chunk.offset, chunk.data.len()));
        }
        Ok(chunks)
    }

    #[test]
    fn zeros_are_left_out_and_the_size_must_be_right() {
        let bytes = [vec![1; PART], vec![0; 2 * PART], vec![2; 100]].concat();
        let size = bytes.len() as u64;
        assert_eq!(read(&bytes, Some(size)).unwrap(), [(0, PART), (3 * PART as u64, 100)]);
        for wrong in [None, Some(size - 1), Some(size + 1), Some(0)] {
            assert_eq!(read(&bytes, wrong).unwrap_err().kind(), ErrorKind::Unsupported, "{wrong:?}");
        }
        assert_eq!(read(&[], Some(0)).unwrap(), []);
    }

    #[test]
    fn a_gpt_tells_where_its_disk_ends() {
        let mut head = vec![0; 1024];
        head[512..520].copy_from_slice(b"EFI PART");
        head[544..552].copy_from_slice(&2047u64.to_le_bytes());
        assert_eq!(size_by_gpt(&head), Some(1 << 20));
        head[544..552].fill(0xff);
        assert_eq!(size_by_gpt(&head), None);
        assert_eq!((size_by_gpt(&head[..1000]), size_by_gpt(&[0; 1024])), (None, None));
    }
}
