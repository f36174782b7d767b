//! Compressed grains: the marker before them, and the zlib stream behind it.

use crate::cache::Cache;
use crate::error::VmdkError;
use crate::layout::{GRAIN_MARKER_LEN, GrainMarker, SECTOR};
use crate::parse::parse_grain_marker;
use format_core::{Result, Storage};
use libdeflater::{DecompressionError, Decompressor};
use std::sync::Arc;

/// One compressed grain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grain {
    /// Its number on the disk.
    pub(crate) number: u64,
    /// Host offset of its marker.
    pub(crate) at: u64,
    /// Bytes of it that belong to the disk.
    pub(crate) used: u64,
}

/// What a thread needs while it inflates one grain after another.
pub(crate) struct Scratch {
    inflater: Decompressor,
    packed: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { inflater: Decompressor::new(), packed: Vec::new() }
    }

    /// Bytes of the last grain in the file, with its marker.
    pub(crate) fn packed_len(&self) -> u64 {
        self.packed.len() as u64
    }
}

/// Reader of the compressed grains of one extent.
pub(crate) struct StreamGrains {
    storage: Arc<dyn Storage>,
    grain_bytes: u64,
    cache: Arc<Cache>,
    /// The extent's number among those that share the cache.
    extent: u64,
}

impl StreamGrains {
    pub(crate) fn new(storage: Arc<dyn Storage>, grain_bytes: u64, cache: Arc<Cache>, extent: u64) -> Self {
        Self { storage, grain_bytes, cache, extent }
    }

    /// Fills `buf` with the grain's bytes from `inside` on; the caller keeps to the used part.
    pub(crate) fn read(
        &self,
        grain: Grain,
        inside: usize,
        buf: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let key = self.extent << 40 | grain.number;
        if buf.len() as u64 == self.grain_bytes {
            // A whole grain goes straight to where it is wanted; keeping it would only push others out.
            match self.cache.find(key) {
                Some(bytes) => return copy(&bytes, inside, buf, grain),
                None => return self.inflate(grain, buf, scratch).map(drop),
            }
        }
        let bytes = self.cache.get(key, || -> Result<_> {
            let mut bytes = vec![0; self.grain_bytes as usize];
            let len = self.inflate(grain, &mut bytes, scratch)?;
            bytes.truncate(len);
            Ok(bytes)
        })?;
        copy(&bytes, inside, buf, grain)
    }

    /// Inflates a grain into `out`, which is as long as a grain, and says how long it was.
    pub(crate) fn inflate(&self, grain: Grain, out: &mut [u8], scratch: &mut Scratch) -> Result<usize> {
        self.load(grain, &mut scratch.packed)?;
        let stream = scratch.packed.get(GRAIN_MARKER_LEN as usize..).unwrap_or_default();
        Ok(inflate(&mut scratch.inflater, grain, stream, out)?)
    }

    /// Reads marker and stream, and checks that the marker is this grain's.
    fn load(&self, grain: Grain, packed: &mut Vec<u8>) -> Result<()> {
        let (at, size) = (grain.at, self.storage.size());
        // Well compressed grains fit the sector that the marker is in: one read for those.
        packed.resize(size.saturating_sub(at).min(SECTOR) as usize, 0);
        self.storage.read_exact_at(at, packed)?;
        let marker = parse_grain_marker(packed, at)?;
        let expected = grain.number * (self.grain_bytes / SECTOR);
        if marker.lba != expected {
            return Err(VmdkError::GrainLba { at, found: marker.lba, expected }.into());
        }
        let len = GRAIN_MARKER_LEN + packed_len(marker, at, self.grain_bytes)?;
        if at.saturating_add(len) > size {
            return Err(VmdkError::Outside { what: "grain", start: at, len, size }.into());
        }
        let loaded = packed.len();
        packed.resize(len as usize, 0);
        match packed.get_mut(loaded..) {
            Some(rest) if !rest.is_empty() => self.storage.read_exact_at(at + loaded as u64, rest),
            _ => Ok(()),
        }
    }
}

/// Bytes of the zlib stream behind `marker`, if a grain can have so many.
pub(crate) fn packed_len(marker: GrainMarker, at: u64, grain_bytes: u64) -> Result<u64, VmdkError> {
    let most = grain_bytes * 2 + SECTOR;
    if marker.size == 0 || u64::from(marker.size) > most {
        return Err(VmdkError::GrainStreamSize { at, size: marker.size, most });
    }
    Ok(marker.size.into())
}

/// Inflates `stream` into `out`, which is as long as a grain, and says how long it was.
pub(crate) fn inflate(
    inflater: &mut Decompressor,
    grain: Grain,
    stream: &[u8],
    out: &mut [u8],
) -> Result<usize, VmdkError> {
    let (at, room) = (grain.at, out.len() as u64);
    let len = inflater.zlib_decompress(stream, out).map_err(|e| match e {
        DecompressionError::InsufficientSpace => VmdkError::GrainTooLong { at, grain: room },
        DecompressionError::BadData => VmdkError::GrainStream { at },
    })?;
    if (len as u64) < grain.used {
        return Err(VmdkError::GrainTooShort { at, found: len as u64, needed: grain.used });
    }
    Ok(len)
}

fn copy(bytes: &[u8], inside: usize, buf: &mut [u8], grain: Grain) -> Result<()> {
    let end = inside.saturating_add(buf.len());
    let from = bytes.get(inside..end).ok_or(VmdkError::GrainTooShort {
        at: grain.at,
        found: bytes.len() as u64,
        needed: end as u64,
    })?;
    buf.copy_from_slice(from);
    Ok(())
}
