//! What lies on disk, little-endian, named as the Virtual Disk Format specification names it.
//!
//! Bounds that need one field only are asserted here; what depends on other fields or on the file is in `parse`.

use crate::error::VmdkError;
use binrw::{BinRead, BinWrite};

/// Bytes per sector; offsets and sizes in the file count in these.
pub(crate) const SECTOR: u64 = 512;
/// First bytes of a hosted sparse extent.
pub(crate) const SPARSE_MAGIC: &[u8; 4] = b"KDMV";
/// First bytes of an ESX 2/3 copy-on-write extent (vmfsSparse).
pub(crate) const COWD_MAGIC: &[u8; 4] = b"COWD";
/// First bytes of a space-efficient sparse extent: u64 0xcafebabe, then version 2.1.
pub(crate) const SESPARSE_MAGIC: &[u8; 16] = b"\xbe\xba\xfe\xca\0\0\0\0\x01\0\0\0\x02\0\0\0";
/// First line of a text descriptor, compared without regard to case.
pub(crate) const DESCRIPTOR_LINE: &str = "# disk descriptorfile";

/// The four line-end bytes of the header are meant to be checked.
pub(crate) const FLAG_NEWLINES: u32 = 1 << 0;
/// There is a redundant grain directory.
pub(crate) const FLAG_REDUNDANT: u32 = 1 << 1;
/// Grain table entry 1 means a grain of zeros.
pub(crate) const FLAG_ZEROED_GRAIN: u32 = 1 << 2;
/// Grains are compressed.
pub(crate) const FLAG_COMPRESSED: u32 = 1 << 16;
/// Grains and metadata carry markers.
pub(crate) const FLAG_MARKERS: u32 = 1 << 17;
/// A reader that does not know one of these bits must not read the file; the lower ones may be ignored.
pub(crate) const INCOMPATIBLE_FLAGS: u32 = 0xffff_0000;

/// `gdOffset` of a stream whose grain directory was not known when the header was written.
pub(crate) const GD_AT_END: u64 = u64::MAX;
/// `compressAlgorithm`: RFC 1950 (zlib) around RFC 1951 (deflate).
pub(crate) const COMPRESSION_DEFLATE: u16 = 1;
/// The line-end bytes as they must be.
pub(crate) const NEWLINES: [u8; 4] = *b"\n \r\n";
/// Type of the marker that ends a stream.
pub(crate) const MARKER_END: u32 = 0;
/// Type of the marker before a grain table.
pub(crate) const MARKER_GRAIN_TABLE: u32 = 1;
/// Type of the marker before the grain directory.
pub(crate) const MARKER_GRAIN_DIRECTORY: u32 = 2;
/// Type of the marker before a footer.
pub(crate) const MARKER_FOOTER: u32 = 3;

/// Type of a marker that only says how far the writer is.
pub(crate) const MARKER_PROGRESS: u32 = 4;

/// Bytes of a COWD header.
pub(crate) const COWD_HEADER_LEN: u64 = 2048;
/// Entries of a COWD grain table.
pub(crate) const COWD_TABLE_ENTRIES: u64 = 4096;
/// The bit of a COWD header's flags that says that its tables are not to be trusted.
pub(crate) const COWD_INCONSISTENT: u32 = 1 << 2;

/// Grains of a seSparse extent, in sectors.
pub(crate) const SESPARSE_GRAIN_SECTORS: u64 = 8;
/// A grain table of a seSparse extent, in sectors.
pub(crate) const SESPARSE_TABLE_SECTORS: u64 = 64;
/// First eight bytes of a seSparse extent's volatile header.
pub(crate) const SESPARSE_VOLATILE_MAGIC: u64 = 0xcafe_cafe;
/// The upper half of a seSparse directory entry that has a table.
pub(crate) const SESPARSE_TABLE_ALLOCATED: u64 = 0x1000_0000;

/// Largest grain that is read, in sectors: 4 MiB. Products write 64 KiB.
pub(crate) const MAX_GRAIN_SECTORS: u64 = 8192;
/// Largest grain table that is read, in entries. Products write 512.
pub(crate) const MAX_TABLE_ENTRIES: u32 = 4096;
/// Largest descriptor that is read, in bytes. Products embed up to 10 KiB; one of its own may list many extents.
pub(crate) const MAX_DESCRIPTOR: u64 = 4 << 20;
/// Most extents of a disk: twice what 64 TiB need in extents of 2 GiB.
pub(crate) const MAX_EXTENTS: usize = 64 << 10;
/// Largest grain directory that is read, in entries: 256 TiB of products' grains.
pub(crate) const MAX_DIRECTORY_ENTRIES: u64 = 8 << 20;

