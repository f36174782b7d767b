//! The on-disk structures; all numbers are little-endian.

use format_core::units::MIB;

/// What a segment file of a disk begins with.
pub(crate) const MAGIC: [u8; 8] = *b"EVF\t\r\n\xff\0";
/// Logical evidence.
pub(crate) const LOGICAL_MAGIC: [u8; 8] = *b"LVF\t\r\n\xff\0";
/// Changes that were made to a disk while it was examined (`.d01`).
pub(crate) const DELTA_MAGIC: [u8; 8] = *b"DVF\t\r\n\xff\0";
/// Version 2 of both.
pub(crate) const MAGIC_2: [u8; 8] = *b"EVF2\r\n\x81\0";
pub(crate) const LOGICAL_MAGIC_2: [u8; 8] = *b"LEF2\r\n\x81\0";
/// FTK Imager's encryption around a segment.
pub(crate) const ENCRYPTED_MAGIC: [u8; 8] = *b"ADCRYPT\0";

/// Magic, 1, the segment's number in two bytes, 0 in two bytes.
pub(crate) const HEADER_LEN: usize = 13;
pub(crate) const NUMBER_AT: usize = 9;

/// Type (16 bytes), place of the next section, size with this descriptor, 40 bytes of padding, Adler-32.
pub(crate) const SECTION_LEN: usize = 76;
pub(crate) const SECTION_NEXT_AT: usize = 16;
pub(crate) const SECTION_SIZE_AT: usize = 24;
pub(crate) const SECTION_SUM_AT: usize = 72;

/// The volume section as ASR Data specified it, and as EnCase writes it.
pub(crate) const SHORT_VOLUME_LEN: usize = 94;
pub(crate) const VOLUME_LEN: usize = 1052;
/// The identifier of the set of segments, in the longer one.
pub(crate) const SET_AT: usize = 64;
pub(crate) const MEDIA_LOGICAL: u8 = 0x0e;
pub(crate) const MEDIA_MEMORY: u8 = 0x10;

/// Number of entries, padding, base, padding, Adler-32 of these.
pub(crate) const TABLE_HEADER_LEN: usize = 24;
pub(crate) const TABLE_BASE_AT: usize = 8;
pub(crate) const ENTRY_LEN: u64 = 4;
/// Of an entry: the chunk is compressed.
pub(crate) const COMPRESSED: u32 = 1 << 31;

pub(crate) const HASH_LEN: usize = 36;
pub(crate) const DIGEST_LEN: usize = 80;
/// The header of an error2 section, and of a session section.
pub(crate) const ERRORS_HEADER_LEN: usize = 520;

/// The largest chunk that is taken: EnCase's are 16 MiB at most.
pub(crate) const MAX_CHUNK: u64 = 32 * MIB;
/// The largest sector. EnCase has 512 and 2048 bytes.
pub(crate) const MAX_SECTOR: u64 = 64 << 10;
/// Sections of one segment: one that is full of chunks has four for each 512 MiB.
pub(crate) const MAX_SECTIONS: usize = 1 << 16;
/// The largest header that is unpacked, and the largest that is read.
pub(crate) const MAX_HEADER: usize = 1 << 20;
