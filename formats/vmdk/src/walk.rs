//! Walking the tables of a sparse extent: every grain inside the file, none over another or over metadata.

use crate::extent::GrainExtent;
use crate::grain_stream::{Grain, Scratch};
use crate::layout::SECTOR;
use crate::tables::{Entry, Tables};
use format_core::{CheckReport, Claims, ErrorKind, Result};

/// A structure that is no grain.
pub(crate) struct Metadata {
    what: String,
    start: u64,
    len: u64,
}

impl Metadata {
    pub(crate) fn new(what: impl Into<String>, start: u64, len: u64) -> Self {
        Self { what: what.into(), start, len }
    }
}

/// What is known after the walk.
struct Walk<'a> {
    extent: &'a GrainExtent,
    name: &'a str,
    report: &'a mut CheckReport,
    /// By sector.
    metadata: Claims,
    grains: Claims,
    unit: u64,
    first_grain: u64,
    /// Where the last grain that was found ends.
    previous_end: Option<u64>,
}

/// Checks all tables and grains of `extent` and adds to `report`.
pub(crate) fn walk(
    extent: &GrainExtent,
    mut metadata: Vec<Metadata>,
    find_leaks: bool,
    name: &str,
    report: &mut CheckReport,
) -> Result<()> {
    let tables = &extent.tables;
    let table_bytes = tables.shape.table_bytes();
    // The directory is the last of the reserved ranges; the caller named the others.
    let directory = tables.directory.reserved.0.last().cloned().unwrap_or_default();
    metadata.push(Metadata::new("grain directory", directory.start, directory.end - directory.start));
    let mut walk = Walk {
        extent,
        name,
        report,
        metadata: Claims::new(SECTOR),
        grains: Claims::new(SECTOR),
        unit: SECTOR,
        first_grain: u64::MAX,
        previous_end: None,
    };
    walk.report.total_chunks = walk.report.total_chunks.saturating_add(tables.shape.grains());
    for part in &metadata {
        walk.claim_metadata(part)?;
    }
    // A table that shares its place with another one is not walked: that bounds the walk by the file's size.
    let mut walkable = Vec::new();
    for (index, &at) in tables.directory.tables.iter().enumerate().filter(|(_, at)| **at != 0) {
        let part = Metadata::new(format!("grain table {index:#x}"), at, table_bytes);
        if walk.claim_metadata(&part)? {
            walkable.push(index);
            metadata.push(part);
        }
    }
    walk.unit = unit(tables, &walkable)?;
    walk.grains = Claims::new(walk.unit);
    for &index in &walkable {
        walk.table(index)?;
    }
    for part in &metadata {
        walk.check_metadata(part);
    }
    if find_leaks {
        walk.leaks(&metadata);
    }
    Ok(())
}

/// The largest unit that all plain grains keep to, so that the map of a large file stays small.
fn unit(tables: &Tables, walkable: &[usize]) -> Result<u64> {
    if tables.shape.is_compressed() {
        return Ok(SECTOR);
    }
    let mut bits = tables.shape.grain_bytes;
    for &index in walkable {
        for (number, raw) in entries(tables, index, &tables.table(index)?) {
            if let Ok(Entry::At(at)) = tables.entry(number, raw) {
                bits |= at;
            }
        }
    }
    Ok(1 << bits.trailing_zeros())
}

/// The entries of a table that belong to the disk, with the numbers of their grains.
fn entries<'a>(
    tables: &Tables,
    index: usize,
    table: &'a [u8],
) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
    let (first, grains) = ((index as u64).saturating_mul(tables.shape.table_entries), tables.shape.grains());
    (first..grains).zip(table.chunks_exact(tables.shape.entry_bytes() as usize))
}

impl Walk<'_> {
    /// Whether nothing else lies there.
    fn claim_metadata(&mut self, part: &Metadata) -> Result<bool> {
        let alone = part.len == 0 || self.metadata.claim(part.start, part.len)? == 0;
        if !alone {
            let message = format!("{}the {} lies over another structure", self.name, part.what);
            self.report.error(message, Some(part.start));
        }
        self.report.image_end = self.report.image_end.max(part.start.saturating_add(part.len));
        Ok(alone)
    }

    fn table(&mut self, index: usize) -> Result<()> {
        let tables = &self.extent.tables;
        let table = tables.table(index)?;
        let mut scratch = Scratch::new();
        for (number, raw) in entries(tables, index, &table) {
            match tables.entry(number, raw) {
                Ok(Entry::At(at)) => self.grain(number, at, &mut scratch)?,
                Ok(Entry::Absent | Entry::Zero) => {}
                Err(error) => self.report.error(format!("{}{error}", self.name), None),
            }
        }
        Ok(())
    }

    fn grain(&mut self, number: u64, at: u64, scratch: &mut Scratch) -> Result<()> {
        let shape = self.extent.tables.shape;
        let mut len = shape.used_bytes(number);
        self.report.allocated_chunks += 1;
        if let Some(stream) = &self.extent.stream {
            self.report.compressed_chunks += 1;
            let mut out = vec![0; shape.grain_bytes as usize];
            match stream.inflate(Grain { number, at, used: len }, &mut out, scratch) {
                Ok(_) => len = scratch.packed_len(),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.report.error(format!("{}{}", self.name, error.message()), Some(at));
                    len = SECTOR;
                }
                Err(error) => return Err(error),
            }
        }
        if self.grains.claim(at, len)? > 0 {
            let message = format!("{}grain {number:#x} lies over another grain", self.name);
            self.report.error(message, Some(at));
        }
        if self.previous_end.is_some_and(|end| end != at) {
            self.report.fragmented_chunks += 1;
        }
        let end = at.saturating_add(len).next_multiple_of(SECTOR);
        self.previous_end = Some(end);
        self.first_grain = self.first_grain.min(at);
        self.report.image_end = self.report.image_end.max(at.saturating_add(len));
        Ok(())
    }

    fn check_metadata(&mut self, part: &Metadata) {
        let sectors = part.len.div_ceil(SECTOR);
        let shared =
            (0..sectors).any(|sector| self.grains.contains(part.start.saturating_add(sector * SECTOR)));
        if shared {
            let message = format!("{}a grain lies over the {}", self.name, part.what);
            self.report.error(message, Some(part.start));
        }
    }

    /// Room behind the first grain that neither grains nor structures use.
    fn leaks(&mut self, metadata: &[Metadata]) {
        let shape = self.extent.tables.shape;
        let size = self.extent.tables.storage.size();
        if self.first_grain == u64::MAX {
            return;
        }
        let behind = metadata.iter().filter(|part| part.start >= self.first_grain);
        let structures: u64 = behind.map(|part| part.len.next_multiple_of(SECTOR)).sum();
        // The disk's last grain may be stored whole, although less of it is claimed.
        let tail = shape.grain_bytes - shape.used_bytes(shape.grains().saturating_sub(1));
        let used =
            (self.grains.count().saturating_mul(self.unit)).saturating_add(structures).saturating_add(tail);
        let leaked = size.saturating_sub(self.first_grain).saturating_sub(used);
        let grains = leaked / shape.grain_bytes;
        if grains > 0 {
            let message = format!("{}{grains} grains of the file belong to no place of the disk", self.name);
            self.report.leak(message, self.first_grain, grains * shape.grain_bytes);
            self.report.leaks = self.report.leaks.saturating_add(grains - 1);
        }
    }
}
