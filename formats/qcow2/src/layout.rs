//! On-disk structures and constants; names as in QEMU's `docs/interop/qcow2.rst`. All numbers are big-endian.

use binrw::binrw;

/// "QFI\xfb".
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Length of [`HeaderV2`] in bytes.
pub(crate) const V2_LENGTH: u32 = 72;
/// Least `header_length` of version 3: [`HeaderV2`] and [`HeaderV3`].
pub(crate) const V3_LENGTH: u32 = 104;
/// Offset of the byte `compression_type` behind the fixed version 3 header.
pub(crate) const COMPRESSION_TYPE_OFFSET: u32 = 104;
/// Version 3 with the additional fields known today, padded to a multiple of 8.
pub(crate) const V3_LENGTH_WITH_COMPRESSION: u32 = 112;

/// Bytes 0 to 71, both versions.
#[binrw]
#[brw(big)]
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderV2 {
    pub magic: [u8; 4],
    pub version: u32,
    pub backing_file_offset: u64,
    pub backing_file_size: u32,
    pub cluster_bits: u32,
    pub size: u64,
    pub crypt_method: u32,
    pub l1_size: u32,
    pub l1_table_offset: u64,
    pub refcount_table_offset: u64,
    pub refcount_table_clusters: u32,
    pub nb_snapshots: u32,
    pub snapshots_offset: u64,
}

/// Bytes 72 to 103, version 3.
#[binrw]
#[brw(big)]
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderV3 {
    pub incompatible_features: u64,
    pub compatible_features: u64,
    pub autoclear_features: u64,
    pub refcount_order: u32,
    pub header_length: u32,
}

/// `incompatible_features`: reference counts may be stale.
pub(crate) const INCOMPAT_DIRTY: u64 = 1 << 0;
/// `incompatible_features`: any structure may be corrupt.
pub(crate) const INCOMPAT_CORRUPT: u64 = 1 << 1;
/// `incompatible_features`: guest clusters are in another file.
pub(crate) const INCOMPAT_DATA_FILE: u64 = 1 << 2;
/// `incompatible_features`: `compression_type` is not zlib.
pub(crate) const INCOMPAT_COMPRESSION: u64 = 1 << 3;
/// `incompatible_features`: L2 entries are 16 bytes with subcluster bitmaps.
pub(crate) const INCOMPAT_EXTENDED_L2: u64 = 1 << 4;

/// `compatible_features`: reference counts are written late.
pub(crate) const COMPAT_LAZY_REFCOUNTS: u64 = 1 << 0;
/// `autoclear_features`: the bitmaps are consistent with the disk.
pub(crate) const AUTOCLEAR_BITMAPS: u64 = 1 << 0;
/// `autoclear_features`: the external data file alone is the disk, as raw bytes.
pub(crate) const AUTOCLEAR_RAW_DATA_FILE: u64 = 1 << 1;

/// `compression_type` zlib (deflate without header, 4 KiB window).
pub(crate) const COMPRESSION_ZLIB: u8 = 0;
/// `compression_type` zstd.
pub(crate) const COMPRESSION_ZSTD: u8 = 1;

/// Smallest `cluster_bits`: 512 bytes.
pub(crate) const MIN_CLUSTER_BITS: u32 = 9;
/// Largest `cluster_bits` that QEMU opens: 2 MiB.
pub(crate) const MAX_CLUSTER_BITS: u32 = 21;
/// Smallest `cluster_bits` with extended L2 entries: 16 KiB.
pub(crate) const MIN_EXTENDED_CLUSTER_BITS: u32 = 14;
/// Largest L1 table that QEMU opens: 32 MiB.
pub(crate) const MAX_L1_ENTRIES: u64 = (32 << 20) / ENTRY_SIZE;
/// Largest `refcount_order`: 64-bit counts.
pub(crate) const MAX_REFCOUNT_ORDER: u32 = 6;
/// `refcount_order` of version 2 and of what we write: 16-bit counts.
pub(crate) const REFCOUNT_ORDER: u32 = 4;
/// Longest backing file name in bytes.
pub(crate) const MAX_BACKING_NAME: u32 = 1023;

/// Fixed start of an entry of the snapshot table.
#[binrw]
#[brw(big)]
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotHeader {
    pub l1_table_offset: u64,
    pub l1_size: u32,
    pub id_str_size: u16,
    pub name_size: u16,
    pub date_sec: u32,
    pub date_nsec: u32,
    pub vm_clock_nsec: u64,
    pub vm_state_size: u32,
    pub extra_data_size: u32,
}

