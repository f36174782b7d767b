//! A qcow2 image as a layer.

use crate::cache::Cache;
use crate::changes;
use crate::codec;
use crate::crypto::{Decryption, SECTOR};
use crate::error::Qcow2Error;
use crate::layout::ENTRY_SIZE;
use crate::parse::Compression;
use crate::table::{Compressed, Geometry, Unit};
use format_core::{
    Details, Error, Extent, ExtentKind, HostRange, Layer, ParentRef, RangeSet, Result, Storage, Warning,
};
use std::sync::Arc;

/// Table entries that one question looks at. Longer runs are told in parts, so that the cost of a question is bounded
/// where the layers of a chain are fragmented differently.
const MAX_SCAN: u64 = 4096;
/// Unused L1 entries that one question looks at.
const MAX_SCAN_L1: u64 = 64;

pub(crate) struct Qcow2Layer {
    pub storage: Arc<dyn Storage>,
    /// Holds the clusters that are not compressed: the same file, or an external one.
    pub data: Arc<dyn Storage>,
    pub geometry: Geometry,
    pub compression: Compression,
    pub decryption: Option<Decryption>,
    pub l1_table_offset: u64,
    pub l1: Vec<u64>,
    pub tables: Cache<u64>,
    pub clusters: Cache<u8>,
    /// Whether it is the current state, and no snapshot.
    pub is_current: bool,
    pub parent: Option<ParentRef>,
    pub details: Details,
    pub warnings: Vec<Warning>,
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

/// `count` big-endian numbers; the caller has checked that the file holds them.
pub(crate) fn read_words(storage: &dyn Storage, offset: u64, count: usize) -> Result<Vec<u64>> {
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
    fn read_stored(&self, host: u64, buf: &mut [u8]) -> Result<()> {
        let there = self.geometry.data_size().saturating_sub(host).min(buf.len() as u64) as usize;
        let (stored, missing) = buf.split_at_mut(there);
        missing.fill(0);
        if stored.is_empty() { Ok(()) } else { self.data.read_exact_at(host, stored) }
    }

    /// What is stored at `host` for the guest's place `at`. A sector is decrypted as a whole.
    fn read_plain(&self, mut host: u64, mut at: u64, mut buf: &mut [u8]) -> Result<()> {
        let Some(decryption) = &self.decryption else { return self.read_stored(host, buf) };
        while !buf.is_empty() {
            let skip = (at % SECTOR as u64) as usize;
            let whole = if skip == 0 { buf.len() / SECTOR * SECTOR } else { 0 };
            let len = if whole > 0 { whole } else { buf.len().min(SECTOR - skip) };
            let (now, rest) = buf.split_at_mut(len);
            if whole > 0 {
                self.read_stored(host, now)?;
                decryption.decrypt(host, at, now);
            } else {
                let mut sector = [0; SECTOR];
                let start = host.saturating_sub(skip as u64);
                self.read_stored(start, &mut sector)?;
                decryption.decrypt(start, at - skip as u64, &mut sector);
                now.iter_mut().zip(sector.iter().skip(skip)).for_each(|(to, from)| *to = *from);
            }
            (host, at, buf) = (host.saturating_add(len as u64), at + len as u64, rest);
        }
        Ok(())
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
                Unit::Data(host) => {
                    self.read_plain(host.saturating_add(at % self.geometry.unit_size()), at, now)?;
                }
                Unit::Compressed(place) => self.read_compressed(place, at, now)?,
            }
            buf = rest;
            at += len;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_inside(offset, 1).ok()?;
        if self.decryption.is_some() {
            return None;
        }
        let run = self.run(offset, u64::MAX, one_read).ok()?;
        let Unit::Data(host) = run.unit else { return None };
        let host = host.checked_add(offset % self.geometry.unit_size())?;
        let len = run.len.min(self.geometry.data_size().checked_sub(host).filter(|&len| len > 0)?);
        Some(HostRange { storage: Arc::clone(&self.data), offset: host, len })
    }

    fn is_compressed_at(&self, offset: u64) -> bool {
        let found = self.check_inside(offset, 1).and_then(|()| self.run(offset, 1, one_read));
        found.is_ok_and(|run| matches!(run.unit, Unit::Compressed(_)))
    }

    fn changed_by_bitmap(&self, name: &str) -> Result<RangeSet> {
        if !self.is_current {
            return Err(Error::usage(
                "bitmaps are about the current state of an image, not about its snapshots",
            )
            .in_format(crate::FORMAT.name));
        }
        changes::by_bitmap(self.storage.as_ref(), name).map_err(|e| e.in_format(crate::FORMAT.name))
    }

    fn details(&self) -> Details {
        self.details.clone()
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
