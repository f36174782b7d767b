//! Bytes that are read once, and the grains among them.

use crate::error::VmdkError;
use crate::grain_stream::{Grain, inflate, packed_len};
use crate::layout::{GrainMarker, SECTOR};
use crate::tables::Shape;
use format_core::{Error, Result, StreamChunk};
use libdeflater::Decompressor;
use std::io::{BufReader, ErrorKind, Read};

/// Bytes that are fetched at once.
const BUFFER: usize = 256 << 10;
/// Bytes that are read and dropped at once.
const DROP: usize = 64 << 10;

/// A reader that knows where it is.
pub(super) struct Forward {
    reader: BufReader<Box<dyn Read + Send>>,
    /// Offset of the next byte in the file.
    pub(super) at: u64,
    inflater: Decompressor,
    packed: Vec<u8>,
}

impl Forward {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        let reader = BufReader::with_capacity(BUFFER, reader);
        Self { reader, at: 0, inflater: Decompressor::new(), packed: Vec::new() }
    }

    /// Fills `buf` as far as there are bytes and says how many there were.
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("cannot read the stream", e).at(self.at)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// Fills `buf` with bytes of `what`.
    pub(super) fn fill_whole(&mut self, buf: &mut [u8], what: &'static str) -> Result<()> {
        if self.fill(buf)? < buf.len() {
            return Err(VmdkError::StreamCut { what }.into());
        }
        Ok(())
    }

    /// The next `len` bytes; memory is only taken for bytes that came.
    pub(super) fn read(&mut self, len: u64, what: &'static str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            let start = bytes.len();
            bytes.resize(start + (len - start as u64).min(1 << 20) as usize, 0);
            self.fill_whole(bytes.get_mut(start..).unwrap_or_default(), what)?;
        }
        Ok(bytes)
    }

    /// Drops bytes up to the file offset `to`, which is not behind.
    pub(super) fn skip_to(&mut self, to: u64, what: &'static str) -> Result<()> {
        let mut dropped = vec![0; DROP.min(usize::try_from(to.saturating_sub(self.at)).unwrap_or(DROP))];
        while self.at < to {
            let len = (to - self.at).min(dropped.len() as u64) as usize;
            self.fill_whole(dropped.get_mut(..len).unwrap_or_default(), what)?;
        }
        Ok(())
    }

    /// Inflates the grain whose `marker` is at the start of `sector`, the last sector that was read.
    pub(super) fn grain(
        &mut self,
        shape: &Shape,
        marker: GrainMarker,
        sector: &[u8],
        number: u64,
    ) -> Result<StreamChunk> {
        let at = self.at.saturating_sub(SECTOR);
        let len = packed_len(marker, at, shape.grain_bytes)? as usize;
        self.packed.clear();
        self.packed
            .extend_from_slice(sector.get(crate::layout::GRAIN_MARKER_LEN as usize..).unwrap_or_default());
        let here = self.packed.len();
        if len > here {
            // Grains end with their sector.
            let rest = (len - here).next_multiple_of(SECTOR as usize);
            let mut packed = std::mem::take(&mut self.packed);
            packed.resize(here + rest, 0);
            // The last one of a file may end with the file.
            let found = here + self.fill(packed.get_mut(here..).unwrap_or_default())?;
            self.packed = packed;
            if found < len {
                return Err(VmdkError::StreamCut { what: "a grain" }.into());
            }
        }
        let grain = Grain { number, at, used: shape.used_bytes(number) };
        let mut data = vec![0; shape.grain_bytes as usize];
        let stream = self.packed.get(..len).unwrap_or_default();
        inflate(&mut self.inflater, grain, stream, &mut data)?;
        data.truncate(grain.used as usize);
        Ok(StreamChunk { offset: number * shape.grain_bytes, data })
    }
}
