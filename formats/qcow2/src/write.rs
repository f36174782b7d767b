//! Writing a qcow2 image.
//!
//! ```text
//!  header · L1 · (L2 tables, data, refcount blocks as they come) · refcount table
//! ```
//!
//! A write takes new clusters under a short lock, then puts the data there and the L2 entries into their table
//! without one. So memory is the L1 table and a refcount block, whatever the size of the disk. The header is written
//! last: before that the file is no qcow2 image.

use crate::codec;
use crate::header::FirstCluster;
use crate::layout::*;
use crate::mapping::{Mapping, Writes};
use crate::options::Plan;
use format_core::units::SECTOR;
use format_core::{CreateRequest, Error, Needs, Order, Packed, Result, Sink, TargetStorage};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Zeros that are put into tables under one lock.
const ZERO_CLUSTERS: u64 = 8192;

struct Qcow2Sink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    first: FirstCluster,
    mapping: Mutex<Mapping>,
    /// Whether tables may hold entries of an interrupted run.
    resumed: bool,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    if target.is_sequential() {
        return Err(Error::unsupported("the tables are written after the data they describe, which a pipe cannot take")
            .in_format(crate::FORMAT.name)
            .hint("write to a file, or write another format to the pipe: raw, or vmdk with -o subformat=streamOptimized"));
    }
    let plan = Plan::new(request)?;
    let first = FirstCluster::new(&plan)?;
    let mapping = Mutex::new(Mapping::new(&plan, target.as_ref())?);
    Ok(Box::new(Qcow2Sink { target, plan, first, mapping, resumed: false }))
}

/// L2 tables and full refcount blocks are in the file; the state is what is in memory.
pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request)?;
    let first = FirstCluster::new(&plan)?;
    let mapping = Mapping::restored(&plan, state)?;
    target.resume_at(mapping.end())?;
    // It may have been interrupted after the header was written.
    target.write_all_at(0, &[0; SECTOR as usize])?;
    Ok(Box::new(Qcow2Sink { target, plan, first, mapping: Mutex::new(mapping), resumed: true }))
}

impl Qcow2Sink {
    fn mapping(&self) -> MutexGuard<'_, Mapping> {
        self.mapping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let (chunk, size) = (self.plan.chunk_size(), self.plan.virtual_size);
        let end = offset.checked_add(len).filter(|&end| end <= size);
        let whole = end.is_some_and(|end| end.is_multiple_of(chunk) || end == size);
        if offset.is_multiple_of(chunk) && whole && len > 0 {
            return Ok(());
        }
        let text =
            format!("{len:#x} bytes at {offset:#x} are not whole chunks of {chunk:#x} in {size:#x} bytes");
        Err(Error::contract(text).in_format(crate::FORMAT.name))
    }

    fn write_plain(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len() as u64)?;
        let writes = self.mapping().plain(&self.plan, self.target.as_ref(), offset, bytes)?;
        self.put(writes, bytes)
    }

    fn put(&self, writes: Writes, bytes: &[u8]) -> Result<()> {
        for (host, range) in writes.data {
            let data = bytes.get(range).ok_or_else(|| Error::contract("a range outside the chunk"))?;
            self.target.write_all_at(host, data)?;
        }
        writes.zeros.into_iter().try_for_each(|(host, len)| self.target.zero_range(host, len))?;
        writes.entries.into_iter().try_for_each(|(host, entries)| self.target.write_all_at(host, &entries))
    }

    fn write_compressed(&self, offset: u64, bytes: &[u8], guest_len: u64) -> Result<()> {
        self.check_range(offset, guest_len)?;
        let len = bytes.len() as u64;
        if guest_len > self.plan.cluster_size() || len == 0 || len >= self.plan.cluster_size() {
            return Err(
                Error::contract("an encoded chunk is one smaller cluster").in_format(crate::FORMAT.name)
            );
        }
        let (host, place) = self.mapping().compressed(&self.plan, self.target.as_ref(), offset, len)?;
        let bits = compressed_offset_bits(self.plan.cluster_bits);
        let more_sectors = (host + len - 1) / COMPRESSED_SECTOR - host / COMPRESSED_SECTOR;
        let entry = L2_COMPRESSED | more_sectors << bits | host;
        self.target.write_all_at(host, bytes)?;
        // With extended L2 entries, the bitmap stays empty.
        self.target.write_all_at(place, &entry.to_be_bytes())
    }

    /// Zeros for version 2, where they are data; compressed they take a few bytes instead of a cluster.
    fn write_compressed_zeros(&self, offset: u64, len: u64) -> Result<()> {
        let cluster_size = self.plan.cluster_size();
        let Some(zeros) = codec::pack(self.plan.codec, &vec![0; cluster_size as usize])? else {
            return Err(Error::contract("zeros were not compressed"));
        };
        let end = offset + len;
        (offset..end)
            .step_by(cluster_size as usize)
            .try_for_each(|at| self.write_compressed(at, &zeros, cluster_size.min(end - at)))
    }
}

impl Sink for Qcow2Sink {
    fn needs(&self) -> Needs {
        let order = if self.plan.in_parts() { Order::Ascending } else { Order::Any };
        Needs { order, chunk_size: self.plan.chunk_size(), packed: self.plan.compressed }
    }

    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        if !self.plan.compressed {
            return Ok(Packed::Plain(data));
        }
        let cluster_size = self.plan.cluster_size() as usize;
        let packed = if data.len() < cluster_size {
            let mut cluster = data.to_vec();
            cluster.resize(cluster_size, 0);
            codec::pack(self.plan.codec, &cluster)?
        } else {
            codec::pack(self.plan.codec, data)?
        };
        Ok(match packed {
            Some(bytes) => Packed::Encoded { bytes, guest_len: data.len() as u64 },
            None => Packed::Plain(data),
        })
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        match data {
            Packed::Plain(bytes) => self.write_plain(offset, bytes),
            Packed::Encoded { bytes, guest_len } => self.write_compressed(offset, &bytes, guest_len),
        }
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        if self.plan.backing.is_none() {
            // What is not allocated reads as zeros.
            return match self.resumed {
                true => self.mapping().forget(&self.plan, self.target.as_ref(), offset, len),
                false => Ok(()),
            };
        }
        if self.plan.version < 3 && self.plan.compressed {
            return self.write_compressed_zeros(offset, len);
        }
        let most = ZERO_CLUSTERS << self.plan.cluster_bits;
        let mut done = 0;
        while done < len {
            let part = most.min(len - done);
            let writes =
                self.mapping().zeros(&self.plan, self.target.as_ref(), offset + done, part as usize)?;
            self.put(writes, &[])?;
            done += part;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.plan.backing.is_some() {
            return Ok(None);
        }
        let mapping = self.mapping();
        self.target.set_len(mapping.end())?;
        Ok(Some(mapping.save()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { target, plan, first, mapping, .. } = *self;
        let mapping = mapping.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (l1_offset, refcounts) = mapping.finish(target.as_ref())?;
        target.set_len(refcounts.file_size)?;
        target.sync()?;
        target.write_all_at(0, &first.bytes(&plan, l1_offset, refcounts)?)?;
        target.commit()
    }
}
