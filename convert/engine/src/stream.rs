//! Cuts what comes through a pipe into the work of the copy.

use crate::digest::BLOCK_SIZE;
use crate::planner::{Work, WorkKind, WorkSource};
use format_core::{ChunkStream, Error, Result, StreamChunk};

/// Hands out a stream's bytes block by block; what it skips are zeros.
pub(crate) struct StreamPlanner {
    stream: Box<dyn ChunkStream>,
    size: u64,
    at: u64,
    turn: u64,
    /// A chunk that was begun, what is left of it.
    rest: Option<StreamChunk>,
    ended: bool,
}

impl StreamPlanner {
    pub(crate) fn new(stream: Box<dyn ChunkStream>, size: u64) -> Self {
        Self { stream, size, at: 0, turn: 0, rest: None, ended: false }
    }

    /// The chunk that comes next, checked: a stream that goes back or too far would write a wrong disk.
    fn peek(&mut self) -> Result<Option<&StreamChunk>> {
        if self.rest.is_none() && !self.ended {
            let chunk = self.stream.next_chunk()?;
            self.ended = chunk.is_none();
            if let Some(StreamChunk { offset, data }) = &chunk {
                let end = offset.checked_add(data.len() as u64);
                if data.is_empty()
                    || *offset < self.at
                    || end.is_none_or(|end| end > self.stream.virtual_size())
                {
                    let (len, at) = (data.len(), self.at);
                    return Err(Error::contract(format!(
                        "a stream at {at:#x} gave {len:#x} bytes at {offset:#x}"
                    )));
                }
            }
            self.rest = chunk;
        }
        Ok(self.rest.as_ref())
    }

    fn block(&mut self, block: &mut [u8]) -> Result<WorkKind> {
        let (start, index) = (self.at, self.at / BLOCK_SIZE);
        let end = self.size.min(start + BLOCK_SIZE);
        block.fill(0);
        let mut data = Vec::new();
        while self.peek()?.is_some_and(|chunk| chunk.offset < end) {
            let Some(mut chunk) = self.rest.take() else { break };
            let inside = (end - chunk.offset).min(chunk.data.len() as u64) as usize;
            let from = (chunk.offset - start) as usize;
            block[from..from + inside].copy_from_slice(&chunk.data[..inside]);
            data.push((chunk.offset, inside as u64));
            self.at = chunk.offset + inside as u64;
            if inside < chunk.data.len() {
                chunk.data.drain(..inside);
                self.rest = Some(StreamChunk { offset: end, data: chunk.data });
            }
        }
        self.at = end;
        Ok(WorkKind::Block { index, data })
    }
}

impl WorkSource for StreamPlanner {
    fn next(&mut self, block: &mut [u8]) -> Result<Option<Work>> {
        let next = self.peek()?.map(|chunk| chunk.offset);
        if self.at >= self.size {
            return Ok(None);
        }
        let next = next.unwrap_or(self.size);
        let whole = if next >= self.size { self.size } else { next - next % BLOCK_SIZE };
        let kind = if whole > self.at {
            let (offset, len) = (self.at, whole - self.at);
            self.at = whole;
            WorkKind::Zeros { offset, len }
        } else {
            self.block(block)?
        };
        let turn = self.turn;
        self.turn += 1;
        Ok(Some(Work { turn, kind }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::digest_of_bytes;
    use crate::observer::{Control, Silent};
    use crate::pipeline::copy_stream;
    use format_core::{CreateRequest, ErrorKind, MemTarget};
    use std::sync::atomic::AtomicBool;

    struct Chunks(u64, std::vec::IntoIter<StreamChunk>);

    impl ChunkStream for Chunks {
        fn format(&self) -> &'static str {
            "chunks"
        }
        fn virtual_size(&self) -> u64 {
            self.0
        }
        fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
            Ok(self.1.next())
        }
    }

    fn copied(size: u64, chunks: &[(u64, usize)]) -> Result<Vec<u8>> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|&(offset, len)| StreamChunk {
                offset,
                data: (0..len).map(|i| (i % 250) as u8 + 1).collect(),
            })
            .collect();
        let mut expected = vec![0; size as usize];
        for chunk in &chunks {
            if let Some(place) =
                expected.get_mut(chunk.offset as usize..chunk.offset as usize + chunk.data.len())
            {
                place.copy_from_slice(&chunk.data);
            }
        }
        let target = MemTarget::default();
        let request = CreateRequest { virtual_size: size, ..CreateRequest::default() };
        let sink = format_raw::FORMAT.create.unwrap()(Box::new(target.clone()), &request)?;
        let interrupted = AtomicBool::new(false);
        let control = Control { observer: &Silent, interrupted: &interrupted, threads: 3 };
        let stream = Box::new(Chunks(size, chunks.into_iter()));
        let outcome = copy_stream(stream, size, sink.as_ref(), control)?;
        sink.finish()?;
        let bytes = target.committed_bytes().unwrap();
        assert!(bytes == expected, "the bytes differ");
        assert_eq!(outcome.blocks.digest()?, digest_of_bytes(&expected));
        Ok(bytes)
    }

    #[test]
    fn chunks_across_blocks_and_gaps_arrive() {
        let b = BLOCK_SIZE;
        copied(5 * b + 77, &[(100, 10), (b - 5, 10), (3 * b, 4 << 20), (5 * b + 70, 7)]).unwrap();
        copied(3 * b, &[]).unwrap();
        copied(100, &[(0, 100)]).unwrap();
    }

    #[test]
    fn a_stream_that_goes_back_or_too_far_writes_nothing() {
        for chunks in [[(50, 10), (40, 20)], [(0, 10), (95, 6)]] {
            assert_eq!(copied(100, &chunks).unwrap_err().kind(), ErrorKind::Contract);
        }
    }
}
