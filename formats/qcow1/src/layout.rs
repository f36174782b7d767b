//! Constants and the header; all numbers big-endian. The names are those of QEMU's sources, there is no specification.

use format_core::{Bytes, Result};

pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 48;
pub(crate) const MIN_CLUSTER_BITS: u8 = 9;
pub(crate) const MAX_CLUSTER_BITS: u8 = 16;
/// L2 tables have 512 bytes to 64 KiB.
pub(crate) const MIN_L2_BITS: u8 = 6;
pub(crate) const MAX_L2_BITS: u8 = 13;
pub(crate) const ENTRY_LEN: u64 = 8;
/// As QEMU: more would take minutes to walk through.
pub(crate) const MAX_L1_LEN: u64 = 2 << 30;
pub(crate) const MAX_BACKING_NAME: u32 = 1023;

pub(crate) const CRYPT_NONE: u32 = 0;
pub(crate) const CRYPT_AES: u32 = 1;

/// An L2 entry of a compressed cluster: below this bit its length in bytes, below that its place.
pub(crate) const OFLAG_COMPRESSED: u64 = 1 << 63;

/// The header as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) backing_file_offset: u64,
    pub(crate) backing_file_size: u32,
    /// When the backing file was changed; nobody checks it, and QEMU has written 0 since 2006.
    pub(crate) mtime: u32,
    pub(crate) size: u64,
    pub(crate) cluster_bits: u8,
    pub(crate) l2_bits: u8,
    pub(crate) crypt_method: u32,
    pub(crate) l1_table_offset: u64,
}

impl Header {
    pub(crate) fn read(bytes: &[u8; HEADER_LEN]) -> Result<Self> {
        let bytes = Bytes::new(bytes, 0);
        Ok(Self {
            magic: bytes.array(0)?,
            version: bytes.u32_be(4)?,
            backing_file_offset: bytes.u64_be(8)?,
            backing_file_size: bytes.u32_be(16)?,
            mtime: bytes.u32_be(20)?,
            size: bytes.u64_be(24)?,
            cluster_bits: bytes.u8(32)?,
            l2_bits: bytes.u8(33)?,
            crypt_method: bytes.u32_be(36)?,
            l1_table_offset: bytes.u64_be(40)?,
        })
    }
}
