//! The footer and the dynamic header of a new image.

use super::plan::{BLOCK, Plan};
use crate::layout::{
    DISK_TYPE_DIFFERENCING, DISK_TYPE_DYNAMIC, DISK_TYPE_FIXED, DynamicHeader, FEATURES_RESERVED,
    FOOTER_CHECKSUM_AT, FOOTER_COOKIE, FOOTER_LEN, Footer, HEADER_CHECKSUM_AT, HEADER_COOKIE, HEADER_LEN,
    NO_OFFSET, PARENT_LOCATORS, PARENT_NAME_LEN, ParentLocatorEntry, VERSION, checksum, time_stamp,
};
use binrw::BinWrite;
use binrw::meta::WriteEndian;
use format_core::{Error, Result};
use std::io::Cursor;
use std::time::SystemTime;
use uuid::Uuid;

/// Where the dynamic header goes: behind the footer's copy.
pub(super) const HEADER_OFFSET: u64 = FOOTER_LEN as u64;

/// The creator of Windows. It is the one that every reader takes to mean Current Size; a name of our own would make
/// QEMU round the disk down to cylinders.
const CREATOR: [u8; 4] = *b"win ";
/// Of the Windows that made images like these, 10.0.
const CREATOR_VERSION: u32 = 0x000a_0000;
const CREATOR_HOST: [u8; 4] = *b"Wi2k";

/// What makes this image another than all others.
pub(super) struct Identity {
    unique_id: Uuid,
    time_stamp: u32,
}

impl Identity {
    pub(super) fn new(plan: &Plan) -> Self {
        let unique_id = plan.unique_id.unwrap_or_else(Uuid::new_v4);
        Self { unique_id, time_stamp: time_stamp(SystemTime::now()) }
    }
}

pub(super) fn footer(plan: &Plan, identity: &Identity) -> Result<Vec<u8>> {
    let (disk_type, data_offset) = match &plan.parent {
        _ if plan.fixed => (DISK_TYPE_FIXED, NO_OFFSET),
        Some(_) => (DISK_TYPE_DIFFERENCING, HEADER_OFFSET),
        None => (DISK_TYPE_DYNAMIC, HEADER_OFFSET),
    };
    let footer = Footer {
        cookie: FOOTER_COOKIE,
        features: FEATURES_RESERVED,
        file_format_version: VERSION,
        data_offset,
        time_stamp: identity.time_stamp,
        creator_application: CREATOR,
        creator_version: CREATOR_VERSION,
        creator_host_os: CREATOR_HOST,
        original_size: plan.virtual_size,
        current_size: plan.virtual_size,
        disk_geometry: plan.geometry,
        disk_type,
        checksum: 0,
        unique_id: *identity.unique_id.as_bytes(),
        saved_state: 0,
    };
    sealed(&footer, FOOTER_LEN, FOOTER_CHECKSUM_AT)
}

pub(super) fn header(plan: &Plan) -> Result<Vec<u8>> {
    let mut header = DynamicHeader {
        cookie: HEADER_COOKIE,
        data_offset: NO_OFFSET,
        table_offset: plan.bat_offset,
        header_version: VERSION,
        max_table_entries: plan.blocks,
        block_size: BLOCK as u32,
        checksum: 0,
        parent_unique_id: [0; 16],
        parent_time_stamp: 0,
        reserved: 0,
        parent_unicode_name: [0; PARENT_NAME_LEN],
        parent_locator_entries: [ParentLocatorEntry::default(); PARENT_LOCATORS],
    };
    if let Some(parent) = &plan.parent {
        parent.fill(&mut header);
    }
    sealed(&header, HEADER_LEN, HEADER_CHECKSUM_AT)
}

/// The structure's bytes up to `len`, with its checksum.
fn sealed<T>(structure: &T, len: usize, checksum_at: usize) -> Result<Vec<u8>>
where
    T: BinWrite + WriteEndian,
    for<'a> T: BinWrite<Args<'a> = ()>,
{
    let mut bytes = Cursor::new(Vec::with_capacity(len));
    structure.write(&mut bytes).map_err(|e| Error::contract("a structure does not encode").with_source(e))?;
    let mut bytes = bytes.into_inner();
    bytes.resize(len, 0);
    let sum = checksum(&bytes, checksum_at).to_be_bytes();
    if let Some(field) = bytes.get_mut(checksum_at..checksum_at + sum.len()) {
        field.copy_from_slice(&sum);
    }
    Ok(bytes)
}
