//! A qcow2 image as a layer.

use crate::cache::Cache;
use crate::codec;
use crate::error::Qcow2Error;
use crate::layout::{ENTRY_SIZE, MAX_CLUSTER_BITS};
use crate::parse::{Compression, parse_header};
use crate::table::{Compressed, Geometry, Unit};
use format_core::{
    Error, Extent, ExtentKind, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
};
use std::sync::Arc;

/// L2 tables kept: 32 MiB describe 256 GiB of disk at 64 KiB clusters.
const TABLE_CACHE: usize = 32 << 20;
/// Decompressed clusters kept, for reads smaller than a cluster.
const CLUSTER_CACHE: usize = 16 << 20;
/// Table entries that one question looks at. Longer runs are told in parts, so that the cost of a question is bounded
/// where the layers of a chain are fragmented differently.
const MAX_SCAN: u64 = 4096;
/// Unused L1 entries that one question looks at.
const MAX_SCAN_L1: u64 = 64;

struct Qcow2Layer {
    storage: Arc<dyn Storage>,
    geometry: Geometry,
    compression: Compression,
    l1_table_offset: u64,
    l1: Vec<u64>,
    tables: Cache<u64>,
    clusters: Cache<u8>,
    parent: Option<ParentRef>,
    warnings: Vec<Warning>,
}

/// An L2 table and where it lies.
struct Table {
    offset: u64,
    words: Arc<[u64]>,
}

/// Bytes from one place of the file.
struct Run {
    len: u64,
    unit: Unit,
}

pub(crate) fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let file_size = storage.size();
    let mut first = vec![0; file_size.min(1 << MAX_CLUSTER_BITS) as usize];
    storage.read_exact_at(0, &mut first)?;
    let header = parse_header(&first, file_size).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let l1 = read_words(storage.as_ref(), header.l1_table_offset, header.l1_entries)?;
    let parent = header.backing_name.map(|name| ParentRef {
        names: vec![name],
        format: header.backing_format.filter(|name| !name.is_empty()),
        identity: None,
    });
    Ok(Box::new(Qcow2Layer {
        storage,
        geometry: header.geometry,
        compression: header.compression,
        l1_table_offset: header.l1_table_offset,
        l1,
        tables: Cache::new(TABLE_CACHE),
        clusters: Cache::new(CLUSTER_CACHE),
        parent,
        warnings: header.warnings,
    }))
}

/// `count` big-endian numbers; the caller has checked that the file holds them.
fn read_words(storage: &dyn Storage, offset: u64, count: usize) -> Result<Vec<u64>> {
    let mut bytes = vec![0; count * ENTRY_SIZE as usize];
    if count > 0 {
        storage.read_exact_at(offset, &mut bytes)?;
    }
    Ok(bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word)).collect())
}

impl Qcow2Layer {
    fn l1_entry(&self, index: u64) -> u64 {
        self.l1.get(index as usize).copied().unwrap_or(0)
    }

    /// The L2 table for the guest offset; `None` where nothing was ever written.
    fn table(&self, offset: u64) -> Result<Option<Table>> {
        let index = self.geometry.l1_index(offset);
        let entry = self.l1_entry(index);
        let found = self.geometry.l2_table(entry).map_err(|fault| {
            let at = self.l1_table_offset.saturating_add(index * ENTRY_SIZE);
            Qcow2Error::L1Entry { index, entry, at, fault }
        })?;
        let Some(offset) = found else { return Ok(None) };
        if let Some(words) = self.tables.get(offset) {
            return Ok(Some(Table { offset, words }));
        }
        let words: Arc<[u64]> =
            read_words(self.storage.as_ref(), offset, self.geometry.table_words())?.into();
        self.tables.insert(offset, Arc::clone(&words));
        Ok(Some(Table { offset, words }))
    }

    fn unit(&self, table: &Table, index: u64) -> Result<Unit> {
        let geometry = &self.geometry;
        geometry.unit(&table.words, index).map_err(|fault| {
            let entry = geometry.entry(&table.words, index);
            let index = geometry.entry_index(index);
            Qcow2Error::L2Entry { index, table: table.offset, entry, fault }.into()
        })
    }

    /// The run from `at` whose units `continues` accepts, at most to the end of the table and of the disk.
    fn run(&self, at: u64, most: u64, continues: impl Fn(Unit, Unit, u64) -> bool) -> Result<Run> {
        let geometry = &self.geometry;
        let left = most.min(geometry.virtual_size - at);
        let in_table = geometry.table_coverage() - at % geometry.table_coverage();
        let Some(table) = self.table(at)? else {
            return Ok(Run { len: self.unused(at, in_table).min(left), unit: Unit::Unallocated });
        };
        let (first, unit_size) = (geometry.unit_index(at), geometry.unit_size());
        let unit = self.unit(&table, first)?;
        let mut len = unit_size - at % unit_size;
        let mut next = 1;
        while len < left.min(in_table) && next < MAX_SCAN {
            match geometry.unit(&table.words, first + next) {
                Ok(other) if continues(unit, other, next * unit_size) => len += unit_size,
                // A bad entry is reported to whoever asks for it.
                _ => break,
            }
            next += 1;
        }
        Ok(Run { len: len.min(left), unit })
    }

