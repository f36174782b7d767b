//! What lies where on a disk: pieces of bytes, and blocks of partitions. The rest is zeros.

use crate::crypt::BlockName;
use crate::error::MrimgxError;
use crate::index::Elements;
use std::sync::Arc;

/// A part of the disk.
pub(crate) struct Region {
    /// Guest offset in bytes.
    pub(crate) start: u64,
    /// Bytes, never 0.
    pub(crate) len: u64,
    pub(crate) content: Content,
    /// What messages call it.
    pub(crate) what: String,
}

pub(crate) enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// Blocks of a partition.
    Blocks(Box<Blocks>),
}

/// Blocks of one size, one after the other.
pub(crate) struct Blocks {
    pub(crate) elements: Elements,
    /// Bytes of each but the last.
    pub(crate) block_size: u64,
    /// Disk and partition of start values.
    pub(crate) disk: i32,
    pub(crate) partition: i32,
    pub(crate) is_reserved: bool,
}

/// The parts of a disk, ascending and apart.
pub(crate) struct Map {
    pub(crate) size: u64,
    pub(crate) regions: Vec<Region>,
}

impl Blocks {
    pub(crate) fn name_of(&self, number: u64) -> BlockName {
        // An index counts its blocks with 32 bits.
        BlockName { disk: self.disk, partition: self.partition, block: number as u32 }
    }
}

impl Region {
    /// What messages call a block of it.
    pub(crate) fn block_text(&self, number: u64) -> String {
        format!("block {number} of {}", self.what)
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

impl Map {
    pub(crate) fn new(size: u64) -> Self {
        Self { size, regions: Vec::new() }
    }

    /// The region that holds the byte at `offset`, or where the next one starts.
    pub(crate) fn region_at(&self, offset: u64) -> Result<&Region, u64> {
        let next = self.regions.partition_point(|region| region.end() <= offset);
        match self.regions.get(next) {
            Some(region) if region.start <= offset => Ok(region),
            Some(region) => Err(region.start),
            None => Err(self.size),
        }
    }

    /// Adds a region, which must not lie on another.
    pub(crate) fn add(&mut self, region: Region) -> Result<(), MrimgxError> {
        let Region { start, len, ref what, .. } = region;
        let (length, what) = (len, what.clone());
        if start.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(MrimgxError::Outside { what, start, length, size: self.size });
        }
        if len == 0 {
            return Ok(());
        }
        let place = self.regions.partition_point(|other| other.end() <= start);
        if let Some(other) = self.regions.get(place).filter(|other| other.start < start + len) {
            return Err(MrimgxError::Overlap { what, start, length, other: other.what.clone() });
        }
        self.regions.insert(place, region);
        Ok(())
    }

    /// Adds bytes where no other region lies.
    pub(crate) fn fill(&mut self, start: u64, bytes: &[u8], what: &str) -> Result<(), MrimgxError> {
        let length = bytes.len() as u64;
        let outside = || MrimgxError::Outside { what: what.to_owned(), start, length, size: self.size };
        let end = start.checked_add(length).filter(|end| *end <= self.size).ok_or_else(outside)?;
        let mut at = start;
        while at < end {
            match self.region_at(at) {
                Ok(region) => at = region.end(),
                Err(next) => {
                    let stop = next.min(end);
                    let piece = &bytes[(at - start) as usize..(stop - start) as usize];
                    let content = Content::Bytes(piece.into());
                    self.add(Region { start: at, len: stop - at, content, what: what.to_owned() })?;
                    at = stop;
                }
            }
        }
        Ok(())
    }
}
