//! Key nodes (`nk`), key values (`vk`) and lists of values: cells become numbers that were checked.
//!
//! Source: specification, "Key node", "Key values list", "Key value".

use crate::error::{Fault, Result};
use crate::fields::Record;
use crate::filetime::FileTime;
use crate::layout::{NIL, nk, vk};
use crate::name::StoredName;
use crate::space::Space;

/// A key node, in whose cell name and fixed fields lie whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyNode<'a> {
    pub(crate) cell: u32,
    pub(crate) flags: u16,
    pub(crate) last_written: FileTime,
    pub(crate) subkeys: u32,
    pub(crate) subkey_list: u32,
    pub(crate) values: u32,
    pub(crate) value_list: u32,
    pub(crate) security: u32,
    pub(crate) class: u32,
    pub(crate) class_len: usize,
    pub(crate) name: StoredName<'a>,
}

impl<'a> KeyNode<'a> {
    pub(crate) fn load(space: &'a Space, cell: u32) -> Result<Self> {
        let record = space.signed(cell, "key", nk::SIGNATURE, "nk")?;
        let flags = record.u16(nk::FLAGS)?;
        let is_compressed = flags & nk::FLAG_COMPRESSED != 0;
        let name_len = usize::from(record.u16(nk::NAME_LEN)?);
        if name_len == 0 || (!is_compressed && !name_len.is_multiple_of(2)) {
            return Err(Fault::Record { cell, what: format!("a key has a name of {name_len} bytes") });
        }
        let has_values = flags & nk::FLAG_PREDEFINED == 0;
        Ok(Self {
            cell,
            flags,
            last_written: FileTime(record.u64(nk::LAST_WRITTEN)?),
            subkeys: record.u32(nk::SUBKEYS)?,
            subkey_list: record.u32(nk::SUBKEY_LIST)?,
            // A predefined handle keeps its number in place of the count.
            values: if has_values { record.u32(nk::VALUES)? } else { 0 },
            value_list: record.u32(nk::VALUE_LIST)?,
            security: record.u32(nk::SECURITY)?,
            class: record.u32(nk::CLASS)?,
            class_len: usize::from(record.u16(nk::CLASS_LEN)?),
            name: StoredName { bytes: record.slice(nk::NAME, name_len)?, is_compressed },
        })
    }

    pub(crate) fn is_link(&self) -> bool {
        self.flags & nk::FLAG_LINK != 0
    }

    /// The bytes of the class name, if there is one.
    pub(crate) fn class_bytes(&self, space: &'a Space) -> Result<Option<&'a [u8]>> {
        if self.class_len == 0 || self.class == NIL {
            return Ok(None);
        }
        space.record(self.class, "class name")?.slice(0, self.class_len).map(Some)
    }

    /// The cells of the values, in their order.
    pub(crate) fn value_cells(&self, space: &'a Space) -> Result<impl Iterator<Item = u32> + use<'a>> {
        let list = if self.values == 0 {
            &[]
        } else {
            let record = space.record(self.value_list, "list of values")?;
            record.slice(0, (self.values as usize).saturating_mul(4))?
        };
        Ok(list.as_chunks().0.iter().map(|entry| u32::from_le_bytes(*entry)))
    }

    /// The value `name`, and its place in the list.
    pub(crate) fn find_value(&self, space: &'a Space, name: &[u16]) -> Result<Option<(usize, KeyValue<'a>)>> {
        for (place, cell) in self.value_cells(space)?.enumerate() {
            let value = KeyValue::load(space, cell)?;
            if value.name.is(name) {
                return Ok(Some((place, value)));
            }
        }
        Ok(None)
    }
}

/// A key value, in whose cell name and fixed fields lie whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyValue<'a> {
    pub(crate) cell: u32,
    pub(crate) kind: u32,
    pub(crate) name: StoredName<'a>,
    pub(crate) size: u32,
    pub(crate) data: DataPlace,
}

/// Where the data of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataPlace {
    /// In the value itself.
    Inline([u8; 4]),
    /// There are none.
    Nowhere,
    /// In a cell of their own, or behind one with big data.
    Cell(u32),
}

impl<'a> KeyValue<'a> {
    pub(crate) fn load(space: &'a Space, cell: u32) -> Result<Self> {
        let record = space.signed(cell, "value", vk::SIGNATURE, "vk")?;
        let is_compressed = record.u16(vk::FLAGS)? & vk::FLAG_COMPRESSED != 0;
        let name_len = usize::from(record.u16(vk::NAME_LEN)?);
        if !is_compressed && !name_len.is_multiple_of(2) {
            return Err(Fault::Record { cell, what: format!("a wide name has {name_len} bytes") });
        }
        let (size, data) = data_place(&record)?;
        Ok(Self {
            cell,
            kind: record.u32(vk::TYPE)?,
            name: StoredName { bytes: record.slice(vk::NAME, name_len)?, is_compressed },
            size,
            data,
        })
    }
}

fn data_place(record: &Record<'_>) -> Result<(u32, DataPlace)> {
    let raw = record.u32(vk::DATA_SIZE)?;
    let (size, data) = (raw & !vk::INLINE, record.u32(vk::DATA)?);
    if raw & vk::INLINE == 0 {
        return Ok((size, if size == 0 { DataPlace::Nowhere } else { DataPlace::Cell(data) }));
    }
    if size > 4 {
        let what = format!("{size} bytes of data in the value itself, at most 4 are possible");
        return Err(Fault::Record { cell: record.cell, what });
    }
    Ok((size, DataPlace::Inline(data.to_le_bytes())))
}
