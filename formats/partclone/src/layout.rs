//! Where everything lies in an image, and the numbers that stand for something.

/// What an image begins with; a zero byte follows in version 0002, the file system's name in 0001.
pub(crate) const MAGIC: &[u8] = b"partclone-image";
/// Four digits, in both versions.
pub(crate) const VERSION_AT: usize = 30;

/// The header of version 0002, with its checksum.
pub(crate) const HEADER_LEN: usize = 110;
/// The header of version 0001: mostly unused bytes.
pub(crate) const OLD_HEADER_LEN: usize = 64 + 4096;

/// Fields of version 0002.
pub(crate) mod at {
    pub(crate) const TOOL: usize = 16;
    pub(crate) const TOOL_LEN: usize = 14;
    pub(crate) const ENDIAN: usize = 34;
    pub(crate) const FILE_SYSTEM: usize = 36;
    pub(crate) const FILE_SYSTEM_LEN: usize = 16;
    pub(crate) const DEVICE_SIZE: usize = 52;
    pub(crate) const TOTAL: usize = 60;
    pub(crate) const USED: usize = 76;
    pub(crate) const BLOCK_SIZE: usize = 84;
    pub(crate) const IMAGE_VERSION: usize = 92;
    pub(crate) const SUM_MODE: usize = 96;
    pub(crate) const SUM_SIZE: usize = 98;
    pub(crate) const BLOCKS_PER_SUM: usize = 100;
    pub(crate) const RESEED: usize = 104;
    pub(crate) const BITMAP_MODE: usize = 105;
    pub(crate) const CRC: usize = 106;
}

/// Fields of version 0001.
pub(crate) mod old_at {
    pub(crate) const FILE_SYSTEM: usize = 15;
    pub(crate) const FILE_SYSTEM_LEN: usize = 15;
    pub(crate) const BLOCK_SIZE: usize = 36;
    pub(crate) const TOTAL: usize = 48;
    pub(crate) const USED: usize = 56;
}

pub(crate) const LITTLE_ENDIAN: u16 = 0xc0de;
pub(crate) const BIG_ENDIAN: u16 = 0xdec0;

pub(crate) const SUM_NONE: u16 = 0;
pub(crate) const SUM_CRC32: u16 = 0x20;
pub(crate) const SUM_XXH64: u16 = 0x30;
pub(crate) const SUM_XXH128: u16 = 0x31;
/// The checksum of version 0001.
pub(crate) const SUM_FIRST_BYTE: u16 = 0xff;

pub(crate) const BITMAP_NONE: u8 = 0;
pub(crate) const BITMAP_BITS: u8 = 1;
pub(crate) const BITMAP_BYTES: u8 = 8;

/// What follows a map with a byte for each block.
pub(crate) const BYTES_END: &[u8; 8] = b"BiTmAgIc";
/// The checksum after a map with a bit for each block.
pub(crate) const BITMAP_CRC_LEN: u64 = 4;

/// Smaller blocks than a sector and larger ones than this are unknown.
pub(crate) const MIN_BLOCK: u64 = 512;
pub(crate) const MAX_BLOCK: u64 = format_core::MAX_CHUNK;