    /// How far the disk is unused from a place whose L1 entry is 0.
    fn unused(&self, at: u64, in_table: u64) -> u64 {
        let index = self.geometry.l1_index(at) + 1;
        let more = (index..index + MAX_SCAN_L1)
            .take_while(|&index| index < self.l1.len() as u64 && self.l1_entry(index) == 0)
            .count();
        in_table.saturating_add(self.geometry.table_coverage().saturating_mul(more as u64))
    }

    /// Host bytes as they are; zeros where the file's last cluster is missing its end.
    fn read_plain(&self, host: u64, buf: &mut [u8]) -> Result<()> {
        let there = self.geometry.file_size.saturating_sub(host).min(buf.len() as u64) as usize;
        let (stored, missing) = buf.split_at_mut(there);
        missing.fill(0);
        if stored.is_empty() { Ok(()) } else { self.storage.read_exact_at(host, stored) }
    }

    fn read_compressed(&self, place: Compressed, at: u64, buf: &mut [u8]) -> Result<()> {
        if buf.len() as u64 == self.geometry.cluster_size() {
            return self.decompress(place, buf);
        }
        let cluster = match self.clusters.get(place.offset) {
            Some(cluster) => cluster,
            None => {
                let mut cluster = vec![0; self.geometry.cluster_size() as usize];
                self.decompress(place, &mut cluster)?;
                let cluster: Arc<[u8]> = cluster.into();
                self.clusters.insert(place.offset, Arc::clone(&cluster));
                cluster
            }
        };
        let start = (at % self.geometry.cluster_size()) as usize;
        let part = cluster.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(part.ok_or_else(|| Error::contract("a read left its compressed cluster"))?);
        Ok(())
    }

    fn decompress(&self, place: Compressed, cluster: &mut [u8]) -> Result<()> {
        let mut packed = vec![0; place.len as usize];
        self.storage.read_exact_at(place.offset, &mut packed)?;
        codec::unpack(self.compression, &packed, cluster).map_err(|why| {
            let (offset, len, cluster_size) = (place.offset, place.len, self.geometry.cluster_size());
            Qcow2Error::Decompress { offset, len, cluster_size, why }.into()
        })
    }

    fn check_inside(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.geometry.virtual_size;
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            return Ok(());
        }
        let text = format!("{len:#x} bytes wanted at {offset:#x} of a disk of {size:#x} bytes");
        Err(Error::usage(text).in_format(self.format()))
    }
}

fn kind(unit: Unit) -> ExtentKind {
    match unit {
        Unit::Unallocated => ExtentKind::Unallocated,
        Unit::Zero => ExtentKind::Zero,
        Unit::Data(_) | Unit::Compressed(_) => ExtentKind::Data,
    }
}

/// Whether `next`, `distance` bytes behind the start of `first`, can be read together with it.
fn one_read(first: Unit, next: Unit, distance: u64) -> bool {
    match (first, next) {
        (Unit::Data(host), Unit::Data(other)) => host.checked_add(distance) == Some(other),
        // Extended L2 entries spread a compressed cluster over many units that all say the same.
        _ => first == next,
    }
}

impl Layer for Qcow2Layer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.geometry.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.geometry.cluster_size()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_inside(offset, 1)?;
        let run = self.run(offset, u64::MAX, |first, next, _| kind(first) == kind(next))?;
        Ok(Extent { offset, len: run.len, kind: kind(run.unit) })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_inside(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let run = self.run(at, buf.len() as u64, one_read)?;
            let in_cluster = at % self.geometry.cluster_size();
            let len = match run.unit {
                Unit::Compressed(_) => run.len.min(self.geometry.cluster_size() - in_cluster),
                _ => run.len,
            };
            let (now, rest) = buf.split_at_mut(len as usize);
            match run.unit {
                Unit::Unallocated | Unit::Zero => now.fill(0),
                Unit::Data(host) => self.read_plain(host + at % self.geometry.unit_size(), now)?,
                Unit::Compressed(place) => self.read_compressed(place, at, now)?,
            }
            buf = rest;
            at += len;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_inside(offset, 1).ok()?;
        let run = self.run(offset, u64::MAX, one_read).ok()?;
        let Unit::Data(host) = run.unit else { return None };
        let host = host.checked_add(offset % self.geometry.unit_size())?;
        let len = run.len.min(self.geometry.file_size.checked_sub(host).filter(|&len| len > 0)?);
        Some(HostRange { storage: Arc::clone(&self.storage), offset: host, len })
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
