//! How a kernel comes to a volume of the guest: what the micro-VM is told.

use driver_core::Mapping;
use std::sync::Arc;

/// A device as the guest's kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BlockDevice {
    /// A partition, or a whole disk.
    Part {
        /// The disk's place.
        disk: usize,
        /// First byte.
        start: u64,
        /// Bytes.
        size: u64,
    },
    /// A device of the device mapper: a logical volume, an unlocked container.
    Mapped {
        /// Its table.
        mapping: Arc<Mapping>,
        /// What its members are, in the order of the table's numbers.
        members: Arc<[Arc<BlockDevice>]>,
        /// What has to be there before it is written: its snapshots.
        beside: Vec<Arc<Mapping>>,
    },
    /// An array of the md driver.
    Array {
        /// Its name for people.
        name: String,
        /// Its members that are in use.
        members: Vec<Arc<BlockDevice>>,
        /// Of level 1: those members, and where the array's content begins on each, in bytes.
        mirrors: Vec<(Arc<BlockDevice>, u64)>,
    },
}
