//! Which parts of a disk hold data, small enough for a page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A disk cut into equal cells, each with the share of it that holds data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Allocation {
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// Number of cells; the last may be a byte larger or smaller than the others.
    pub cells: u32,
    /// Bytes of data on the whole disk.
    pub data_bytes: u64,
    /// Runs of cells that are alike: how many, and the share in percent. 0 is no data at all and 100 nothing but data.
    pub runs: Vec<(u32, u8)>,
}

/// More cells are not told apart on a page.
pub const MOST_CELLS: u32 = 512;

impl Allocation {
    /// The share of every cell, at most [`MOST_CELLS`] of them, whatever the runs say.
    pub(crate) fn shares(&self) -> Vec<u8> {
        let cells = self.runs.iter().flat_map(|(count, share)| {
            std::iter::repeat_n((*share).min(100), (*count).min(MOST_CELLS) as usize)
        });
        cells.take(MOST_CELLS as usize).collect()
    }
}

/// Counts data by cells, from ranges in any order.
#[derive(Clone, Debug)]
pub struct Counter {
    virtual_size: u64,
    cells: Vec<u64>,
}

impl Counter {
    /// For a disk of `virtual_size` bytes in at most `cells` cells, and never more than [`MOST_CELLS`] or than it has bytes.
    #[must_use]
    pub fn new(virtual_size: u64, cells: u32) -> Self {
        let cells = u64::from(cells.clamp(1, MOST_CELLS)).min(virtual_size);
        Self { virtual_size, cells: vec![0; usize::try_from(cells).unwrap_or(0)] }
    }

    /// Where cell `index` begins.
    fn start(&self, index: usize) -> u64 {
        let at = u128::from(self.virtual_size) * index as u128 / self.cells.len().max(1) as u128;
        u64::try_from(at).unwrap_or(self.virtual_size)
    }

    /// Adds a range of data; what lies behind the disk's end is not counted.
    pub fn add(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.virtual_size);
        if offset >= end {
            return;
        }
        let first = u128::from(offset) * self.cells.len() as u128 / u128::from(self.virtual_size);
        let mut at = offset;
        for index in usize::try_from(first).unwrap_or(0)..self.cells.len() {
            let cell_end = self.start(index + 1);
            if cell_end <= at {
                continue;
            }
            let until = cell_end.min(end);
            if let Some(cell) = self.cells.get_mut(index) {
                *cell = cell.saturating_add(until - at);
            }
            at = until;
            if at >= end {
                return;
            }
        }
    }

    /// What was counted.
    #[must_use]
    pub fn finish(self) -> Allocation {
        let mut runs: Vec<(u32, u8)> = Vec::new();
        let mut data_bytes = 0_u64;
        for (index, bytes) in self.cells.iter().enumerate() {
            let len = self.start(index + 1) - self.start(index);
            // Ranges that overlap are counted twice, and a cell is never more than full.
            let bytes = (*bytes).min(len);
            data_bytes += bytes;
            let share = share(bytes, len);
            match runs.last_mut() {
                Some((count, last)) if *last == share => *count += 1,
                _ => runs.push((1, share)),
            }
        }
        Allocation { virtual_size: self.virtual_size, cells: self.cells.len() as u32, data_bytes, runs }
    }
}

/// In percent: never 0 for some data, and never 100 where some is missing.
fn share(bytes: u64, len: u64) -> u8 {
    match bytes {
        0 => 0,
        _ if bytes >= len => 100,
        _ => u8::try_from(u128::from(bytes) * 100 / u128::from(len)).unwrap_or(99).clamp(1, 99),
    }
}

/// What `rehome map --output json IMAGE` printed (as `qemu-img map --output json` does), in at most `cells` cells. `None`
/// when it is something else.
#[must_use]
pub fn allocation(map: &Value, cells: u32) -> Option<Allocation> {
    let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64);
    let rows = map.as_array()?;
    let mut size = 0_u64;
    for row in rows {
        size = size.max(number(row, "start")?.checked_add(number(row, "length")?)?);
    }
    let mut counter = Counter::new(size, cells);
    for row in rows {
        if row.get("data").and_then(Value::as_bool)? {
            counter.add(number(row, "start")?, number(row, "length")?);
        }
    }
    Some(counter.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(start: u64, length: u64, data: bool) -> Value {
        json!({"start": start, "length": length, "depth": 0, "present": data, "zero": !data, "data": data})
    }

    #[test]
    fn cells_hold_the_share_of_data_in_them() {
        let map = json!([row(0, 100, true), row(100, 150, false), row(250, 50, true), row(300, 700, false)]);
        let found = allocation(&map, 10).unwrap();
        assert_eq!(found.runs, [(1, 100), (1, 0), (1, 50), (7, 0)]);
        assert_eq!((found.data_bytes, found.virtual_size, found.cells), (150, 1000, 10));
        assert_eq!(found.shares().len(), 10);
    }

    #[test]
    fn a_little_data_is_never_none_and_almost_all_never_all() {
        let runs = |map| allocation(&map, 1).unwrap().runs;
        assert_eq!(runs(json!([row(0, 1, true), row(1, 1 << 40, false)])), [(1, 1)]);
        assert_eq!(runs(json!([row(0, 1 << 40, true), row(1 << 40, 1, false)])), [(1, 99)]);
    }

    #[test]
    fn cells_that_do_not_divide_the_disk_lose_no_byte() {
        for (size, cells) in [(1000_u64, 7_u32), (3, 512), (1, 1), (513, 512), (u64::MAX, 512)] {
            let mut counter = Counter::new(size, cells);
            let third = size / 3;
            counter.add(third, size - third);
            counter.add(0, third);
            let found = counter.finish();
            assert_eq!(found.data_bytes, size, "{size} in {cells}");
            assert_eq!(found.runs, [(found.cells, 100)], "{size} in {cells}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused_and_a_hostile_one_is_harmless() {
        for map in [json!({}), json!([{}]), json!([{"start": 1, "length": -1, "data": true}])] {
            assert_eq!(allocation(&map, 8), None, "{map}");
        }
        assert_eq!(allocation(&json!([row(u64::MAX, 2, true)]), 8), None);
        assert_eq!(allocation(&json!([]), 8).unwrap().runs, []);
        let twice = json!([row(0, 8, true), row(0, 8, true)]);
        assert_eq!(allocation(&twice, 1).unwrap().runs, [(1, 100)]);
        let many = Allocation { runs: vec![(u32::MAX, 255); 3], ..Allocation::default() };
        assert_eq!(many.shares(), vec![100; 512]);
    }
}
