//! Where things stand in the file, in bytes. All numbers are big-endian but for the lengths of blobs.

/// The first bytes of a file.
pub(crate) const MAGIC: [u8; 4] = *b"VMA\0";
/// The first bytes of an extent.
pub(crate) const EXTENT_MAGIC: [u8; 4] = *b"VMAE";
/// The only version there is.
pub(crate) const VERSION: u32 = 1;

/// The part of the header that has always the same length.
pub(crate) const FIXED_LEN: usize = 12288;
pub(crate) const VERSION_AT: usize = 4;
pub(crate) const UUID_AT: usize = 8;
pub(crate) const CREATED_AT: usize = 24;
pub(crate) const MD5_AT: usize = 32;
pub(crate) const BLOBS_AT: usize = 48;
pub(crate) const BLOBS_LEN_AT: usize = 52;
pub(crate) const HEADER_LEN_AT: usize = 56;
/// 256 places of blobs: the names of the configuration files.
pub(crate) const CONFIG_NAMES_AT: usize = 2044;
/// 256 places of blobs: what is in them.
pub(crate) const CONFIG_DATA_AT: usize = 3068;
/// 256 records.
pub(crate) const DEVICES_AT: usize = 4096;
pub(crate) const DEVICE_LEN: usize = 32;
/// Inside of a record: after the place of its name and a reserved word.
pub(crate) const DEVICE_SIZE_AT: usize = 8;
/// Number of configuration files, and of devices with the one that is none.
pub(crate) const ENTRIES: usize = 256;

/// Headers are whole sectors, and so is the place of everything that follows.
pub(crate) const SECTOR: u64 = 512;
/// The largest header that is read: real ones have some KiB.
pub(crate) const MAX_HEADER: u64 = 16 << 20;
/// The largest disk that 32-bit numbers of clusters can hold.
pub(crate) const MAX_DEVICE: u64 = CLUSTER << 32;

/// The head of an extent.
pub(crate) const HEAD_LEN: usize = 512;
pub(crate) const HEAD_COUNT_AT: usize = 6;
pub(crate) const HEAD_UUID_AT: usize = 8;
pub(crate) const HEAD_MD5_AT: usize = 24;
pub(crate) const HEAD_SLOTS_AT: usize = 40;
/// Clusters of an extent.
pub(crate) const SLOTS: usize = 59;

/// Bytes of a block: what is stored or left out.
pub(crate) const BLOCK: u64 = 4096;
/// Bytes of a cluster.
pub(crate) const CLUSTER: u64 = 65536;
/// Blocks of a cluster.
pub(crate) const BLOCKS: u64 = CLUSTER / BLOCK;

/// The device that holds the memory of the machine.
pub(crate) const VM_STATE: &str = "vmstate";
