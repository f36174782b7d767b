//! Streams that end with their tables (VMware): markers are walked, and the tables must name exactly the grains that
//! came.

use super::forward::Forward;
use super::no_stream;
use crate::error::VmdkError;
use crate::layout::{
    GrainMarker, MARKER_END, MARKER_FOOTER, MARKER_GRAIN_DIRECTORY, MARKER_GRAIN_TABLE, MARKER_PROGRESS,
    MetadataMarker, SECTOR,
};
use crate::parse::{Directory, Header, parse_grain_marker, parse_header};
use crate::tables::Shape;
use binrw::BinRead;
use format_core::{Result, StreamChunk, is_zero};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::io::Cursor;

/// How much padding may follow the end.
const MAX_PADDING: usize = 64 << 10;
/// How much room may lie between the descriptor and the first marker.
const MAX_ROOM: u64 = 4 << 20;

/// What was seen so far. Of each table only a hash is kept.
pub(super) struct Marked {
    header: Header,
    directory_entries: u64,
    /// The first grain that may still come.
    next: u64,
    /// The table that the last grain belongs to.
    current: Option<(u64, TableHash)>,
    /// Hashes of what the tables must be, by number.
    expected: BTreeMap<u64, u64>,
    /// Hashes of the tables in the stream, by sector.
    tables: HashMap<u64, u64>,
    /// Place and entries of the directory.
    directory: Option<(u64, Vec<u8>)>,
    has_footer: bool,
    ended: bool,
}

/// The hash of a table's grains.
#[derive(Default)]
struct TableHash(DefaultHasher);

impl TableHash {
    fn add(&mut self, within: u64, sector: u64) {
        (within, sector).hash(&mut self.0);
    }
}

impl Marked {
    pub(super) fn new(header: Header, directory_entries: u64) -> Self {
        Self {
            header,
            directory_entries,
            next: 0,
            current: None,
            expected: BTreeMap::new(),
            tables: HashMap::new(),
            directory: None,
            has_footer: false,
            ended: false,
        }
    }

    pub(super) fn next_chunk(&mut self, forward: &mut Forward, shape: &Shape) -> Result<Option<StreamChunk>> {
        while !self.ended {
            let at = forward.at;
            let mut sector = [0; SECTOR as usize];
            forward.fill_whole(&mut sector, "the markers, before its end marker")?;
            let started = self.next > 0 || !self.tables.is_empty() || self.directory.is_some();
            let room = at.saturating_sub(self.header.descriptor.end);
            if !started && room < MAX_ROOM && is_zero(&sector) {
                // The room between descriptor and first marker; `overHead` does not say reliably where it ends.
                continue;
            }
            let marker = parse_grain_marker(&sector, at)?;
            if marker.size != 0 {
                return self.take_grain(forward, shape, marker, &sector, at).map(Some);
            }
            let marker = MetadataMarker::read(&mut Cursor::new(&sector))
                .map_err(|_| VmdkError::StreamCut { what: "a marker" })?;
            self.take_metadata(forward, shape, marker, at)?;
        }
        Ok(None)
    }

    fn take_grain(
        &mut self,
        forward: &mut Forward,
        shape: &Shape,
        marker: GrainMarker,
        sector: &[u8],
        at: u64,
    ) -> Result<StreamChunk> {
        let grain_sectors = shape.grain_bytes / SECTOR;
        let number = marker.lba / grain_sectors;
        if !marker.lba.is_multiple_of(grain_sectors) || number >= shape.grains() {
            let what = format!("is for sector {:#x}, where no grain of the disk starts", marker.lba);
            return Err(VmdkError::Marker { at, what }.into());
        }
        if number < self.next {
            return Err(no_stream("the grains do not lie in the order of the disk"));
        }
        if self.has_footer || self.directory.is_some() {
            let what = "announces a grain behind the grain directory".to_owned();
            return Err(VmdkError::Marker { at, what }.into());
        }
        self.next = number + 1;
        let (table, within) = (number / shape.table_entries, number % shape.table_entries);
        if self.current.as_ref().is_none_or(|(current, _)| *current != table) {
            self.close_table();
            self.current = Some((table, TableHash::default()));
        }
        if let Some((_, hash)) = &mut self.current {
            hash.add(within, at / SECTOR);
        }
        forward.grain(shape, marker, sector, number)
    }

