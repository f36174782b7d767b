//! xz at any place: by the indexes of its streams, where they have more than one block.

use super::index::{self, HEADER_LEN, XzStream};
use super::{failed, memory_limit};
use crate::error::{PackedError, Result};
use crate::index::{Index, IndexBuilder, MAX_UNIT};
use crate::random::{self, Codec};
use format_core::{LayerContext, Storage};
use liblzma::stream::{Action, Stream, TELL_UNSUPPORTED_CHECK};
use std::sync::Arc;

struct Blocks {
    /// Where the blocks of each stream begin and end, and the header that goes before them.
    streams: Vec<(u64, u64, [u8; HEADER_LEN as usize])>,
    limit: u64,
}

/// The file at any place, where its blocks are small enough.
pub(crate) fn open(storage: &Arc<dyn Storage>, context: &LayerContext) -> Result<Option<Arc<dyn Storage>>> {
    let Some(streams) = index::streams(storage.as_ref())? else { return Ok(None) };
    let largest = streams.iter().flat_map(|stream| &stream.records).map(|record| record.unpacked).max();
    if largest.is_some_and(|largest| largest > MAX_UNIT) {
        return Ok(None);
    }
    let limit = memory_limit(&context.access);
    let (mut blocks, mut builder) = (Blocks { streams: Vec::new(), limit }, IndexBuilder::default());
    builder.single = true;
    for stream in &streams {
        if !add(stream, &mut builder, &mut blocks) {
            return Ok(None);
        }
    }
    let index: Index = builder.finish();
    random::open(super::NAME, storage, index, blocks)
}

fn add(stream: &XzStream, builder: &mut IndexBuilder, blocks: &mut Blocks) -> bool {
    let start = stream.start + HEADER_LEN;
    let mut at = start;
    for record in &stream.records {
        // A block that holds nothing would have to share a unit with its neighbour, and nobody writes one.
        if record.unpacked == 0 || !builder.add(at, record.padded(), record.unpacked) {
            return false;
        }
        at += record.padded();
    }
    blocks.streams.push((start, at, index::header(stream.flags)));
    true
}

impl Codec for Blocks {
    /// A block is unpacked as if it were the only one of its stream, so that the library compares all that there is.
    fn unpack(&self, packed: &[u8], host: u64, out: &mut [u8]) -> Result<()> {
        let after = self.streams.partition_point(|&(start, ..)| start <= host);
        let stream = after.checked_sub(1).and_then(|at| self.streams.get(at));
        let &(_, end, header) = stream.ok_or(PackedError::Empty)?;
        // The last block's unit reaches up to the next stream.
        let len = end.saturating_sub(host).min(packed.len() as u64) as usize;
        let block = packed.get(..len).unwrap_or_default();
        let wrong = |e: liblzma::stream::Error| failed(&e, host, self.limit.saturating_add(1), self.limit);
        let mut decoder = Stream::new_stream_decoder(self.limit, TELL_UNSUPPORTED_CHECK).map_err(wrong)?;
        decoder.process(&header, &mut [], Action::Run).map_err(wrong)?;
        decoder.process(block, out, Action::Run).map_err(wrong)?;
        if decoder.total_out() != out.len() as u64 {
            let (said, found) = (out.len() as u64, decoder.total_out());
            return Err(PackedError::Length { what: "the index", at: host, said, found });
        }
        // With the output full, the end of the block and its check may still be to come.
        let used = (decoder.total_in() - HEADER_LEN) as usize;
        let mut beyond = [0];
        if let Some(rest) = block.get(used..).filter(|rest| !rest.is_empty()) {
            decoder.process(rest, &mut beyond, Action::Run).map_err(wrong)?;
        }
        let (used, made) = (decoder.total_in() - HEADER_LEN, decoder.total_out());
        if used != len as u64 || made != out.len() as u64 {
            return Err(PackedError::Length { what: "the index", at: host, said: len as u64, found: used });
        }
        // The mark of an index, which nothing but the end of a block can be followed by.
        decoder.process(&[0], &mut beyond, Action::Run).map_err(wrong)?;
        if decoder.total_in() == HEADER_LEN + len as u64 + 1 && decoder.total_out() == out.len() as u64 {
            return Ok(());
        }
        Err(PackedError::Data { at: host, why: "the block does not end where the index says".into() })
    }
}

/// How many bytes the file holds.
pub(crate) fn size(storage: &dyn Storage) -> Option<u64> {
    let streams = index::streams(storage).ok()??;
    let mut records = streams.iter().flat_map(|stream| &stream.records);
    records.try_fold(0u64, |sum, record| sum.checked_add(record.unpacked))
}
