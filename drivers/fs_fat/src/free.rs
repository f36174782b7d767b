//! What the file system does not use: clusters whose entries in the table are 0. They are believed only where all chains
//! are whole, or, in a table that is too large for that, where it was unmounted and FSInfo counts the same.

use crate::error::FatError;
use crate::fs::{FatFs, FatState};
use driver_core::FreeRanges;
use format_core::Result;
use std::ops::Range;

impl FatFs {
    /// As [`driver_core::GuestFs::free_ranges`].
    pub(crate) fn find_free(&self) -> Result<Option<Vec<Range<u64>>>> {
        if self.edited {
            return Ok(None);
        }
        if self.table.is_whole() {
            self.editable()?;
        } else if self.state() != FatState::Clean {
            return Err(FatError::Map("it was not cleanly unmounted".into()).into());
        }
        let (mut free, mut count) = (FreeRanges::default(), 0u32);
        for number in 2..=self.table.last() {
            if self.table.raw(number)? == 0 {
                count += 1;
                let offset = self.geometry.offset_of(number);
                free.add(offset..offset + self.geometry.cluster);
            }
        }
        let told = self.info.as_ref().map_or(u32::MAX, |info| info.free);
        if !self.table.is_whole() && told != count {
            return Err(FatError::Map(format!("its table has {count:#x}, FSInfo says {told:#x}")).into());
        }
        Ok(Some(free.finish()))
    }
}
