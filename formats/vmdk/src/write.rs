//! Writing disks of every hosted createType, of ESXi's flat one, and streams.
//!
//! ```text
//!  monolithicSparse, twoGbMaxExtentSparse   sparse: in any order, tables at fixed places
//!  monolithicFlat, twoGbMaxExtentFlat, vmfs flat: the disk's bytes, beside a descriptor
//!  streamOptimized                          stream: ascending, compressed, through a pipe too
//! ```
//!
//! Files that the descriptor names are committed before it, so an image that is there is whole.

mod descriptor;
mod extents;
mod options;
mod sparse;
mod stream;

use crate::layout::SECTOR;
use binrw::BinWrite;
use binrw::meta::WriteEndian;
use format_core::units::align_up;
use format_core::{CreateRequest, Error, ErrorKind, Result, Sink, TargetStorage};
use options::{CreateType, Plan};
use std::io::Cursor;

pub(crate) use options::CREATE_OPTIONS;

/// Sectors of a grain; products accept others and write these.
const GRAIN_SECTORS: u64 = 128;
/// Bytes of a grain.
const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
/// Entries of a grain table.
const TABLE_ENTRIES: u64 = 512;
/// Sectors that are kept for the embedded descriptor.
const DESCRIPTOR_SECTORS: u64 = 20;

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request)?;
    if plan.create_type == CreateType::StreamOptimized {
        return stream::create(target, plan);
    }
    extents::create(target, plan).map_err(|e| e.in_format(crate::FORMAT.name))
}

pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request)?;
    if plan.create_type == CreateType::StreamOptimized {
        return stream::resume(target, plan, state);
    }
    extents::resume(target, plan, state).map_err(|e| e.in_format(crate::FORMAT.name))
}

/// The descriptor as it is embedded.
fn embedded(text: String) -> Result<Vec<u8>> {
    let (mut bytes, room) = (text.into_bytes(), (DESCRIPTOR_SECTORS * SECTOR) as usize);
    if bytes.len() > room {
        let text =
            format!("a descriptor of {:#x} bytes, {room:#x} have room: names are too long", bytes.len());
        return Err(Error::unsupported(text).in_format(crate::FORMAT.name));
    }
    bytes.resize(room, 0);
    Ok(bytes)
}

fn encode<T: for<'a> BinWrite<Args<'a> = ()> + WriteEndian>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    value.write(&mut bytes).map_err(|e| contract(format!("cannot encode: {e}")))?;
    Ok(bytes.into_inner())
}

/// Fills up to whole sectors.
fn pad(bytes: &mut Vec<u8>) {
    let len = align_up(bytes.len() as u64, SECTOR).unwrap_or(u64::MAX);
    bytes.resize(len as usize, 0);
}

/// A sector number as tables hold it.
fn entry_of(sector: u64) -> Result<u32> {
    u32::try_from(sector).map_err(|_| {
        Error::new(ErrorKind::Limit, "the file would be larger than 2 TiB, which grain tables cannot address")
            .in_format(crate::FORMAT.name)
    })
}

fn contract(message: String) -> Error {
    Error::contract(message).in_format(crate::FORMAT.name)
}