/// Length of [`SnapshotHeader`] in bytes.
pub(crate) const SNAPSHOT_HEADER_LENGTH: usize = 40;
/// Most internal snapshots that QEMU opens.
pub(crate) const MAX_SNAPSHOTS: u32 = 65536;
/// Largest snapshot table that QEMU opens: 64 MiB.
pub(crate) const MAX_SNAPSHOT_TABLE: u64 = 64 << 20;

/// Fixed start of an entry of the bitmap directory.
#[binrw]
#[brw(big)]
#[derive(Clone, Debug, Default)]
pub(crate) struct BitmapHeader {
    pub bitmap_table_offset: u64,
    pub bitmap_table_size: u32,
    pub flags: u32,
    pub kind: u8,
    pub granularity_bits: u8,
    pub name_size: u16,
    pub extra_data_size: u32,
}

/// Length of [`BitmapHeader`] in bytes.
pub(crate) const BITMAP_HEADER_LENGTH: usize = 24;
/// Most bitmaps that QEMU opens.
pub(crate) const MAX_BITMAPS: u32 = 65535;
/// Largest bitmap directory that QEMU opens.
pub(crate) const MAX_BITMAP_DIRECTORY: u64 = 1024 * 65535;
/// [`BitmapHeader::flags`]: was not saved properly.
pub(crate) const BITMAP_IN_USE: u32 = 1 << 0;
/// [`BitmapHeader::flags`]: records writes whenever the image is open.
pub(crate) const BITMAP_AUTO: u32 = 1 << 1;
/// [`BitmapHeader::flags`]: may be used by who does not know its extra data.
pub(crate) const BITMAP_EXTRA_COMPATIBLE: u32 = 1 << 2;
/// [`BitmapHeader::kind`]: a dirty tracking bitmap.
pub(crate) const BITMAP_DIRTY_TRACKING: u8 = 1;
/// Smallest `granularity_bits` that QEMU opens: 512 bytes.
pub(crate) const MIN_GRANULARITY_BITS: u32 = 9;
/// Largest `granularity_bits` that QEMU opens: 2 GiB.
pub(crate) const MAX_GRANULARITY_BITS: u32 = 31;
/// Most bytes of bits of one bitmap that QEMU opens: 512 MiB.
pub(crate) const MAX_BITMAP_BYTES: u64 = 512 << 20;
/// Bitmap table entry without offset: all bits of the cluster are 1.
pub(crate) const BITMAP_ALL_ONES: u64 = 1;

/// Bytes of an entry of the L1, the standard L2 and the refcount table.
pub(crate) const ENTRY_SIZE: u64 = 8;

/// Header extension: end of the list.
pub(crate) const EXT_END: u32 = 0;
/// Header extension: format name of the backing file.
pub(crate) const EXT_BACKING_FORMAT: u32 = 0xe279_2aca;
/// Header extension: name of the external data file.
pub(crate) const EXT_DATA_FILE: u32 = 0x4441_5441;
/// Header extension: where the encryption header is.
pub(crate) const EXT_CRYPTO: u32 = 0x0537_be77;
/// Header extension: where the bitmap directory is.
pub(crate) const EXT_BITMAPS: u32 = 0x2385_2875;
/// Header extension: names of feature bits.
pub(crate) const EXT_FEATURE_NAMES: u32 = 0x6803_f857;
/// Bytes of an entry of the feature name table: type, bit, 46 bytes of name.
pub(crate) const FEATURE_NAME_LEN: usize = 48;

/// L1 and standard L2 entry: bits 9 to 55, the host offset.
pub(crate) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// L1 entry: bits that must be 0.
pub(crate) const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
/// Standard L2 entry: bits that must be 0 (bit 0 is the zero flag).
pub(crate) const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
/// Standard L2 entry of version 3: reads as zeros.
pub(crate) const L2_ZERO: u64 = 1;
/// L2 entry: a compressed cluster.
pub(crate) const L2_COMPRESSED: u64 = 1 << 62;
/// L1 or L2 entry: the reference count is exactly one.
pub(crate) const COPIED: u64 = 1 << 63;

/// Subclusters of a cluster with extended L2 entries.
pub(crate) const SUBCLUSTERS: u64 = 32;
/// Sectors in which compressed clusters are measured.
pub(crate) const COMPRESSED_SECTOR: u64 = 512;

/// How many low bits of a compressed cluster's L2 entry are its host offset; above, up to bit 61, is the number
/// of additional sectors.
pub(crate) const fn compressed_offset_bits(cluster_bits: u32) -> u32 {
    62 - (cluster_bits - 8)
}
