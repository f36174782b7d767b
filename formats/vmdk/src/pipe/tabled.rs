//! Streams whose tables come before the grains (open-vmdk, qemu): the tables say where each grain lies.

use super::forward::Forward;
use super::no_stream;
use crate::error::VmdkError;
use crate::layout::{GRAIN_MARKER_LEN, SECTOR};
use crate::parse::parse_grain_marker;
use crate::tables::{Entries, Shape};
use format_core::{Error, ErrorKind, Result, StreamChunk};

/// Bytes of tables that are kept: a disk of 1 TiB with the usual grains.
const MAX_TABLES: u64 = 64 << 20;
/// Bytes behind the last grain that are read for the writer's sake.
const MAX_REST: usize = 1 << 20;

/// The tables, and the next entry.
pub(super) struct Tabled {
    /// Number and bytes of each table, ascending.
    tables: Vec<(u64, Vec<u8>)>,
    table: usize,
    within: u64,
    ended: bool,
}

impl Tabled {
    pub(super) fn load(forward: &mut Forward, shape: &Shape, at: u64, entries: u64) -> Result<Self> {
        if at < forward.at {
            return Err(no_stream("the grain directory lies before the descriptor"));
        }
        forward.skip_to(at, "what lies before the grain directory")?;
        let directory = forward.read(entries * 4, "the grain directory")?;
        let (sectors, _) = directory.as_chunks::<4>();
        let mut places: Vec<(u64, u64)> = (0..)
            .zip(sectors)
            .map(|(index, sector)| (u64::from(u32::from_le_bytes(*sector)) * SECTOR, index))
            .filter(|(at, _)| *at != 0)
            .collect();
        if places.len() as u64 * shape.table_bytes() > MAX_TABLES {
            let text = format!("a stream with {} grain tables before its grains is too large", places.len());
            let error = Error::new(ErrorKind::Limit, text).in_format(crate::FORMAT.name);
            return Err(error.hint("save the stream to a file first"));
        }
        places.sort_unstable();
        let mut tables = Vec::with_capacity(places.len());
        for (at, index) in places {
            if at < forward.at {
                return Err(no_stream("a grain table lies before the grain directory or over another table"));
            }
            forward.skip_to(at, "what lies before a grain table")?;
            tables.push((index, forward.read(shape.table_bytes(), "a grain table")?));
        }
        tables.sort_unstable_by_key(|(index, _)| *index);
        Ok(Self { tables, table: 0, within: 0, ended: false })
    }

    /// The next stored grain's number and place.
    fn next_entry(&mut self, shape: &Shape) -> Option<(u64, u64)> {
        let zeroed = matches!(shape.entries, Entries::Sectors { zeroed_grains: true, .. });
        while let Some((index, table)) = self.tables.get(self.table) {
            let (entries, _) = table.as_chunks::<4>();
            while let Some(entry) = entries.get(self.within as usize) {
                let number = index * shape.table_entries + self.within;
                self.within += 1;
                match u32::from_le_bytes(*entry) {
                    0 => {}
                    1 if zeroed => {}
                    _ if number >= shape.grains() => {}
                    sector => return Some((number, u64::from(sector) * SECTOR)),
                }
            }
            (self.table, self.within) = (self.table + 1, 0);
        }
        None
    }

    pub(super) fn next_chunk(&mut self, forward: &mut Forward, shape: &Shape) -> Result<Option<StreamChunk>> {
        let Some((number, at)) = self.next_entry(shape) else {
            self.read_rest(forward)?;
            return Ok(None);
        };
        if at < forward.at {
            return Err(no_stream(
                "the grains do not lie in the order of the disk, or lie before their tables",
            ));
        }
        forward.skip_to(at, "what lies before a grain")?;
        let mut sector = [0; SECTOR as usize];
        let len = forward.fill(&mut sector)?;
        // A grain that ends with the file may leave its last sector short.
        forward.at = at + SECTOR;
        let sector = sector.get(..len).filter(|sector| sector.len() as u64 > GRAIN_MARKER_LEN);
        let sector = sector.ok_or(VmdkError::StreamCut { what: "a grain" })?;
        let marker = parse_grain_marker(sector, at)?;
        let expected = number * (shape.grain_bytes / SECTOR);
        if marker.lba != expected {
            return Err(VmdkError::GrainLba { at, found: marker.lba, expected }.into());
        }
        forward.grain(shape, marker, sector, number).map(Some)
    }

    /// All grains came: what is left is a footer, an end marker or padding, which some writers leave out.
    fn read_rest(&mut self, forward: &mut Forward) -> Result<()> {
        if !self.ended {
            self.ended = true;
            forward.fill(&mut vec![0; MAX_REST])?;
        }
        Ok(())
    }
}
