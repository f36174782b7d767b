//! An extent of grains: hosted sparse, COWD or seSparse.

use super::{ExtentFile, Shared};
use crate::grain_stream::{Grain, Scratch, StreamGrains};
use crate::tables::{Directory, Entry, Shape, Tables};
use format_core::{ExtentKind, HostRange, Result, Storage};
use std::sync::Arc;

/// A sparse extent of any kind.
pub(crate) struct GrainExtent {
    pub(crate) tables: Tables,
    pub(crate) stream: Option<StreamGrains>,
}

impl GrainExtent {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        shape: Shape,
        directory: Directory,
        shared: &mut Shared,
    ) -> Result<Self> {
        let number = shared.extents;
        shared.extents += 1;
        let stream = shape.is_compressed().then(|| {
            StreamGrains::new(Arc::clone(&storage), shape.grain_bytes, Arc::clone(&shared.grains), number)
        });
        let tables = Tables::new(storage, shape, directory, Arc::clone(&shared.tables), number)?;
        Ok(Self { tables, stream })
    }

    /// The grain that `offset` lies in, and how far inside.
    fn locate(&self, offset: u64) -> (u64, u64) {
        let grain_bytes = self.tables.shape.grain_bytes;
        (offset / grain_bytes, offset % grain_bytes)
    }

    /// Bytes from `inside` a grain to the end of that grain and the others of its run.
    fn run_bytes(&self, inside: u64, grains: u64) -> u64 {
        grains.saturating_mul(self.tables.shape.grain_bytes).saturating_sub(inside)
    }

    /// What lies at `offset` in one piece: zeros, plain bytes in host order, or a single compressed grain.
    fn piece(&self, offset: u64) -> Result<(Entry, u64)> {
        let (grain, inside) = self.locate(offset);
        let grain_bytes = self.tables.shape.grain_bytes;
        let run = self.tables.run(grain, |first, distance, next| match (first, next) {
            (Entry::At(start), Entry::At(at)) => {
                self.stream.is_none() && start.checked_add(distance * grain_bytes) == Some(at)
            }
            (first, next) => first == next,
        })?;
        Ok((run.entry, self.run_bytes(inside, run.grains)))
    }

    fn read_piece(
        &self,
        offset: u64,
        host: u64,
        buf: &mut [u8],
        scratch: &mut Option<Scratch>,
    ) -> Result<()> {
        let (number, inside) = self.locate(offset);
        match &self.stream {
            None => self.tables.storage.read_exact_at(host + inside, buf),
            Some(stream) => {
                let grain = Grain { number, at: host, used: self.tables.shape.used_bytes(number) };
                stream.read(grain, inside as usize, buf, scratch.get_or_insert_with(Scratch::new))
            }
        }
    }
}

impl ExtentFile for GrainExtent {
    fn kind_at(&self, offset: u64) -> Result<(ExtentKind, u64)> {
        let (grain, inside) = self.locate(offset);
        let run = self.tables.run(grain, |first, _, next| kind(first) == kind(next))?;
        Ok((kind(run.entry), self.run_bytes(inside, run.grains)))
    }

    fn read(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let (mut at, mut scratch) = (offset, None);
        while !buf.is_empty() {
            let (entry, len) = self.piece(at)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match entry {
                Entry::Absent | Entry::Zero => now.fill(0),
                Entry::At(host) => self.read_piece(at, host, now, &mut scratch)?,
            }
            buf = rest;
            at += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        if self.stream.is_some() {
            return None;
        }
        // An entry that cannot be read has no plain place; reading it reports why.
        let (entry, len) = self.piece(offset).ok()?;
        let (_, inside) = self.locate(offset);
        match entry {
            Entry::At(host) => {
                Some(HostRange { storage: Arc::clone(&self.tables.storage), offset: host + inside, len })
            }
            Entry::Absent | Entry::Zero => None,
        }
    }

    fn grain_bytes(&self) -> u64 {
        self.tables.shape.grain_bytes
    }

    fn is_compressed(&self) -> bool {
        self.stream.is_some()
    }
}

fn kind(entry: Entry) -> ExtentKind {
    match entry {
        Entry::Absent => ExtentKind::Unallocated,
        Entry::Zero => ExtentKind::Zero,
        Entry::At(_) => ExtentKind::Data,
    }
}
