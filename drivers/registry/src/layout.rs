//! On-disk constants, named after the public specification ("Windows registry file format specification", sections
//! "Base block", "Hive bin", "Cell"). All numbers are little-endian; offsets are in bytes.

/// Size of the base block; hive bins data start behind it.
pub(crate) const BASE_BLOCK: usize = 4096;
/// The unit of hive bins.
pub(crate) const PAGE: u32 = 4096;
/// The unit of logs, and of what they keep of a base block.
pub(crate) const SECTOR: usize = 512;
/// Header of a hive bin.
pub(crate) const BIN_HEADER: u32 = 32;
/// Cells are multiples of this.
pub(crate) const CELL_ALIGN: u32 = 8;
/// The size field in front of a cell's data.
pub(crate) const CELL_HEADER: usize = 4;
/// A reference that points nowhere.
pub(crate) const NIL: u32 = u32::MAX;

/// Largest hive that is taken or grown to, base block included. Windows limits the System hive to far less; other
/// hives may be larger in theory, and are refused as beyond a limit.
pub(crate) const MAX_HIVE: u64 = 256 << 20;
/// Largest single cell: values of the standard format are at most 1 MiB ("Registry element size limits").
pub(crate) const MAX_CELL: usize = 1 << 20;
/// Keys may be nested this deep ("Registry element size limits").
pub(crate) const MAX_DEPTH: usize = 512;
/// Characters of a key name ("Registry element size limits").
pub(crate) const MAX_KEY_NAME: usize = 255;
/// Characters of a value name ("Registry element size limits").
pub(crate) const MAX_VALUE_NAME: usize = 16_383;
/// Entries of a leaf with hashes or hints: as many as fit a bin of one page.
pub(crate) const MAX_FAST_LEAF: usize = 507;
/// Entries of a plain leaf.
pub(crate) const MAX_PLAIN_LEAF: usize = 1013;
/// Data in one segment of big data, and the largest that are no big data (from version 1.4).
pub(crate) const SEGMENT: usize = 16_344;

/// Fields of the base block.
pub(crate) mod base {
    pub(crate) const SIGNATURE: &[u8; 4] = b"regf";
    pub(crate) const PRIMARY_SEQUENCE: usize = 4;
    pub(crate) const SECONDARY_SEQUENCE: usize = 8;
    pub(crate) const LAST_WRITTEN: usize = 12;
    pub(crate) const MAJOR: usize = 20;
    pub(crate) const MINOR: usize = 24;
    pub(crate) const FILE_TYPE: usize = 28;
    pub(crate) const FILE_FORMAT: usize = 32;
    pub(crate) const ROOT_CELL: usize = 36;
    pub(crate) const BINS_SIZE: usize = 40;
    pub(crate) const CLUSTERING: usize = 44;
    pub(crate) const FLAGS: usize = 144;
    pub(crate) const CHECKSUM: usize = 508;
    /// File types: a primary file, and logs of Windows XP and later, of Windows 2000 and earlier, and of 8.1 and later.
    pub(crate) const PRIMARY: u32 = 0;
    pub(crate) const LOGS_OLD: [u32; 2] = [1, 2];
    pub(crate) const LOG_NEW: u32 = 6;
    /// The flag that a log entry carries.
    pub(crate) const FLAG_TRANSACTIONS: u32 = 1;
}

/// Fields of a hive bin's header.
pub(crate) mod bin {
    pub(crate) const SIGNATURE: &[u8; 4] = b"hbin";
    pub(crate) const OFFSET: usize = 4;
    pub(crate) const SIZE: usize = 8;
    pub(crate) const TIMESTAMP: usize = 20;
}

/// Fields of a key node.
pub(crate) mod nk {
    pub(crate) const SIGNATURE: [u8; 2] = *b"nk";
    pub(crate) const FLAGS: usize = 2;
    pub(crate) const LAST_WRITTEN: usize = 4;
    pub(crate) const PARENT: usize = 16;
    pub(crate) const SUBKEYS: usize = 20;
    pub(crate) const SUBKEY_LIST: usize = 28;
    pub(crate) const VALUES: usize = 36;
    pub(crate) const VALUE_LIST: usize = 40;
    pub(crate) const SECURITY: usize = 44;
    pub(crate) const CLASS: usize = 48;
    pub(crate) const MAX_SUBKEY_NAME: usize = 52;
    pub(crate) const MAX_CLASS: usize = 56;
    pub(crate) const MAX_VALUE_NAME: usize = 60;
    pub(crate) const MAX_VALUE_DATA: usize = 64;
    pub(crate) const NAME_LEN: usize = 72;
    pub(crate) const CLASS_LEN: usize = 74;
    pub(crate) const NAME: usize = 76;
    pub(crate) const FLAG_ROOT: u16 = 0x04;
    pub(crate) const FLAG_NO_DELETE: u16 = 0x08;
    pub(crate) const FLAG_LINK: u16 = 0x10;
    pub(crate) const FLAG_COMPRESSED: u16 = 0x20;
    pub(crate) const FLAG_PREDEFINED: u16 = 0x40;
    /// "Virtualization control flags" beside the largest subkey name, and the one that hands them on to new subkeys.
    pub(crate) const VIRTUALIZATION: u32 = 0x000f_0000;
    pub(crate) const VIRTUALIZATION_RECURSES: u32 = 0x0008_0000;
}

/// Fields of a key value.
pub(crate) mod vk {
    pub(crate) const SIGNATURE: [u8; 2] = *b"vk";
    pub(crate) const NAME_LEN: usize = 2;
    pub(crate) const DATA_SIZE: usize = 4;
    pub(crate) const DATA: usize = 8;
    pub(crate) const TYPE: usize = 12;
    pub(crate) const FLAGS: usize = 16;
    pub(crate) const NAME: usize = 20;
    pub(crate) const FLAG_COMPRESSED: u16 = 1;
    /// In the size: the data are in the field of their offset.
    pub(crate) const INLINE: u32 = 0x8000_0000;
}

/// Fields of a security descriptor's cell.
pub(crate) mod sk {
    pub(crate) const SIGNATURE: [u8; 2] = *b"sk";
    pub(crate) const FLINK: usize = 4;
    pub(crate) const BLINK: usize = 8;
    pub(crate) const REFERENCES: usize = 12;
    pub(crate) const SIZE: usize = 16;
    pub(crate) const DESCRIPTOR: usize = 20;
}

/// Fields of big data.
pub(crate) mod db {
    pub(crate) const SIGNATURE: [u8; 2] = *b"db";
    pub(crate) const COUNT: usize = 2;
    pub(crate) const LIST: usize = 4;
    /// Size of the record.
    pub(crate) const RECORD: usize = 8;
}

/// Lists of subkeys: signature, count, entries.
pub(crate) mod list {
    pub(crate) const COUNT: usize = 2;
    pub(crate) const ENTRIES: usize = 4;
}
