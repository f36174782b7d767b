//! The bytes of the structures in front of the blocks, all but the file type identifier's signature.

use super::plan::Plan;
use crate::layout::{
    BAT_REGION, CHECKSUM_AT, CREATOR_LEN, FILE_PARAMETERS, FILE_SIGNATURE, FileParameters, HAS_PARENT,
    HEADER_LEN, HEADER_OFFSETS, HEADER_SIGNATURE, Header, IS_REQUIRED, IS_VIRTUAL_DISK,
    LEAVE_BLOCK_ALLOCATED, LOGICAL_SECTOR_SIZE, METADATA_REGION, METADATA_SIGNATURE, METADATA_TABLE_LEN,
    MetadataTableEntry, MetadataTableHeader, PARENT_LOCATOR, PHYSICAL_SECTOR_SIZE, REGION_REQUIRED,
    REGION_SIGNATURE, REGION_TABLE_LEN, REGION_TABLE_OFFSETS, RegionTableEntry, RegionTableHeader, VERSION,
    VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE,
};
use binrw::BinWrite;
use format_core::{Error, Result};
use std::io::Cursor;
use uuid::Uuid;

/// Hyper-V's own images say 4096, and so every guest aligns to it.
const PHYSICAL_SECTOR: u32 = 4096;

/// The GUIDs of a new image.
pub(super) struct Identity {
    file_write: Uuid,
    data_write: Uuid,
    virtual_disk: Uuid,
}

impl Identity {
    /// Those that were asked for, else random ones; a difference is another state of the same disk, so that is its
    /// parent's where it is known.
    pub(super) fn new(plan: &Plan) -> Self {
        let parents = || plan.parent.as_ref().and_then(|parent| parent.virtual_disk);
        let virtual_disk = plan.virtual_disk.or_else(parents);
        Self {
            file_write: Uuid::new_v4(),
            data_write: plan.data_write.unwrap_or_else(Uuid::new_v4),
            virtual_disk: virtual_disk.unwrap_or_else(Uuid::new_v4),
        }
    }
}

/// Pieces of the file in the order in which they are to be written: metadata, region tables, headers, creator.
pub(super) fn all(plan: &Plan, identity: &Identity) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut pieces = vec![(plan.metadata.offset, metadata(plan, identity)?)];
    let table = region_table(plan)?;
    pieces.extend(REGION_TABLE_OFFSETS.map(|at| (at, table.clone())));
    for (sequence, at) in (1..).zip(HEADER_OFFSETS) {
        pieces.push((at, header(plan, identity, sequence)?));
    }
    pieces.push((FILE_SIGNATURE.len() as u64, creator()));
    Ok(pieces)
}

/// Appends one structure.
pub(super) fn put<T>(bytes: &mut Vec<u8>, structure: &T) -> Result<()>
where
    T: BinWrite,
    for<'a> T::Args<'a>: Default,
{
    let mut cursor = Cursor::new(Vec::new());
    structure
        .write_le(&mut cursor)
        .map_err(|e| Error::contract("a structure cannot be put in bytes").with_source(e))?;
    bytes.extend(cursor.into_inner());
    Ok(())
}

/// Fills up with zeros to `len` and sets the Checksum field.
fn sealed(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len, 0);
    let sum = crc32c::crc32c(&bytes).to_le_bytes();
    if let Some(field) = bytes.get_mut(CHECKSUM_AT..CHECKSUM_AT + sum.len()) {
        field.copy_from_slice(&sum);
    }
    bytes
}

fn creator() -> Vec<u8> {
    let text = concat!("rehome ", env!("CARGO_PKG_VERSION"));
    let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.resize(CREATOR_LEN, 0);
    bytes
}

