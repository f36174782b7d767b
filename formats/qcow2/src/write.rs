//! Writing a qcow2 image.
//!
//! ```text
//!  header · L1 · (L2 tables, data, refcount blocks as they come) · refcount table
//! ```
//!
//! A write takes a run of new clusters under a short lock, then puts the data there and the L2 entries into their table
//! without one. So memory is the L1 table and a refcount block, whatever the size of the disk. The header is written
//! last: before that the file is no qcow2 image.

use crate::allocate::{Allocator, RefcountTable};
use crate::codec;
use crate::layout::*;
use crate::options::Plan;
use crate::parse::Compression;
use binrw::BinWrite;
use format_core::{CreateRequest, Error, Needs, Order, Packed, Result, Sink, TargetStorage};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

struct Qcow2Sink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    l1_offset: u64,
    state: Mutex<State>,
}

struct State {
    allocator: Allocator,
    /// Host offsets of the L2 tables, 0 where there is none.
    l1: Vec<u64>,
}

/// L2 entries that lie in one table: where the first goes, and how many.
struct EntryRun {
    host: u64,
    count: u64,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request)?;
    let mut allocator = Allocator::new(plan.cluster_bits);
    allocator.clusters(1, target.as_ref())?;
    let l1_offset = match plan.l1_clusters() {
        // An empty disk has no table, but QEMU wants its place to be aligned.
        0 => 0,
        clusters => allocator.clusters(clusters, target.as_ref())?,
    };
    let l1 = vec![0; plan.l1_entries as usize];
    Ok(Box::new(Qcow2Sink { target, plan, l1_offset, state: Mutex::new(State { allocator, l1 }) }))
}

impl Qcow2Sink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let (chunk, size) = (self.plan.cluster_size(), self.plan.virtual_size);
        let end = offset.checked_add(len).filter(|&end| end <= size);
        let whole = end.is_some_and(|end| end.is_multiple_of(chunk) || end == size);
        if offset.is_multiple_of(chunk) && whole && len > 0 {
            return Ok(());
        }
        let text =
            format!("{len:#x} bytes at {offset:#x} are not whole clusters of {chunk:#x} in {size:#x} bytes");
        Err(Error::contract(text).in_format(crate::FORMAT.name))
    }

    /// Takes host space by `take`, and finds (or takes) the L2 tables for `count` guest clusters from `offset`.
    fn place(
        &self,
        offset: u64,
        count: u64,
        take: impl FnOnce(&mut Allocator, &dyn TargetStorage) -> Result<u64>,
    ) -> Result<(u64, Vec<EntryRun>)> {
        let per_table = self.plan.cluster_size() / ENTRY_SIZE;
        let first = offset >> self.plan.cluster_bits;
        let (mut runs, mut at) = (Vec::new(), first);
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { allocator, l1 } = &mut *guard;
        while at < first + count {
            let table = l1
                .get_mut((at / per_table) as usize)
                .ok_or_else(|| Error::contract("a cluster lies behind the L1 table"))?;
            if *table == 0 {
                *table = allocator.clusters(1, self.target.as_ref())?;
            }
            let count = (per_table - at % per_table).min(first + count - at);
            runs.push(EntryRun { host: *table + at % per_table * ENTRY_SIZE, count });
            at += count;
        }
        Ok((take(allocator, self.target.as_ref())?, runs))
    }

    fn write_plain(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len() as u64)?;
        let count = (bytes.len() as u64).div_ceil(self.plan.cluster_size());
        let (host, runs) =
            self.place(offset, count, |allocator, target| allocator.clusters(count, target))?;
        self.target.write_all_at(host, bytes)?;
        let mut next = host;
        for run in runs {
            let end = next + (run.count << self.plan.cluster_bits);
            let entries: Vec<u8> = (next..end)
                .step_by(1 << self.plan.cluster_bits)
                .flat_map(|cluster| (cluster | COPIED).to_be_bytes())
                .collect();
            self.target.write_all_at(run.host, &entries)?;
            next = end;
        }
        Ok(())
    }

    fn write_compressed(&self, offset: u64, bytes: &[u8], guest_len: u64) -> Result<()> {
        self.check_range(offset, guest_len)?;
        let len = bytes.len() as u64;
        if guest_len > self.plan.cluster_size() || len == 0 || len >= self.plan.cluster_size() {
            return Err(
                Error::contract("an encoded chunk is one smaller cluster").in_format(crate::FORMAT.name)
            );
        }
        let (host, runs) = self.place(offset, 1, |allocator, target| allocator.packed(len, target))?;
        let bits = compressed_offset_bits(self.plan.cluster_bits);
        let more_sectors = (host + len - 1) / COMPRESSED_SECTOR - host / COMPRESSED_SECTOR;
        let entry = L2_COMPRESSED | more_sectors << bits | host;
        self.target.write_all_at(host, bytes)?;
        runs.iter().try_for_each(|run| self.target.write_all_at(run.host, &entry.to_be_bytes()))
    }
}

impl Sink for Qcow2Sink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Any, chunk_size: self.plan.cluster_size(), packed: self.plan.compressed }
    }

    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        if !self.plan.compressed {
            return Ok(Packed::Plain(data));
        }
        let cluster_size = self.plan.cluster_size() as usize;
        let packed = if data.len() < cluster_size {
            let mut cluster = data.to_vec();
            cluster.resize(cluster_size, 0);
            codec::pack(self.plan.compression, &cluster)?
        } else {
            codec::pack(self.plan.compression, data)?
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
        // There is no backing file, so a cluster that is not allocated reads as zeros.
        self.check_range(offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { target, plan, l1_offset, state } = *self;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mark = |&table: &u64| if table == 0 { 0 } else { table | COPIED };
        let l1: Vec<u8> = state.l1.iter().flat_map(|table| mark(table).to_be_bytes()).collect();
        if !l1.is_empty() {
            target.write_all_at(l1_offset, &l1)?;
        }
        let refcounts = state.allocator.finish(target.as_ref())?;
        target.set_len(refcounts.file_size)?;
        target.sync()?;
        target.write_all_at(0, &header(&plan, l1_offset, refcounts)?)?;
        target.commit()
    }
}

fn header(plan: &Plan, l1_table_offset: u64, refcounts: RefcountTable) -> Result<Vec<u8>> {
    let failed = |e| Error::contract("the header cannot be written").with_source(e);
    let mut header = Cursor::new(Vec::new());
    HeaderV2 {
        magic: MAGIC,
        version: plan.version,
        cluster_bits: plan.cluster_bits,
        size: plan.header_size,
        l1_size: plan.l1_entries as u32,
        l1_table_offset,
        refcount_table_offset: refcounts.offset,
        refcount_table_clusters: refcounts.clusters as u32,
        ..HeaderV2::default()
    }
    .write(&mut header)
    .map_err(failed)?;
    if plan.version >= 3 {
        let (incompatible_features, kind) = match plan.compression {
            Compression::Zlib => (0, COMPRESSION_ZLIB),
            Compression::Zstd => (INCOMPAT_COMPRESSION, COMPRESSION_ZSTD),
        };
        HeaderV3 {
            incompatible_features,
            refcount_order: REFCOUNT_ORDER,
            header_length: V3_LENGTH_WITH_COMPRESSION,
            ..HeaderV3::default()
        }
        .write(&mut header)
        .map_err(failed)?;
        (kind, [0u8; 7]).write(&mut header).map_err(failed)?;
    }
    // The rest of the cluster is zeros, which also ends the list of header extensions.
    Ok(header.into_inner())
}
