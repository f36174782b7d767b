//! Bytes to trusted types: every check of the structures is below here, and nothing here does I/O.

mod header;
mod locator;
mod log;
mod metadata;
mod regions;

pub(crate) use header::{Headers, is_checksum_right, parse_headers};
pub(crate) use locator::{LINKAGE, ParentLocator, RELATIVE_PATH, parse_locator};
pub(crate) use log::{Change, LogState, MAX_LOG, parse_log};
pub(crate) use metadata::{Facts, Items, Parameters, parse_metadata_table, parse_parameters};
pub(crate) use regions::{Region, Regions, parse_region_table};

use crate::error::VhdxError;
use binrw::BinRead;
use std::io::Cursor;

/// Reads one fixed-size structure of `len` bytes that starts at `at`.
fn record<T>(bytes: &[u8], at: usize, len: usize) -> Result<T, VhdxError>
where
    T: BinRead,
    for<'a> T::Args<'a>: Default,
{
    let short = VhdxError::Short { wanted: len, len: bytes.len().saturating_sub(at) };
    let Some(slice) = at.checked_add(len).and_then(|end| bytes.get(at..end)) else { return Err(short) };
    T::read_le(&mut Cursor::new(slice)).map_err(|_| short)
}