/// `SparseExtentHeader`, the first sector of a hosted sparse extent; the footer of a stream has the same form.
#[derive(BinRead, BinWrite, Clone, Debug)]
#[brw(little, magic = b"KDMV")]
pub(crate) struct SparseExtentHeader {
    #[br(assert((1..=3).contains(&version), VmdkError::HeaderVersion { version }))]
    pub(crate) version: u32,
    pub(crate) flags: u32,
    /// Sectors of the disk; some products round up to a whole grain.
    #[br(assert(capacity > 0, VmdkError::NoCapacity))]
    pub(crate) capacity: u64,
    #[br(assert(
        grain_size.is_power_of_two() && grain_size <= MAX_GRAIN_SECTORS,
        VmdkError::GrainSize { sectors: grain_size }
    ))]
    pub(crate) grain_size: u64,
    pub(crate) descriptor_offset: u64,
    pub(crate) descriptor_size: u64,
    #[br(assert(
        (1..=MAX_TABLE_ENTRIES).contains(&num_gtes_per_gt),
        VmdkError::TableEntries { entries: num_gtes_per_gt }
    ))]
    pub(crate) num_gtes_per_gt: u32,
    pub(crate) rgd_offset: u64,
    pub(crate) gd_offset: u64,
    /// Sectors before the first grain; wrong in some products' files, so not relied on.
    pub(crate) over_head: u64,
    pub(crate) unclean_shutdown: u8,
    pub(crate) newlines: [u8; 4],
    pub(crate) compress_algorithm: u16,
}

/// The 12 bytes before a compressed grain.
#[derive(BinRead, BinWrite, Clone, Copy, Debug)]
#[brw(little)]
pub(crate) struct GrainMarker {
    /// First sector of the grain on the disk.
    pub(crate) lba: u64,
    /// Bytes of the zlib stream; 0 would make it a metadata marker.
    pub(crate) size: u32,
}

/// The start of a marker sector before metadata.
#[derive(BinRead, BinWrite, Clone, Copy, Debug)]
#[brw(little)]
pub(crate) struct MetadataMarker {
    pub(crate) num_sectors: u64,
    pub(crate) size: u32,
    pub(crate) marker_type: u32,
}

/// Bytes of a [`GrainMarker`].
pub(crate) const GRAIN_MARKER_LEN: u64 = 12;

/// `COWDisk_Header` up to the last field that matters.
#[allow(dead_code, reason = "the fields hold the place of what they are named for")]
#[derive(BinRead, Clone, Debug)]
#[br(little, magic = b"COWD")]
pub(crate) struct CowdHeader {
    #[br(assert(version == 1, VmdkError::CowdVersion { version }))]
    pub(crate) version: u32,
    pub(crate) flags: u32,
    #[br(assert(num_sectors > 0, VmdkError::NoCapacity))]
    pub(crate) num_sectors: u32,
    #[br(assert(
        grain_size.is_power_of_two() && u64::from(grain_size) <= MAX_GRAIN_SECTORS,
        VmdkError::GrainSize { sectors: grain_size.into() }
    ))]
    pub(crate) grain_size: u32,
    pub(crate) gd_offset: u32,
    pub(crate) num_gd_entries: u32,
    pub(crate) free_sector: u32,
    /// Behind geometry or parent, name and description.
    #[br(pad_before = 1616)]
    pub(crate) unclean_shutdown: u32,
}

/// `SESparseConstHeader` behind its magic and version. Places and sizes in sectors.
#[allow(dead_code, reason = "the fields hold the place of what they are named for")]
#[derive(BinRead, Clone, Debug)]
#[br(little, magic = b"\xbe\xba\xfe\xca\0\0\0\0\x01\0\0\0\x02\0\0\0")]
pub(crate) struct SeSparseConstHeader {
    #[br(assert(capacity > 0, VmdkError::NoCapacity))]
    pub(crate) capacity: u64,
    pub(crate) grain_size: u64,
    pub(crate) grain_table_size: u64,
    pub(crate) flags: u64,
    pub(crate) reserved: [u64; 4],
    pub(crate) volatile_header: SeSparseArea,
    pub(crate) journal_header: SeSparseArea,
    pub(crate) journal: SeSparseArea,
    pub(crate) grain_directory: SeSparseArea,
    pub(crate) grain_tables: SeSparseArea,
    pub(crate) free_bitmap: SeSparseArea,
    pub(crate) back_map: SeSparseArea,
    pub(crate) grains: SeSparseArea,
}

/// A part of a seSparse extent.
#[derive(BinRead, Clone, Copy, Debug)]
#[br(little)]
pub(crate) struct SeSparseArea {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// `SESparseVolatileHeader`.
#[allow(dead_code, reason = "the fields hold the place of what they are named for")]
#[derive(BinRead, Clone, Copy, Debug)]
#[br(little)]
pub(crate) struct SeSparseVolatileHeader {
    pub(crate) magic: u64,
    pub(crate) free_gt_number: u64,
    pub(crate) next_txn_seq_number: u64,
    pub(crate) replay_journal: u64,
}
