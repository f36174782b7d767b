//! Security descriptors: shared by keys that count themselves in, and in a ring.
//!
//! Source: specification, "Key security".

use super::Editor;
use crate::error::{Fault, Result};
use crate::layout::sk;

impl Editor<'_> {
    /// Counts one more key of a descriptor.
    pub(super) fn add_owner(&mut self, cell: u32) -> Result<()> {
        let owners = self.owners(cell)?;
        let more = owners.checked_add(1).ok_or(Fault::TooLarge {
            what: "keys with one security descriptor",
            found: u64::from(owners) + 1,
            limit: u64::from(u32::MAX),
        })?;
        self.hive.space.put_u32(cell, sk::REFERENCES, more)
    }

    /// Counts `fewer` keys less; a descriptor without any leaves the ring and its cell.
    pub(super) fn drop_owners(&mut self, cell: u32, fewer: u32) -> Result<()> {
        let left = self.owners(cell)?.saturating_sub(fewer);
        if left > 0 {
            return self.hive.space.put_u32(cell, sk::REFERENCES, left);
        }
        let record = self.hive.space.record(cell, "security descriptor")?;
        let (next, before) = (record.u32(sk::FLINK)?, record.u32(sk::BLINK)?);
        self.hive.space.put_u32(before, sk::FLINK, next)?;
        self.hive.space.put_u32(next, sk::BLINK, before)?;
        self.release(cell)
    }

    fn owners(&self, cell: u32) -> Result<u32> {
        self.hive.space.signed(cell, "security descriptor", sk::SIGNATURE, "sk")?.u32(sk::REFERENCES)
    }
}
