//! The on-disk structures of expanding images, named as the specification names them; all numbers are little-endian.

use binrw::BinRead;

pub(crate) const SECTOR: u64 = 512;

/// BAT entries are in sectors.
pub(crate) const MAGIC: [u8; 16] = *b"WithoutFreeSpace";
/// BAT entries are in clusters.
pub(crate) const MAGIC_EXT: [u8; 16] = *b"WithouFreSpacExt";
pub(crate) const VERSION: u32 = 2;
pub(crate) const HEADER_LEN: usize = 64;

/// `in_use` of an image that some software has open, or had when it was stopped.
pub(crate) const IN_USE: u32 = 0x746f_6e59;

/// The header.
#[derive(Clone, Debug, BinRead)]
#[br(little)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 16],
    pub(crate) version: u32,
    pub(crate) _heads: u32,
    pub(crate) _cylinders: u32,
    /// Sectors of a cluster.
    pub(crate) tracks: u32,
    pub(crate) nb_bat_entries: u32,
    pub(crate) nb_sectors: u64,
    pub(crate) in_use: u32,
    /// In sectors.
    pub(crate) data_off: u32,
    pub(crate) _flags: u32,
    /// In sectors.
    pub(crate) ext_off: u64,
}

pub(crate) const BAT_ENTRY_LEN: u64 = 4;
/// 256 MiB; the products use 63 sectors to 1 MiB.
pub(crate) const MAX_TRACKS: u32 = 1 << 19;

/// The file that makes a folder a disk.
pub(crate) const DESCRIPTOR_NAME: &str = "DiskDescriptor.xml";
/// Its root element.
pub(crate) const DESCRIPTOR_ROOT: &str = "Parallels_disk_image";
/// Real ones have 2 KiB, and some 200 bytes more for each snapshot.
pub(crate) const MAX_DESCRIPTOR: u64 = 1 << 20;
/// Images of one storage that lie over each other.
pub(crate) const MAX_DEPTH: usize = 256;
/// Files of one disk that are opened.
pub(crate) const MAX_FILES: usize = 512;
/// The current state, where `TopGUID` does not name another.
pub(crate) const TOP_GUID: u128 = 0x5fbaabe3_6958_40ff_92a7_860e329aab41;
