//! COWD extents: the snapshots of ESX on VMFS 5 and older (vmfsSparse).

use super::{GrainExtent, Shared, load};
use crate::error::VmdkError;
use crate::layout::{COWD_HEADER_LEN, COWD_INCONSISTENT, COWD_MAGIC, COWD_TABLE_ENTRIES, CowdHeader, SECTOR};
use crate::parse::Reserved;
use crate::tables::{Directory, Entries, Shape};
use binrw::BinRead;
use format_core::{Result, Storage};
use std::io::Cursor;
use std::sync::Arc;

/// The createType.
pub(crate) const COWD: &str = "vmfsSparse";

/// Reads the header of a COWD extent.
pub(crate) fn parse_cowd(storage: &dyn Storage) -> Result<CowdHeader> {
    let bytes = load(storage, "COWD header", 0, COWD_HEADER_LEN.min(storage.size()))?;
    if !bytes.starts_with(COWD_MAGIC) {
        return Err(VmdkError::NotThatExtent { what: "file", extent: COWD }.into());
    }
    let header = CowdHeader::read(&mut Cursor::new(&bytes)).map_err(|e| {
        let cut = VmdkError::HeaderCut { size: bytes.len() as u64 };
        e.custom_err::<VmdkError>().cloned().unwrap_or(cut)
    })?;
    Ok(header)
}

impl GrainExtent {
    /// Opens a COWD extent that the descriptor gives `sectors`.
    pub(crate) fn cowd(storage: Arc<dyn Storage>, sectors: u64, shared: &mut Shared) -> Result<Self> {
        let header = parse_cowd(storage.as_ref())?;
        let (capacity, grain) = (u64::from(header.num_sectors), u64::from(header.grain_size));
        if sectors == 0 || sectors > capacity || capacity - sectors >= grain {
            return Err(VmdkError::SizesDiffer { described: sectors, capacity, grain }.into());
        }
        let shape = Shape {
            entries: Entries::Sectors { zeroed_grains: false, compressed: false },
            grain_bytes: grain * SECTOR,
            table_entries: COWD_TABLE_ENTRIES,
            size: sectors * SECTOR,
        };
        let needed = shape.grains().div_ceil(COWD_TABLE_ENTRIES);
        let found = u64::from(header.num_gd_entries);
        if found < needed {
            return Err(VmdkError::DirectoryShort { found, needed }.into());
        }
        shared.take_entries(needed)?;
        let at = u64::from(header.gd_offset) * SECTOR;
        let bytes = load(storage.as_ref(), "grain directory", at, needed * 4)?;
        let (entries, _) = bytes.as_chunks::<4>();
        let tables = entries.iter().map(|entry| u64::from(u32::from_le_bytes(*entry)) * SECTOR).collect();
        let reserved = Reserved(vec![0..COWD_HEADER_LEN, at..at + bytes.len() as u64]);
        if header.unclean_shutdown != 0 || header.flags & COWD_INCONSISTENT != 0 {
            shared.warn_unclean();
        }
        Self::new(storage, shape, Directory { tables, reserved }, shared)
    }
}
