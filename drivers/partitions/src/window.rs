//! A range of an overlay as a volume.

use driver_core::{PartitionFacts, Volume};
use format_core::{Error, Overlay, Result};
use std::sync::Arc;

/// A range of a disk's overlay: a partition, or the whole disk.
#[derive(Clone)]
pub struct Window {
    overlay: Arc<Overlay>,
    start: u64,
    len: u64,
}

impl Window {
    /// The window of `partition`.
    ///
    /// # Errors
    /// `Corrupt` when the partition leaves the disk.
    pub fn of_partition(overlay: &Arc<Overlay>, partition: &PartitionFacts) -> Result<Self> {
        let (start, len, size) = (partition.start, partition.size, overlay.base().virtual_size());
        if start.checked_add(len).is_none_or(|end| end > size) {
            let number = partition.number;
            return Err(Error::corrupt(format!(
                "partition {number} is {start:#x}+{len:#x}, the disk ends at {size:#x}"
            )));
        }
        Ok(Self { overlay: Arc::clone(overlay), start, len })
    }

    fn place(&self, offset: u64, len: usize) -> Result<u64> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(self.start + offset),
            _ => Err(Error::usage(format!(
                "{len:#x} bytes at {offset:#x} leave the volume of {:#x} bytes",
                self.len
            ))),
        }
    }
}

impl Volume for Window {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.overlay.read_merged_at(self.place(offset, buf.len())?, buf)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.overlay.write_all_at(self.place(offset, bytes.len())?, bytes)
    }
}

/// A disk without a table: one partition numbered 0.
pub(crate) fn whole_disk(size: u64) -> PartitionFacts {
    PartitionFacts { size, ..PartitionFacts::default() }
}
