//! Where things lie in a file. All numbers are little-endian, all structures packed.

/// The last bytes of the file.
pub(crate) const MAGIC: &[u8; 12] = b"MACRIUM_FILE";
/// The place of the first metadata block, and the magic.
pub(crate) const FOOTER: usize = 20;

/// The header of a metadata block.
pub(crate) mod header {
    pub(crate) const LEN: usize = 32;
    pub(crate) const NAME: usize = 0;
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const MD5: usize = 12;
    pub(crate) const FLAGS: usize = 28;
    /// No further block follows in the list.
    pub(crate) const LAST: u8 = 1;
    pub(crate) const PACKED: u8 = 2;
    pub(crate) const ENCRYPTED: u8 = 4;
}

/// Names of metadata blocks.
pub(crate) mod name {
    pub(crate) const JSON: &[u8; 8] = b"$JSON   ";
    pub(crate) const TRACK_0: &[u8; 8] = b"$TRACK0 ";
    pub(crate) const EXTENDED: &[u8; 8] = b"$EPT    ";
    pub(crate) const INDEX: &[u8; 8] = b"$INDEX  ";
}

/// An element of an index.
pub(crate) mod element {
    pub(crate) const LEN: usize = 30;
    pub(crate) const POSITION: usize = 0;
    pub(crate) const MD5: usize = 8;
    pub(crate) const LENGTH: usize = 24;
    pub(crate) const FILE: usize = 28;
    /// In a delta the number of the block follows.
    pub(crate) const DELTA_LEN: usize = 34;
}

/// An entry of the extended partition table: a boot record, its place, a number; padded or not.
pub(crate) const EXTENDED_LENS: [usize; 2] = [528, 522];
/// A sector of an extended partition table.
pub(crate) const BOOT_RECORD: usize = 512;

/// Blocks of reserved sectors have this many bytes, but for the last.
pub(crate) const RESERVED_BLOCK: u64 = 4 << 20;
/// The largest block that is taken; Reflect makes 64 KiB.
pub(crate) const MAX_BLOCK: u64 = 16 << 20;
/// What the bytes of a block may have more in the file: compression of what does not compress, and a cipher's block.
pub(crate) const OVERHEAD: u64 = 128 << 10;
/// The largest metadata block that is unpacked, in bytes.
pub(crate) const MAX_METADATA: u64 = 32 << 20;
/// The longest list of metadata blocks.
pub(crate) const MAX_BLOCKS: usize = 64;
/// The most disks, and partitions on a disk.
pub(crate) const MAX_DISKS: usize = 128;
pub(crate) const MAX_PARTITIONS: usize = 512;
/// The most files of a set: their numbers have 16 bits.
pub(crate) const MAX_FILES: usize = 1 << 16;