    fn close_table(&mut self) {
        if let Some((table, hash)) = self.current.take() {
            self.expected.insert(table, hash.0.finish());
        }
    }

    fn take_metadata(
        &mut self,
        forward: &mut Forward,
        shape: &Shape,
        marker: MetadataMarker,
        at: u64,
    ) -> Result<()> {
        let wrong = |what: &str| VmdkError::Marker { at, what: what.to_owned() };
        let needed = match marker.marker_type {
            MARKER_END => 0,
            MARKER_GRAIN_TABLE => shape.table_bytes(),
            MARKER_GRAIN_DIRECTORY => self.directory_entries * 4,
            MARKER_FOOTER => SECTOR,
            MARKER_PROGRESS => 0,
            other => return Err(wrong(&format!("has type {other}, which nobody knows")).into()),
        };
        let start = forward.at;
        let len = marker.num_sectors.checked_mul(SECTOR).filter(|len| start.checked_add(*len).is_some());
        let len = len.filter(|len| *len >= needed);
        let len = len.ok_or_else(|| wrong(&format!("says {:#x} sectors", marker.num_sectors)))?;
        match marker.marker_type {
            MARKER_GRAIN_TABLE => {
                let table = forward.read(needed, "a grain table")?;
                self.tables.insert(start / SECTOR, self.hash_of(&table));
            }
            MARKER_GRAIN_DIRECTORY if self.directory.is_some() => {
                return Err(wrong("announces a second grain directory").into());
            }
            MARKER_GRAIN_DIRECTORY => {
                self.directory = Some((start, forward.read(needed, "the grain directory")?));
            }
            MARKER_FOOTER => self.take_footer(forward)?,
            MARKER_END => return self.finish(forward),
            _ => {}
        }
        forward.skip_to(start + len, "what a marker announces")
    }

    fn hash_of(&self, table: &[u8]) -> u64 {
        let mut hash = TableHash::default();
        let (entries, _) = table.as_chunks::<4>();
        for (within, entry) in (0..).zip(entries) {
            match u32::from_le_bytes(*entry) {
                0 => {}
                1 if self.header.has_zeroed_grains() => {}
                sector => hash.add(within, sector.into()),
            }
        }
        hash.0.finish()
    }

    fn take_footer(&mut self, forward: &mut Forward) -> Result<()> {
        let mut sector = [0; SECTOR as usize];
        forward.fill_whole(&mut sector, "the footer")?;
        let footer = self.header.with_footer(&parse_header(&sector)?)?;
        self.check_place(footer.directory)?;
        self.has_footer = true;
        Ok(())
    }

    /// Checks that the directory that came is the one that header or footer names.
    fn check_place(&self, named: Directory) -> Result<(), VmdkError> {
        let found = self.directory.as_ref().map_or(Directory::Nowhere, |(at, _)| Directory::At(*at));
        if named != found {
            return Err(VmdkError::StreamTables { table: "gdOffset".into() });
        }
        Ok(())
    }

    /// Compares what came with what the tables say.
    fn finish(&mut self, forward: &mut Forward) -> Result<()> {
        if self.header.directory != Directory::InFooter {
            self.check_place(self.header.directory)?;
        } else if !self.has_footer {
            return Err(VmdkError::NoFooter.into());
        }
        let directory = self.directory.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default();
        let (entries, _) = directory.as_chunks::<4>();
        let entries: Vec<u64> = entries.iter().map(|entry| u32::from_le_bytes(*entry).into()).collect();
        self.close_table();
        let empty = TableHash::default().0.finish();
        for (index, sector) in (0..).zip(entries) {
            let found = match sector {
                0 => Some(&empty),
                sector => self.tables.get(&sector),
            };
            if found != Some(self.expected.get(&index).unwrap_or(&empty)) {
                let table = format!("grain table {index:#x}");
                return Err(VmdkError::StreamTables { table }.into());
            }
        }
        let mut padding = vec![0; MAX_PADDING + 1];
        let len = forward.fill(&mut padding)?;
        if len > MAX_PADDING || !is_zero(padding.get(..len).unwrap_or_default()) {
            let what = "ends the stream, but more follows".to_owned();
            return Err(VmdkError::Marker { at: forward.at, what }.into());
        }
        self.ended = true;
        Ok(())
    }
}
