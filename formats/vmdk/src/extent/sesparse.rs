//! seSparse extents: the snapshots of ESXi on VMFS 6. There is no public specification.

use super::{GrainExtent, Shared, load};
use crate::error::VmdkError;
use crate::layout::{
    MAX_DIRECTORY_ENTRIES, SECTOR, SESPARSE_GRAIN_SECTORS, SESPARSE_MAGIC, SESPARSE_TABLE_ALLOCATED,
    SESPARSE_TABLE_SECTORS, SESPARSE_VOLATILE_MAGIC, SeSparseConstHeader, SeSparseVolatileHeader,
};
use crate::parse::Reserved;
use crate::tables::{Directory, Entries, Shape};
use binrw::BinRead;
use format_core::{Result, Storage};
use std::io::Cursor;
use std::sync::Arc;

/// The createType.
pub(crate) const SESPARSE: &str = "seSparse";
/// Bytes of a directory or table entry.
const ENTRY: u64 = 8;

/// Reads the constant header and checks what is the same in all known files.
pub(crate) fn parse_sesparse(storage: &dyn Storage) -> Result<SeSparseConstHeader> {
    let size = storage.size();
    let bytes = load(storage, "seSparse header", 0, SECTOR.min(size))?;
    if !bytes.starts_with(SESPARSE_MAGIC) {
        return Err(VmdkError::NotThatExtent { what: "file", extent: SESPARSE }.into());
    }
    let header = SeSparseConstHeader::read(&mut Cursor::new(&bytes))
        .map_err(|e| e.custom_err::<VmdkError>().cloned().unwrap_or(VmdkError::HeaderCut { size }))?;
    let fields = [
        ("grain size", header.grain_size, SESPARSE_GRAIN_SECTORS),
        ("grain table size", header.grain_table_size, SESPARSE_TABLE_SECTORS),
        ("flags", header.flags, 0),
        ("first reserved field", header.reserved[0], 0),
        ("second reserved field", header.reserved[1], 0),
        ("third reserved field", header.reserved[2], 0),
        ("fourth reserved field", header.reserved[3], 0),
    ];
    match fields.into_iter().find(|(_, found, supported)| found != supported) {
        Some((field, found, supported)) => Err(VmdkError::SeSparseField { field, found, supported }.into()),
        None => Ok(header),
    }
}

impl GrainExtent {
    /// Opens a seSparse extent that the descriptor gives `sectors`.
    pub(crate) fn sesparse(storage: Arc<dyn Storage>, sectors: u64, shared: &mut Shared) -> Result<Self> {
        let header = parse_sesparse(storage.as_ref())?;
        let (capacity, grain) = (header.capacity, SESPARSE_GRAIN_SECTORS);
        if sectors == 0 || sectors > capacity || capacity - sectors >= grain {
            return Err(VmdkError::SizesDiffer { described: sectors, capacity, grain }.into());
        }
        check_journal(storage.as_ref(), &header)?;
        let at = |what, sector: u64| sector.checked_mul(SECTOR).ok_or(VmdkError::Sector { what, sector });
        let shape = Shape {
            entries: Entries::SeSparse { grains_at: at("grain area", header.grains.offset)? },
            grain_bytes: grain * SECTOR,
            table_entries: SESPARSE_TABLE_SECTORS * SECTOR / ENTRY,
            size: sectors.checked_mul(SECTOR).ok_or(VmdkError::Capacity { sectors })?,
        };
        let directory = load_directory(storage.as_ref(), &header, &shape, shared)?;
        Self::new(storage, shape, directory, shared)
    }
}

fn check_journal(storage: &dyn Storage, header: &SeSparseConstHeader) -> Result<()> {
    let what = "volatile header";
    let sector = header.volatile_header.offset;
    let at = sector.checked_mul(SECTOR).ok_or(VmdkError::Sector { what, sector })?;
    let bytes = load(storage, what, at, SECTOR)?;
    let volatile = SeSparseVolatileHeader::read(&mut Cursor::new(&bytes));
    match volatile {
        Ok(volatile) if volatile.magic == SESPARSE_VOLATILE_MAGIC => match volatile.replay_journal {
            0 => Ok(()),
            _ => Err(VmdkError::SeSparseJournal.into()),
        },
        _ => Err(VmdkError::NotThatExtent { what: "volatile header", extent: SESPARSE }.into()),
    }
}

fn load_directory(
    storage: &dyn Storage,
    header: &SeSparseConstHeader,
    shape: &Shape,
    shared: &mut Shared,
) -> Result<Directory> {
    let needed = shape.grains().div_ceil(shape.table_entries);
    let found = header.grain_directory.size.saturating_mul(SECTOR / ENTRY);
    if needed > MAX_DIRECTORY_ENTRIES {
        return Err(VmdkError::DirectorySize { entries: needed }.into());
    }
    if found < needed {
        return Err(VmdkError::DirectoryShort { found, needed }.into());
    }
    shared.take_entries(needed)?;
    let sector = header.grain_directory.offset;
    let at = sector.checked_mul(SECTOR).ok_or(VmdkError::Sector { what: "grain directory", sector })?;
    let bytes = load(storage, "grain directory", at, needed * ENTRY)?;
    let (entries, _) = bytes.as_chunks::<{ ENTRY as usize }>();
    let table =
        |(index, raw): (usize, &[u8; ENTRY as usize])| table_at(header, index, u64::from_le_bytes(*raw));
    let tables = entries.iter().enumerate().map(table).collect::<Result<_, VmdkError>>()?;
    Ok(Directory { tables, reserved: Reserved(vec![0..2 * SECTOR, at..at + bytes.len() as u64]) })
}

/// Where table `index` lies, 0 if there is none.
fn table_at(header: &SeSparseConstHeader, index: usize, raw: u64) -> Result<u64, VmdkError> {
    let bad = VmdkError::SeSparseTable { index, raw };
    if raw == 0 {
        return Ok(0);
    }
    let number = raw & 0xffff_ffff;
    if raw >> 32 != SESPARSE_TABLE_ALLOCATED || number >= header.grain_tables.size / SESPARSE_TABLE_SECTORS {
        return Err(bad);
    }
    let sector = header.grain_tables.offset.checked_add(number * SESPARSE_TABLE_SECTORS);
    sector.and_then(|sector| sector.checked_mul(SECTOR)).filter(|at| *at != 0).ok_or(bad)
}