fn header(plan: &Plan, identity: &Identity, sequence_number: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let header = Header {
        signature: HEADER_SIGNATURE,
        checksum: 0,
        sequence_number,
        file_write_guid: identity.file_write.to_bytes_le(),
        data_write_guid: identity.data_write.to_bytes_le(),
        log_guid: [0; 16],
        log_version: 0,
        version: VERSION,
        // One MiB, whatever the plan.
        log_length: plan.log.length as u32,
        log_offset: plan.log.offset,
    };
    put(&mut bytes, &header)?;
    Ok(sealed(bytes, HEADER_LEN))
}

/// The two headers that follow `old` in an image that is about to change: higher numbers, new GUIDs, an empty log.
pub(crate) fn next_headers(old: &Header) -> Result<[Vec<u8>; 2]> {
    let mut header = Header {
        checksum: 0,
        file_write_guid: Uuid::new_v4().to_bytes_le(),
        data_write_guid: Uuid::new_v4().to_bytes_le(),
        log_guid: [0; 16],
        ..old.clone()
    };
    let mut next = || {
        header.sequence_number = header.sequence_number.wrapping_add(1);
        let mut bytes = Vec::new();
        put(&mut bytes, &header)?;
        Ok::<_, Error>(sealed(bytes, HEADER_LEN))
    };
    Ok([next()?, next()?])
}

fn region_table(plan: &Plan) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let regions = [(BAT_REGION, plan.bat), (METADATA_REGION, plan.metadata)];
    let entry_count = regions.len() as u32;
    put(
        &mut bytes,
        &RegionTableHeader { signature: REGION_SIGNATURE, checksum: 0, entry_count, reserved: 0 },
    )?;
    for (guid, region) in regions {
        let entry = RegionTableEntry {
            guid: guid.to_bytes_le(),
            file_offset: region.offset,
            // The plan keeps regions below 70 MiB.
            length: region.length as u32,
            flags: REGION_REQUIRED,
        };
        put(&mut bytes, &entry)?;
    }
    Ok(sealed(bytes, REGION_TABLE_LEN))
}

fn metadata(plan: &Plan, identity: &Identity) -> Result<Vec<u8>> {
    let flags = match &plan.parent {
        Some(_) => HAS_PARENT,
        None if plan.fixed => LEAVE_BLOCK_ALLOCATED,
        None => 0,
    };
    let mut file_parameters = Vec::new();
    put(&mut file_parameters, &FileParameters { block_size: plan.block_mib << 20, flags })?;
    let disk = IS_VIRTUAL_DISK | IS_REQUIRED;
    let mut items = vec![
        (FILE_PARAMETERS, IS_REQUIRED, file_parameters),
        (VIRTUAL_DISK_SIZE, disk, plan.parameters.virtual_size.to_le_bytes().to_vec()),
        (VIRTUAL_DISK_ID, disk, identity.virtual_disk.to_bytes_le().to_vec()),
        // 512 or 4096.
        (LOGICAL_SECTOR_SIZE, disk, (plan.parameters.logical_sector_size as u32).to_le_bytes().to_vec()),
        (PHYSICAL_SECTOR_SIZE, disk, PHYSICAL_SECTOR.to_le_bytes().to_vec()),
    ];
    if let Some(parent) = &plan.parent {
        items.push((PARENT_LOCATOR, IS_REQUIRED, parent.locator()?));
    }
    let (mut table, mut values) = (Vec::new(), Vec::new());
    let header = MetadataTableHeader {
        signature: METADATA_SIGNATURE,
        reserved: 0,
        entry_count: items.len() as u16,
        reserved2: [0; 20],
    };
    put(&mut table, &header)?;
    for (id, flags, value) in items {
        let entry = MetadataTableEntry {
            item_id: id.to_bytes_le(),
            offset: (METADATA_TABLE_LEN + values.len()) as u32,
            length: value.len() as u32,
            flags,
            reserved: 0,
        };
        put(&mut table, &entry)?;
        values.extend(value);
    }
    table.resize(METADATA_TABLE_LEN, 0);
    table.extend(values);
    Ok(table)
}
