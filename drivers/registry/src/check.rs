//! Whether a hive is whole: what must be true before a cell of it is freed, moved or handed out.
//!
//! Every cell that is reached belongs to one owner, security descriptors excepted, which form one ring and know at least
//! as many owners as they have. Windows checks the same when it loads a hive (`CmCheckRegistry`), and repairs; here, a
//! hive that needs repair is refused. What no edit depends on is not checked: the order of lists (where a key is added,
//! it is), hashes, the largest lengths, the parent of a key, and cells that nothing refers to.

use crate::data::DataCells;
use crate::error::{Fault, Result};
use crate::hive::{Hive, Key};
use crate::key_node::KeyValue;
use crate::layout::{NIL, sk};
use crate::walk::{Claims, Walk};
use std::collections::BTreeMap;

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Keys, the root among them.
    pub keys: u64,
    /// Values.
    pub values: u64,
    /// Security descriptors.
    pub descriptors: u64,
}

/// Walks the whole hive.
pub(crate) fn check(hive: &Hive) -> Result<Census> {
    let mut walk = Walk::new(hive);
    let mut census = Census::default();
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    while let Some(visit) = walk.step()? {
        census.keys += 1;
        census.values += claim_key(hive, &mut walk.claims, &visit.key)?;
        let count = owners.entry(visit.key.node.security).or_default();
        *count = count.saturating_add(1);
    }
    census.descriptors = check_security(hive, &mut walk.claims, &owners)?;
    Ok(census)
}

/// Claims values, their data and the class name. Returns how many values there are.
fn claim_key(hive: &Hive, claims: &mut Claims, key: &Key<'_>) -> Result<u64> {
    let (space, node) = (&hive.space, &key.node);
    if node.class_bytes(space)?.is_some() {
        claims.take(node.class, "class name")?;
    }
    if node.values == 0 {
        return Ok(0);
    }
    // Before the list is gone through: one list for all keys would take forever.
    space.record(node.value_list, "list of values")?;
    claims.take(node.value_list, "list of values")?;
    for cell in node.value_cells(space)? {
        let value = KeyValue::load(space, cell)?;
        claims.take(cell, "value")?;
        let data = DataCells::of(space, hive.base.has_big_data(), &value)?;
        for cell in data.all() {
            space.record(cell, "data")?;
            claims.take(cell, "data")?;
        }
        if matches!(data, DataCells::Big { .. }) {
            crate::data::check_segments(space, &value, &data)?;
        }
    }
    Ok(u64::from(node.values))
}

/// Follows the ring of descriptors from that of the root.
fn check_security(hive: &Hive, claims: &mut Claims, owners: &BTreeMap<u32, u32>) -> Result<u64> {
    let Some(first) = owners.keys().next().copied() else { return Ok(0) };
    let load = |cell| hive.space.signed(cell, "security descriptor", sk::SIGNATURE, "sk");
    let (mut cell, mut before, mut met) = (first, NIL, 0);
    loop {
        claims.take(cell, "security descriptor")?;
        let record = load(cell)?;
        let wrong = |what: String| Fault::Record { cell, what };
        record.slice(sk::DESCRIPTOR, record.u32(sk::SIZE)? as usize)?;
        let (references, users) =
            (record.u32(sk::REFERENCES)?, owners.get(&cell).copied().unwrap_or_default());
        if references < users {
            return Err(wrong(format!("a security descriptor counts {references} keys, {users} have it")));
        }
        if before != NIL && record.u32(sk::BLINK)? != before {
            return Err(wrong(format!("it is behind the descriptor {before:#x} and does not say so")));
        }
        met += usize::from(users > 0);
        let next = record.u32(sk::FLINK)?;
        if next == first {
            let back = load(first)?.u32(sk::BLINK)?;
            if back != cell {
                return Err(wrong(format!("the ring of descriptors ends here, its start says at {back:#x}")));
            }
            break;
        }
        (before, cell) = (cell, next);
    }
    if met != owners.len() {
        let what = format!("{} descriptors are in use, the ring holds {met} of them", owners.len());
        return Err(Fault::Record { cell: first, what });
    }
    Ok(met as u64)
}
