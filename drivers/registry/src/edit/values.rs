//! Setting and deleting values.

use super::Editor;
use super::data::DataFields;
use crate::data::{self, DataCells};
use crate::error::{Fault, Result as Checked};
use crate::key_node::KeyValue;
use crate::layout::{MAX_VALUE_NAME, NIL, nk, vk};
use crate::name::{checked, encode};
use crate::value::Value;
use format_core::Result;

impl Editor<'_> {
    /// Sets the value `name` of the key at `path`, which must be there. A value that exists keeps the spelling of its
    /// name; the empty name is that of the default value. Returns whether something changed.
    ///
    /// # Errors
    /// `Usage`: no such key, or no name that a value can have. `Unsupported`: the key is a symbolic link or a predefined
    /// handle. `Limit`: more data than a value of this hive can hold, or than the hive has room for. `Corrupt`: what is
    /// on the way is broken.
    pub fn set_value(&mut self, path: &str, name: &str, value: &Value) -> Result<bool> {
        self.try_set(path, name, value).map_err(|fault| in_value(fault, path, name))
    }

    /// Deletes the value `name` of the key at `path`. Returns whether it was there.
    ///
    /// # Errors
    /// `Unsupported`: the key is a symbolic link or a predefined handle. `Corrupt`: what is on the way is broken.
    pub fn delete_value(&mut self, path: &str, name: &str) -> Result<bool> {
        self.try_delete(path, name).map_err(|fault| in_value(fault, path, name))
    }

    fn try_set(&mut self, path: &str, name: &str, value: &Value) -> Checked<bool> {
        let name = checked("value name", name, MAX_VALUE_NAME)?;
        self.check_data_len(value.data.len())?;
        let key = self.find(path)?.ok_or_else(|| Fault::Usage(format!("there is no key {path:?}")))?;
        self.plain_key(key, path)?;
        let space = &self.hive.space;
        let node = self.node(key)?;
        match node.find_value(space, &name)? {
            Some((_, old)) => {
                let has_big_data = self.hive.base.has_big_data();
                if old.kind == value.kind.0 && data::read(space, has_big_data, &old)? == value.data {
                    return Ok(false);
                }
                let cells = DataCells::of(space, has_big_data, &old)?;
                let cell = old.cell;
                self.change(|editor| editor.overwrite(key, cell, &cells, value))?;
            }
            None => {
                let list = node.value_cells(space)?.collect();
                let old_list = (node.values > 0).then_some(node.value_list);
                self.change(|editor| editor.add_value(key, old_list, list, &name, value))?;
            }
        }
        Ok(true)
    }

    fn overwrite(&mut self, key: u32, cell: u32, old: &DataCells, value: &Value) -> Checked<()> {
        let (fields, unused) = self.store(&value.data, old)?;
        self.hive.space.put_u32(cell, vk::DATA_SIZE, fields.size)?;
        self.hive.space.put_u32(cell, vk::DATA, fields.data)?;
        self.hive.space.put_u32(cell, vk::TYPE, value.kind.0)?;
        self.release_all(unused)?;
        self.raise(key, nk::MAX_VALUE_DATA, value.data.len())?;
        self.touch(key)
    }

    fn add_value(
        &mut self,
        key: u32,
        old_list: Option<u32>,
        mut list: Vec<u32>,
        name: &[u16],
        value: &Value,
    ) -> Checked<()> {
        let (fields, _) = self.store(&value.data, &DataCells::None)?;
        let cell = self.allocate(&value_record(name, value, fields), 0)?;
        list.push(cell);
        let content: Vec<u8> = list.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        // Room for a quarter more, so that a long list is not copied for each new value.
        let spare = list.len() / 4 * 4;
        let list_cell = match old_list {
            Some(old) => self.rewrite(old, &content, spare)?,
            None => self.allocate(&content, 0)?,
        };
        self.hive.space.put_u32(key, nk::VALUE_LIST, list_cell)?;
        self.hive.space.put_u32(key, nk::VALUES, list.len() as u32)?;
        self.raise(key, nk::MAX_VALUE_NAME, name.len() * 2)?;
        self.raise(key, nk::MAX_VALUE_DATA, value.data.len())?;
        self.touch(key)
    }

    fn try_delete(&mut self, path: &str, name: &str) -> Checked<bool> {
        let Some(key) = self.find(path)? else { return Ok(false) };
        self.plain_key(key, path)?;
        let name: Vec<u16> = name.encode_utf16().collect();
        let space = &self.hive.space;
        let node = self.node(key)?;
        let Some((place, value)) = node.find_value(space, &name)? else { return Ok(false) };
        let mut list: Vec<u32> = node.value_cells(space)?.collect();
        list.remove(place);
        let mut unused = DataCells::of(space, self.hive.base.has_big_data(), &value)?.all();
        unused.push(value.cell);
        let list_cell = node.value_list;
        self.change(|editor| editor.drop_value(key, list_cell, &list, unused))?;
        Ok(true)
    }

    fn drop_value(&mut self, key: u32, list_cell: u32, list: &[u32], mut unused: Vec<u32>) -> Checked<()> {
        if list.is_empty() {
            unused.push(list_cell);
            self.hive.space.put_u32(key, nk::VALUE_LIST, NIL)?;
            self.hive.space.put_u32(key, nk::MAX_VALUE_NAME, 0)?;
            self.hive.space.put_u32(key, nk::MAX_VALUE_DATA, 0)?;
        } else {
            let content: Vec<u8> = list.iter().flat_map(|cell| cell.to_le_bytes()).collect();
            self.hive.space.put(list_cell, 0, &content)?;
        }
        self.hive.space.put_u32(key, nk::VALUES, list.len() as u32)?;
        self.release_all(unused)?;
        self.touch(key)
    }

    /// All cells that the values of a key are made of, its list among them.
    pub(super) fn cells_of_values(&self, key: u32) -> Checked<Vec<u32>> {
        let space = &self.hive.space;
        let node = self.node(key)?;
        let mut cells = Vec::new();
        if node.values == 0 {
            return Ok(cells);
        }
        cells.push(node.value_list);
        for cell in node.value_cells(space)? {
            let value = KeyValue::load(space, cell)?;
            cells.push(cell);
            cells.extend(DataCells::of(space, self.hive.base.has_big_data(), &value)?.all());
        }
        Ok(cells)
    }
}

fn value_record(name: &[u16], value: &Value, fields: DataFields) -> Vec<u8> {
    let name = encode(name);
    let mut record = Vec::with_capacity(vk::NAME);
    record.extend(vk::SIGNATURE);
    record.extend((name.bytes.len() as u16).to_le_bytes());
    record.extend(fields.size.to_le_bytes());
    record.extend(fields.data.to_le_bytes());
    record.extend(value.kind.0.to_le_bytes());
    record.extend((if name.is_compressed { vk::FLAG_COMPRESSED } else { 0 }).to_le_bytes());
    record.extend([0; 2]);
    record.extend(name.bytes);
    record
}

fn in_value(fault: Fault, path: &str, name: &str) -> format_core::Error {
    format_core::Error::from(fault).context(format!("value {name:?} of key {path:?}"))
}
