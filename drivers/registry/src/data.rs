//! The bytes of a value: in the value, in a cell, or in segments.
//!
//! Source: specification, "Data size", "Big data".

use crate::error::{Fault, Result};
use crate::key_node::{DataPlace, KeyValue};
use crate::layout::{SEGMENT, db};
use crate::space::Space;

/// The parts of a value's data that lie in cells of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataCells {
    /// None.
    None,
    /// One cell.
    Plain(u32),
    /// The record, the list of segments, and the segments.
    Big { record: u32, list: u32, segments: Vec<u32> },
}

impl DataCells {
    /// All cells.
    pub(crate) fn all(&self) -> Vec<u32> {
        match self {
            Self::None => Vec::new(),
            Self::Plain(cell) => vec![*cell],
            Self::Big { record, list, segments } => {
                [*record, *list].into_iter().chain(segments.iter().copied()).collect()
            }
        }
    }

    /// Where the data of `value` are. `has_big_data` is of the hive's version.
    pub(crate) fn of(space: &Space, has_big_data: bool, value: &KeyValue<'_>) -> Result<Self> {
        let DataPlace::Cell(cell) = value.data else { return Ok(Self::None) };
        let size = value.size as usize;
        if size <= SEGMENT || !has_big_data {
            space.record(cell, "data")?.slice(0, size)?;
            return Ok(Self::Plain(cell));
        }
        if value.size > space.bins_size() {
            let what = format!("{size:#x} bytes of data, the whole hive has {:#x}", space.bins_size());
            return Err(Fault::Record { cell: value.cell, what });
        }
        let record = space.signed(cell, "big data", db::SIGNATURE, "db")?;
        let (count, list) = (usize::from(record.u16(db::COUNT)?), record.u32(db::LIST)?);
        if count != size.div_ceil(SEGMENT) {
            let what = format!("{count} segments for {size:#x} bytes of data");
            return Err(Fault::Record { cell, what });
        }
        let entries = space.record(list, "list of segments")?.slice(0, count * 4)?;
        let segments = entries.as_chunks().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect();
        Ok(Self::Big { record: cell, list, segments })
    }
}

/// The data of `value`.
pub(crate) fn read(space: &Space, has_big_data: bool, value: &KeyValue<'_>) -> Result<Vec<u8>> {
    let size = value.size as usize;
    match DataCells::of(space, has_big_data, value)? {
        DataCells::None => match value.data {
            DataPlace::Inline(bytes) => Ok(bytes.into_iter().take(size).collect()),
            _ => Ok(Vec::new()),
        },
        DataCells::Plain(cell) => Ok(space.record(cell, "data")?.slice(0, size)?.to_vec()),
        DataCells::Big { segments, .. } => {
            let mut data = Vec::new();
            for segment in segments {
                let part = SEGMENT.min(size - data.len());
                data.extend_from_slice(space.record(segment, "segment")?.slice(0, part)?);
            }
            Ok(data)
        }
    }
}

/// Whether every segment is as long as it must be.
pub(crate) fn check_segments(space: &Space, value: &KeyValue<'_>, data: &DataCells) -> Result<()> {
    let DataCells::Big { segments, .. } = data else { return Ok(()) };
    let mut left = value.size as usize;
    for segment in segments {
        let part = SEGMENT.min(left);
        space.record(*segment, "segment")?.slice(0, part)?;
        left -= part;
    }
    Ok(())
}
