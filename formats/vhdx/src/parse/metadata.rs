//! The metadata table and the items that say what the disk is (MS-VHDX 2.6).

use super::record;
use crate::error::VhdxError;
use crate::layout::{
    BAT_ENTRY_LEN, FILE_PARAMETERS, FILE_PARAMETERS_LEN, FileParameters, HAS_PARENT, IS_REQUIRED, IS_USER,
    LEAVE_BLOCK_ALLOCATED, LOGICAL_SECTOR_SIZE, MAX_BLOCK, MAX_METADATA_ITEM, MAX_TABLE_ENTRIES,
    MAX_VIRTUAL_SIZE, METADATA_SIGNATURE, METADATA_TABLE_ENTRY_LEN, METADATA_TABLE_HEADER_LEN,
    METADATA_TABLE_LEN, MIN_BLOCK, MetadataTableEntry, MetadataTableHeader, PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE, SECTORS_PER_CHUNK, VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE,
};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Where an item lies in its region; at most 1 MiB long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Where the known items lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items(HashMap<Uuid, Place>);

impl Items {
    pub(crate) fn find(&self, id: Uuid) -> Option<Place> {
        self.0.get(&id).copied()
    }
}

const KNOWN: [Uuid; 6] = [
    FILE_PARAMETERS,
    VIRTUAL_DISK_SIZE,
    VIRTUAL_DISK_ID,
    LOGICAL_SECTOR_SIZE,
    PHYSICAL_SECTOR_SIZE,
    PARENT_LOCATOR,
];

/// Checks the metadata table of a region of `region` bytes.
pub(crate) fn parse_metadata_table(bytes: &[u8], region: u64) -> Result<Items, VhdxError> {
    let header: MetadataTableHeader = record(bytes, 0, METADATA_TABLE_HEADER_LEN)?;
    if header.signature != METADATA_SIGNATURE {
        return Err(VhdxError::MetadataSignature { found: header.signature });
    }
    if u32::from(header.entry_count) > MAX_TABLE_ENTRIES {
        return Err(VhdxError::EntryCount { table: "metadata", count: header.entry_count.into() });
    }
    let (mut items, mut seen) = (Items::default(), HashSet::new());
    for index in 0..usize::from(header.entry_count) {
        let at = METADATA_TABLE_HEADER_LEN + index * METADATA_TABLE_ENTRY_LEN;
        let entry: MetadataTableEntry = record(bytes, at, METADATA_TABLE_ENTRY_LEN)?;
        let (id, user) = (Uuid::from_bytes_le(entry.item_id), entry.flags & IS_USER != 0);
        let known = !user && KNOWN.contains(&id);
        if !known && entry.flags & IS_REQUIRED != 0 {
            return Err(VhdxError::ItemUnknown { id });
        }
        if !seen.insert((user, id)) {
            return Err(VhdxError::ItemTwice { id });
        }
        if known {
            items.0.insert(id, checked_place(&entry, id, region)?);
        }
    }
    Ok(items)
}

fn checked_place(entry: &MetadataTableEntry, id: Uuid, region: u64) -> Result<Place, VhdxError> {
    let (offset, length) = (entry.offset, entry.length);
    let end = u64::from(offset) + u64::from(length);
    if (offset as usize) < METADATA_TABLE_LEN || length > MAX_METADATA_ITEM || end > region {
        return Err(VhdxError::ItemPlace { id, offset, length, region });
    }
    Ok(Place { offset, length })
}

/// What the disk is; every number has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// A power of two, 1 to 256 MiB.
    pub(crate) block_size: u64,
    pub(crate) has_parent: bool,
    /// A multiple of the sector size, at most 64 TiB.
    pub(crate) virtual_size: u64,
    /// 512 or 4096.
    pub(crate) logical_sector_size: u64,
}

impl Parameters {
    /// Payload blocks that share a sector bitmap block.
    pub(crate) fn chunk_ratio(&self) -> u64 {
        SECTORS_PER_CHUNK * self.logical_sector_size / self.block_size
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block_size)
    }

    /// Bytes of the BAT: a differencing image needs the bitmap entry of its last chunk, the others do not.
    pub(crate) fn bat_len(&self) -> u64 {
        let (blocks, ratio) = (self.blocks(), self.chunk_ratio());
        let bitmaps = if self.has_parent {
            let chunks = blocks.div_ceil(ratio);
            return chunks * (ratio + 1) * BAT_ENTRY_LEN;
        } else {
            blocks.saturating_sub(1) / ratio
        };
        (blocks + bitmaps) * BAT_ENTRY_LEN
    }
}

/// What the metadata says about the disk beside its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) parameters: Parameters,
    pub(crate) is_fixed: bool,
    pub(crate) physical_sector_size: u64,
    pub(crate) virtual_disk_id: Uuid,
}

/// Checks the items; `load` reads one of them.
pub(crate) fn parse_parameters<E: From<VhdxError>>(
    mut load: impl FnMut(Uuid) -> Result<Option<Vec<u8>>, E>,
) -> Result<Facts, E> {
    let mut item = |id, name, expected| -> Result<Vec<u8>, E> {
        let bytes: Vec<u8> = load(id)?.ok_or(VhdxError::ItemMissing { name })?;
        if bytes.len() != expected {
            return Err(VhdxError::ItemLength { name, found: bytes.len(), expected }.into());
        }
        Ok(bytes)
    };
    let file: FileParameters =
        record(&item(FILE_PARAMETERS, "file parameters", FILE_PARAMETERS_LEN)?, 0, FILE_PARAMETERS_LEN)?;
    let block_size = u64::from(file.block_size);
    if !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) || !block_size.is_power_of_two() {
        return Err(VhdxError::BlockSize { found: block_size }.into());
    }
    let virtual_disk_id = record(&item(VIRTUAL_DISK_ID, "virtual disk id", 16)?, 0, 16)?;
    let mut sector = |id, name| -> Result<u64, E> {
        let found: u32 = record(&item(id, name, 4)?, 0, 4)?;
        match found {
            512 | 4096 => Ok(found.into()),
            _ => Err(VhdxError::SectorSize { name, found }.into()),
        }
    };
    let logical_sector_size = sector(LOGICAL_SECTOR_SIZE, "logical")?;
    let physical_sector_size = sector(PHYSICAL_SECTOR_SIZE, "physical")?;
    let virtual_size: u64 = record(&item(VIRTUAL_DISK_SIZE, "virtual disk size", 8)?, 0, 8)?;
    if virtual_size > MAX_VIRTUAL_SIZE || !virtual_size.is_multiple_of(logical_sector_size) {
        return Err(VhdxError::VirtualSize { found: virtual_size, sector: logical_sector_size }.into());
    }
    let has_parent = file.flags & HAS_PARENT != 0;
    Ok(Facts {
        parameters: Parameters { block_size, has_parent, virtual_size, logical_sector_size },
        is_fixed: file.flags & LEAVE_BLOCK_ALLOCATED != 0,
        physical_sector_size,
        virtual_disk_id: Uuid::from_bytes_le(virtual_disk_id),
    })
}
