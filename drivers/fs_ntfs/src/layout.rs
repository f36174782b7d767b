//! Numbers of the on-disk structures, with the names that the Linux NTFS documentation gives them.

/// The stride of update sequences, whatever the sector size.
pub(crate) const STRIDE: usize = 512;

/// Records of the volume's own files.
pub(crate) const MFT: u64 = 0;
pub(crate) const MFT_MIRROR: u64 = 1;
pub(crate) const LOG_FILE: u64 = 2;
pub(crate) const VOLUME: u64 = 3;
pub(crate) const ATTR_DEF: u64 = 4;
pub(crate) const ROOT: u64 = 5;
pub(crate) const BITMAP: u64 = 6;
pub(crate) const BOOT: u64 = 7;
pub(crate) const UPCASE: u64 = 10;
pub(crate) const EXTEND: u64 = 11;
/// Records below are the volume's own.
pub(crate) const FIRST_USER: u64 = 24;

/// Attribute types.
pub(crate) const STANDARD_INFORMATION: u32 = 0x10;
pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
pub(crate) const FILE_NAME: u32 = 0x30;
pub(crate) const VOLUME_NAME: u32 = 0x60;
pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
pub(crate) const DATA: u32 = 0x80;
pub(crate) const INDEX_ROOT: u32 = 0x90;
pub(crate) const INDEX_ALLOCATION: u32 = 0xa0;
pub(crate) const BITMAP_ATTRIBUTE: u32 = 0xb0;
pub(crate) const REPARSE_POINT: u32 = 0xc0;
pub(crate) const END_OF_ATTRIBUTES: u32 = 0xffff_ffff;

/// Flags of an attribute.
pub(crate) const COMPRESSED: u16 = 0x0001;
pub(crate) const ENCRYPTED: u16 = 0x4000;
pub(crate) const SPARSE: u16 = 0x8000;

/// Flags of a record.
pub(crate) const IN_USE: u16 = 1;
pub(crate) const IS_FOLDER: u16 = 2;

/// File attributes.
pub(crate) const ATTR_READONLY: u32 = 0x1;
pub(crate) const ATTR_REPARSE: u32 = 0x400;
pub(crate) const ATTR_ENCRYPTED: u32 = 0x4000;
/// Only in the names of an index.
pub(crate) const ATTR_FOLDER: u32 = 0x1000_0000;

/// Name spaces.
pub(crate) const DOS_ONLY: u8 = 2;

/// Flags of the volume.
pub(crate) const VOLUME_DIRTY: u16 = 0x0001;
pub(crate) const VOLUME_RESIZE_LOG: u16 = 0x0002;
pub(crate) const VOLUME_UPGRADE: u16 = 0x0004;
pub(crate) const VOLUME_DELETE_USN: u16 = 0x0010;
pub(crate) const VOLUME_REPAIR_IDS: u16 = 0x0020;
pub(crate) const VOLUME_CHKDSK: u16 = 0x4000;

/// Low 48 bits of a reference: the record's number.
pub(crate) const NUMBER_MASK: u64 = 0xffff_ffff_ffff;

/// The record's number in a reference.
pub(crate) fn number_of(reference: u64) -> u64 {
    reference & NUMBER_MASK
}

/// The sequence number in a reference.
pub(crate) fn sequence_of(reference: u64) -> u16 {
    (reference >> 48) as u16
}

/// The UTF-16 of an ASCII name.
pub(crate) fn units(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}
