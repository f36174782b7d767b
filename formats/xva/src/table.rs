//! The table of checksums that old exports have at their end: the SHA-1 of each block by its name.

use crate::error::XvaError;
use crate::ova::Ova;
use crate::rpc::{self, Value};
use format_core::Result;
use std::collections::BTreeMap;

/// The longest table that is read: of some 200 GiB.
pub(crate) const MAX_LEN: u64 = 32 << 20;

/// What a block's checksum has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockSum {
    pub(crate) disk: usize,
    pub(crate) number: u64,
    pub(crate) sum: [u8; 20],
}

/// Compares `sums` with the table; `each` is told what is wrong.
pub(crate) fn compare(
    ova: &Ova,
    mut sums: Vec<BlockSum>,
    text: &[u8],
    each: &mut dyn FnMut(XvaError) -> Result<()>,
) -> Result<()> {
    sums.sort_unstable();
    let table = match rpc::parse(&String::from_utf8_lossy(text), "table of checksums") {
        Ok(Value::Struct(members)) => members,
        Ok(_) => return each(XvaError::NoTable),
        Err(error) => return each(error),
    };
    let disks: BTreeMap<_, _> =
        ova.disks.iter().zip(0..).map(|(vdi, index)| (vdi.reference.as_str(), index)).collect();
    let mut said = BTreeMap::new();
    for (name, sum) in &table {
        let (Some((folder, number)), Value::Text(sum)) = (name.split_once('/'), sum) else { continue };
        if let (Some(disk), Ok(number)) = (disks.get(folder), number.parse::<u64>()) {
            said.insert((*disk, number), sum.trim());
        }
    }
    for BlockSum { disk, number, sum } in sums {
        let name = || ova.disks.get(disk).map(|vdi| vdi.reference.clone()).unwrap_or_default();
        let found: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        match said.get(&(disk, number)) {
            Some(said) if said.eq_ignore_ascii_case(&found) => {}
            Some(said) => {
                let said = said.chars().take(80).collect();
                each(XvaError::Mismatch { disk: name(), number, said, found })?;
            }
            None => each(XvaError::NotInTable { disk: name(), number })?,
        }
    }
    Ok(())
}
