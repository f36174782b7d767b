//! The on-disk structures, named as VirtualBox names them; all numbers are little-endian.

use binrw::{BinRead, BinWrite};
use format_core::units::MIB;

/// The unit of disk sizes.
pub(crate) const SECTOR: u64 = 512;

/// `u32Signature` of the pre-header.
pub(crate) const SIGNATURE: u32 = 0xbeda_107f;
pub(crate) const SIGNATURE_AT: usize = 0x40;
/// Major version in the upper half.
pub(crate) const VERSION: u32 = 0x0001_0001;
/// Where the header begins whose size is `header_size`.
pub(crate) const HEADER_AT: u64 = 0x48;
/// Pre-header and header without the second geometry, which all of version 1.1 have.
pub(crate) const HEADER_LEN: usize = 0x1c8;
/// The smallest `header_size`, as QEMU writes it.
pub(crate) const MIN_HEADER_SIZE: u32 = 0x180;
/// `header_size` with the second geometry, as VirtualBox writes it.
pub(crate) const FULL_HEADER_SIZE: u32 = 0x190;

pub(crate) const TYPE_NORMAL: u32 = 1;
pub(crate) const TYPE_FIXED: u32 = 2;
pub(crate) const TYPE_DIFF: u32 = 4;

/// `VDIPREHEADER` and `VDIHEADER1`.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct Header {
    /// A line for people that open the file.
    pub(crate) file_info: [u8; 64],
    pub(crate) signature: u32,
    pub(crate) version: u32,
    pub(crate) header_size: u32,
    pub(crate) image_type: u32,
    pub(crate) flags: u32,
    pub(crate) comment: [u8; 256],
    /// Where the block map is.
    pub(crate) off_blocks: u32,
    /// Where the blocks begin.
    pub(crate) off_data: u32,
    pub(crate) legacy_geometry: Geometry,
    pub(crate) dummy: u32,
    pub(crate) disk_size: u64,
    pub(crate) block_size: u32,
    /// Bytes before the data of each block.
    pub(crate) block_extra: u32,
    pub(crate) blocks: u32,
    pub(crate) blocks_allocated: u32,
    pub(crate) uuid_create: [u8; 16],
    /// Another one after each use in which something was written.
    pub(crate) uuid_modify: [u8; 16],
    /// The parent's `uuid_create`.
    pub(crate) uuid_linkage: [u8; 16],
    /// The parent's `uuid_modify`.
    pub(crate) uuid_parent_modify: [u8; 16],
}

/// `VDIDISKGEOMETRY`.
#[derive(Clone, Copy, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct Geometry {
    pub(crate) cylinders: u32,
    pub(crate) heads: u32,
    pub(crate) sectors: u32,
    pub(crate) sector_size: u32,
}

impl Geometry {
    /// Left to whoever uses the disk.
    pub(crate) const UNKNOWN: Self = Self { cylinders: 0, heads: 0, sectors: 0, sector_size: SECTOR as u32 };
}

/// One entry of the block map.
pub(crate) const ENTRY_LEN: u64 = 4;
/// The block is not in this file: the parent shows, or zeros.
pub(crate) const BLOCK_FREE: u32 = 0xffff_ffff;
/// The block is zeros.
pub(crate) const BLOCK_ZERO: u32 = 0xffff_fffe;

pub(crate) const MIN_BLOCK: u64 = SECTOR;
pub(crate) const MAX_BLOCK: u64 = 256 * MIB;
/// The block size that all products write; QEMU reads no other.
pub(crate) const BLOCK: u64 = MIB;
