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
/// Type of the marker before a grain table.
pub(crate) const MARKER_GRAIN_TABLE: u32 = 1;
/// Type of the marker before the grain directory.
pub(crate) const MARKER_GRAIN_DIRECTORY: u32 = 2;
/// Type of the marker before a footer.
pub(crate) const MARKER_FOOTER: u32 = 3;

/// Largest grain that is read, in sectors: 4 MiB. Products write 64 KiB.
pub(crate) const MAX_GRAIN_SECTORS: u64 = 8192;
/// Largest grain table that is read, in entries. Products write 512.
pub(crate) const MAX_TABLE_ENTRIES: u32 = 4096;
/// Largest descriptor that is read, in bytes. Products write up to 10 KiB.
pub(crate) const MAX_DESCRIPTOR: u64 = 1 << 20;
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
