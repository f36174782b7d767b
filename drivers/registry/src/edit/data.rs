//! Data of values: writing them in the form that their length asks for.

use super::Editor;
use crate::data::DataCells;
use crate::error::{Fault, Result};
use crate::layout::{CELL_HEADER, MAX_CELL, SEGMENT, db, vk};

/// The fields of a value that say where its data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataFields {
    pub(super) size: u32,
    pub(super) data: u32,
}

impl Editor<'_> {
    /// Refuses what no value of this hive can hold.
    pub(super) fn check_data_len(&self, len: usize) -> Result<()> {
        let has_big_data = self.hive.base.has_big_data();
        let limit = if has_big_data { SEGMENT * usize::from(u16::MAX) } else { MAX_CELL - CELL_HEADER };
        if len > limit {
            return Err(Fault::TooLarge { what: "data", found: len as u64, limit: limit as u64 });
        }
        Ok(())
    }

    /// Whether `data` are put into the value, one cell, or segments.
    fn is_big(&self, data: &[u8]) -> bool {
        self.hive.base.has_big_data() && data.len() > SEGMENT
    }

    /// Writes `data` over `old`, where they fit into its cell, or into new cells. Returns the fields, and what is to be
    /// given back once the value has them.
    pub(super) fn store(&mut self, data: &[u8], old: &DataCells) -> Result<(DataFields, Vec<u32>)> {
        let size = data.len() as u32;
        if data.len() <= 4 {
            let mut inline = [0; 4];
            for (place, byte) in inline.iter_mut().zip(data) {
                *place = *byte;
            }
            return Ok((DataFields { size: size | vk::INLINE, data: u32::from_le_bytes(inline) }, old.all()));
        }
        if self.is_big(data) {
            return Ok((DataFields { size, data: self.store_big(data)? }, old.all()));
        }
        if let DataCells::Plain(cell) = *old {
            let room = self.hive.space.record(cell, "data")?.bytes.len();
            if data.len() <= room {
                let mut whole = data.to_vec();
                whole.resize(room, 0);
                self.hive.space.put(cell, 0, &whole)?;
                return Ok((DataFields { size, data: cell }, Vec::new()));
            }
        }
        Ok((DataFields { size, data: self.allocate(data, 0)? }, old.all()))
    }

    fn store_big(&mut self, data: &[u8]) -> Result<u32> {
        let mut list = Vec::new();
        for segment in data.chunks(SEGMENT) {
            // The last one, too, has a cell of the full size: Windows writes into it up to that without asking.
            list.extend(self.allocate(segment, SEGMENT - segment.len())?.to_le_bytes());
        }
        let list_cell = self.allocate(&list, 0)?;
        let mut record = [0; db::RECORD];
        let count = (list.len() / 4) as u16;
        let (signature, rest) = record.split_at_mut(db::COUNT);
        signature.copy_from_slice(&db::SIGNATURE);
        let (count_field, list_field) = rest.split_at_mut(db::LIST - db::COUNT);
        count_field.copy_from_slice(&count.to_le_bytes());
        list_field.copy_from_slice(&list_cell.to_le_bytes());
        self.allocate(&record, 0)
    }
}
