//! The on-disk structures of the VHD specification, named as it names them; all numbers are big-endian.

use binrw::{BinRead, BinWrite};
use format_core::units::{GIB, MIB};
use std::time::{SystemTime, UNIX_EPOCH};

/// Every place in the file is counted in sectors of this many bytes.
pub(crate) const SECTOR: u64 = 512;

/// Cookie of the footer ("Hard Disk Footer Format").
pub(crate) const FOOTER_COOKIE: [u8; 8] = *b"conectix";
pub(crate) const FOOTER_LEN: usize = 512;
/// Footers of versions before Virtual PC 2004 lack the last byte.
pub(crate) const OLD_FOOTER_LEN: usize = 511;
/// Where the checksum is in the footer.
pub(crate) const FOOTER_CHECKSUM_AT: usize = 64;
/// Both structures have version 1.0; another major version would be another format.
pub(crate) const VERSION: u32 = 0x0001_0000;
/// Data Offset of a fixed disk, and of the dynamic header.
pub(crate) const NO_OFFSET: u64 = u64::MAX;
/// The bit of Features that is always set.
pub(crate) const FEATURES_RESERVED: u32 = 2;
/// Time Stamp counts seconds from 2000-01-01 00:00 UTC; this is that moment in Unix time.
const EPOCH: u64 = 946_684_800;

/// `time` as a Time Stamp; what it cannot say is the nearest that it can.
pub(crate) fn time_stamp(time: SystemTime) -> u32 {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    u32::try_from(seconds.saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

pub(crate) const DISK_TYPE_FIXED: u32 = 2;
pub(crate) const DISK_TYPE_DYNAMIC: u32 = 3;
pub(crate) const DISK_TYPE_DIFFERENCING: u32 = 4;

/// Hard Disk Footer, without its reserved bytes.
#[derive(Clone, Debug, PartialEq, Eq, BinRead, BinWrite)]
#[brw(big)]
pub(crate) struct Footer {
    pub(crate) cookie: [u8; 8],
    pub(crate) features: u32,
    pub(crate) file_format_version: u32,
    /// Where the dynamic header is.
    pub(crate) data_offset: u64,
    pub(crate) time_stamp: u32,
    pub(crate) creator_application: [u8; 4],
    pub(crate) creator_version: u32,
    pub(crate) creator_host_os: [u8; 4],
    pub(crate) original_size: u64,
    pub(crate) current_size: u64,
    pub(crate) disk_geometry: Geometry,
    pub(crate) disk_type: u32,
    pub(crate) checksum: u32,
    pub(crate) unique_id: [u8; 16],
    pub(crate) saved_state: u8,
}

/// Disk Geometry: cylinders, heads, sectors per track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BinRead, BinWrite)]
#[brw(big)]
pub(crate) struct Geometry {
    pub(crate) cylinders: u16,
    pub(crate) heads: u8,
    pub(crate) sectors: u8,
}

impl Geometry {
    /// The largest that can be written down, 127.5 GiB: it says that the disk is at least so large.
    pub(crate) const MAX: Self = Self { cylinders: 65535, heads: 16, sectors: 255 };

    /// Bytes of a disk of this geometry.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors) * SECTOR
    }
}

/// Cookie of the dynamic header ("Dynamic Disk Header Format").
pub(crate) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";
pub(crate) const HEADER_LEN: usize = 1024;
/// Where the checksum is in the dynamic header.
pub(crate) const HEADER_CHECKSUM_AT: usize = 36;
/// Parent Unicode Name: UTF-16, big-endian, in this many bytes.
pub(crate) const PARENT_NAME_LEN: usize = 512;
pub(crate) const PARENT_LOCATORS: usize = 8;

/// Dynamic Disk Header, without its reserved bytes.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(big)]
pub(crate) struct DynamicHeader {
    pub(crate) cookie: [u8; 8],
    pub(crate) data_offset: u64,
    /// Where the BAT is.
    pub(crate) table_offset: u64,
    pub(crate) header_version: u32,
    pub(crate) max_table_entries: u32,
    pub(crate) block_size: u32,
    pub(crate) checksum: u32,
    pub(crate) parent_unique_id: [u8; 16],
    pub(crate) parent_time_stamp: u32,
    pub(crate) reserved: u32,
    pub(crate) parent_unicode_name: [u8; PARENT_NAME_LEN],
    pub(crate) parent_locator_entries: [ParentLocatorEntry; PARENT_LOCATORS],
}

/// Parent Locator Entry. The space is in bytes in some products and in sectors in others, so it is never used.
#[derive(Clone, Copy, Debug, Default, BinRead, BinWrite)]
#[brw(big)]
pub(crate) struct ParentLocatorEntry {
    pub(crate) platform_code: [u8; 4],
    pub(crate) platform_data_space: u32,
    /// In bytes.
    pub(crate) platform_data_length: u32,
    pub(crate) reserved: u32,
    pub(crate) platform_data_offset: u64,
}

/// A relative path of Windows, UTF-16 little-endian.
pub(crate) const W2RU: [u8; 4] = *b"W2ru";
/// An absolute path of Windows, UTF-16 little-endian.
pub(crate) const W2KU: [u8; 4] = *b"W2ku";
/// A file URL, UTF-8.
pub(crate) const MACX: [u8; 4] = *b"MacX";
/// The longest locator that is read: 32767 characters of UTF-16, the longest path of Windows.
pub(crate) const MAX_LOCATOR: u32 = 65_534;

pub(crate) const BAT_ENTRY_LEN: u64 = 4;
/// A BAT entry of a block that has no place yet.
pub(crate) const UNUSED: u32 = u32::MAX;

pub(crate) const MIN_BLOCK: u64 = SECTOR;
pub(crate) const MAX_BLOCK: u64 = 256 * MIB;
/// The largest disk of the specification.
pub(crate) const MAX_VIRTUAL_SIZE: u64 = 2040 * GIB;

/// Bytes of the sector bitmap in front of a block: a bit for each sector, padded to whole sectors.
pub(crate) const fn bitmap_len(block_size: u64) -> u64 {
    block_size.div_ceil(SECTOR * 8).next_multiple_of(SECTOR)
}

/// The checksum of both structures: all bytes but the field's own added up, in ones' complement.
pub(crate) fn checksum(bytes: &[u8], field_at: usize) -> u32 {
    let field = field_at..field_at + 4;
    let counted = bytes.iter().enumerate().filter(|(at, _)| !field.contains(at));
    !counted.fold(0, |sum: u32, (_, byte)| sum.wrapping_add((*byte).into()))
}
