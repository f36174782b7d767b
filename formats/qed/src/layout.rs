//! Constants and the header as the specification names them; all numbers little-endian.

use format_core::{Bytes, Result};

pub(crate) const MAGIC: [u8; 4] = *b"QED\0";
/// Bytes of the header with the fields of the backing file.
pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const MIN_CLUSTER: u32 = 4 << 10;
pub(crate) const MAX_CLUSTER: u32 = 64 << 20;
pub(crate) const MAX_TABLE_SIZE: u32 = 16;
pub(crate) const ENTRY_LEN: u64 = 8;
/// The longest file name that QEMU takes.
pub(crate) const MAX_BACKING_NAME: u32 = 4095;

/// The image is a difference to a backing file.
pub(crate) const F_BACKING_FILE: u64 = 1;
/// The image was not closed: its tables may contradict themselves.
pub(crate) const F_NEED_CHECK: u64 = 2;
/// The backing file is a raw disk, whatever its bytes look like.
pub(crate) const F_BACKING_FORMAT_NO_PROBE: u64 = 4;
pub(crate) const KNOWN_FEATURES: u64 = F_BACKING_FILE | F_NEED_CHECK | F_BACKING_FORMAT_NO_PROBE;

/// An L2 entry for a cluster of zeros that hides the backing file.
pub(crate) const ZERO_CLUSTER: u64 = 1;

/// The header as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 4],
    pub(crate) cluster_size: u32,
    /// Of the L1 table and each L2 table, in clusters.
    pub(crate) table_size: u32,
    /// In clusters.
    pub(crate) header_size: u32,
    pub(crate) features: u64,
    pub(crate) compat_features: u64,
    pub(crate) autoclear_features: u64,
    pub(crate) l1_table_offset: u64,
    pub(crate) image_size: u64,
    pub(crate) backing_filename_offset: u32,
    pub(crate) backing_filename_size: u32,
}

impl Header {
    pub(crate) fn read(bytes: &[u8; HEADER_LEN]) -> Result<Self> {
        let bytes = Bytes::new(bytes, 0);
        Ok(Self {
            magic: bytes.array(0)?,
            cluster_size: bytes.u32_le(4)?,
            table_size: bytes.u32_le(8)?,
            header_size: bytes.u32_le(12)?,
            features: bytes.u64_le(16)?,
            compat_features: bytes.u64_le(24)?,
            autoclear_features: bytes.u64_le(32)?,
            l1_table_offset: bytes.u64_le(40)?,
            image_size: bytes.u64_le(48)?,
            backing_filename_offset: bytes.u32_le(56)?,
            backing_filename_size: bytes.u32_le(60)?,
        })
    }
}
