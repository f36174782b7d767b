//! The on-disk structures of MS-VHDX, named as the specification names them; all numbers are little-endian.

use binrw::{BinRead, BinWrite};
use format_core::units::{KIB, MIB, TIB};
use uuid::Uuid;

/// File Type Identifier, section 2.2.1.
pub(crate) const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";
/// Bytes of the Creator field: UTF-16, not necessarily terminated.
pub(crate) const CREATOR_LEN: usize = 512;

/// Everything before this is the header section; log, regions and blocks lie behind it (section 2.1).
pub(crate) const HEADER_SECTION: u64 = MIB;
pub(crate) const HEADER_OFFSETS: [u64; 2] = [64 * KIB, 128 * KIB];
pub(crate) const HEADER_LEN: usize = 4096;
pub(crate) const HEADER_SIGNATURE: [u8; 4] = *b"head";
pub(crate) const VERSION: u16 = 1;
/// Every structure that has a Checksum field has it here.
pub(crate) const CHECKSUM_AT: usize = 4;

/// Header, section 2.2.2.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: u32,
    pub(crate) sequence_number: u64,
    pub(crate) file_write_guid: [u8; 16],
    pub(crate) data_write_guid: [u8; 16],
    pub(crate) log_guid: [u8; 16],
    pub(crate) log_version: u16,
    pub(crate) version: u16,
    pub(crate) log_length: u32,
    pub(crate) log_offset: u64,
}

pub(crate) const REGION_TABLE_OFFSETS: [u64; 2] = [192 * KIB, 256 * KIB];
pub(crate) const REGION_TABLE_LEN: usize = 64 * KIB as usize;
pub(crate) const REGION_SIGNATURE: [u8; 4] = *b"regi";
/// Most entries of a region or metadata table.
pub(crate) const MAX_TABLE_ENTRIES: u32 = 2047;

/// Region Table Header, section 2.2.3.1.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct RegionTableHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: u32,
    pub(crate) entry_count: u32,
    pub(crate) reserved: u32,
}
pub(crate) const REGION_TABLE_HEADER_LEN: usize = 16;

/// Region Table Entry, section 2.2.3.2.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct RegionTableEntry {
    pub(crate) guid: [u8; 16],
    pub(crate) file_offset: u64,
    pub(crate) length: u32,
    /// Bit 0: [`REGION_REQUIRED`].
    pub(crate) flags: u32,
}
pub(crate) const REGION_TABLE_ENTRY_LEN: usize = 32;
pub(crate) const REGION_REQUIRED: u32 = 1;
pub(crate) const BAT_REGION: Uuid = Uuid::from_u128(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
pub(crate) const METADATA_REGION: Uuid = Uuid::from_u128(0x8B7CA206_4790_4B9A_B8FE_575F050F886E);

/// Metadata Table Header, section 2.6.1.1.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct MetadataTableHeader {
    pub(crate) signature: [u8; 8],
    pub(crate) reserved: u16,
    pub(crate) entry_count: u16,
    pub(crate) reserved2: [u8; 20],
}
pub(crate) const METADATA_SIGNATURE: [u8; 8] = *b"metadata";
pub(crate) const METADATA_TABLE_LEN: usize = 64 * KIB as usize;
pub(crate) const METADATA_TABLE_HEADER_LEN: usize = 32;

/// Metadata Table Entry, section 2.6.1.2.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct MetadataTableEntry {
    pub(crate) item_id: [u8; 16],
    /// From the start of the metadata region.
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// [`IS_USER`], [`IS_VIRTUAL_DISK`], [`IS_REQUIRED`].
    pub(crate) flags: u32,
    pub(crate) reserved: u32,
}
pub(crate) const METADATA_TABLE_ENTRY_LEN: usize = 32;
pub(crate) const IS_USER: u32 = 1;
pub(crate) const IS_VIRTUAL_DISK: u32 = 2;
pub(crate) const IS_REQUIRED: u32 = 4;
pub(crate) const MAX_METADATA_ITEM: u32 = MIB as u32;

// Metadata items, section 2.6.2.
pub(crate) const FILE_PARAMETERS: Uuid = Uuid::from_u128(0xCAA16737_FA36_4D43_B3B6_33F0AA44E76B);
pub(crate) const VIRTUAL_DISK_SIZE: Uuid = Uuid::from_u128(0x2FA54224_CD1B_4876_B211_5DBED83BF4B8);
/// The "page 83 data", a GUID of the disk that the guest sees.
pub(crate) const VIRTUAL_DISK_ID: Uuid = Uuid::from_u128(0xBECA12AB_B2E6_4523_93EF_C309E000C746);
pub(crate) const LOGICAL_SECTOR_SIZE: Uuid = Uuid::from_u128(0x8141BF1D_A96F_4709_BA47_F233A8FAAB5F);
pub(crate) const PHYSICAL_SECTOR_SIZE: Uuid = Uuid::from_u128(0xCDA348C7_445D_4471_9CC9_E9885251C556);
pub(crate) const PARENT_LOCATOR: Uuid = Uuid::from_u128(0xA8D35F2D_B30B_454D_ABF7_D3D84834AB0C);

/// File Parameters, section 2.6.2.1.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct FileParameters {
    pub(crate) block_size: u32,
    /// [`LEAVE_BLOCK_ALLOCATED`], [`HAS_PARENT`].
    pub(crate) flags: u32,
}
pub(crate) const FILE_PARAMETERS_LEN: usize = 8;
pub(crate) const LEAVE_BLOCK_ALLOCATED: u32 = 1;
pub(crate) const HAS_PARENT: u32 = 2;

pub(crate) const MIN_BLOCK: u64 = MIB;
pub(crate) const MAX_BLOCK: u64 = 256 * MIB;
pub(crate) const MAX_VIRTUAL_SIZE: u64 = 64 * TIB;

/// Parent Locator Header, section 2.6.2.6.1.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct ParentLocatorHeader {
    pub(crate) locator_type: [u8; 16],
    pub(crate) reserved: u16,
    pub(crate) key_value_count: u16,
}
pub(crate) const PARENT_LOCATOR_HEADER_LEN: usize = 20;

/// Parent Locator Entry, section 2.6.2.6.2; offsets count from the start of the item.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct ParentLocatorEntry {
    pub(crate) key_offset: u32,
    pub(crate) value_offset: u32,
    pub(crate) key_length: u16,
    pub(crate) value_length: u16,
}
pub(crate) const PARENT_LOCATOR_ENTRY_LEN: usize = 12;
pub(crate) const VHDX_LOCATOR: Uuid = Uuid::from_u128(0xB04AEFB7_D19E_4A81_B789_25B8E9445913);

/// The unit of the log; entries, descriptors' offsets and data sectors are aligned to it (section 2.3).
pub(crate) const LOG_SECTOR: usize = 4096;

/// Log Entry Header, section 2.3.1.1.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct LogEntryHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: u32,
    pub(crate) entry_length: u32,
    pub(crate) tail: u32,
    pub(crate) sequence_number: u64,
    pub(crate) descriptor_count: u32,
    pub(crate) reserved: u32,
    pub(crate) log_guid: [u8; 16],
    pub(crate) flushed_file_offset: u64,
    pub(crate) last_file_offset: u64,
}
pub(crate) const LOG_ENTRY_SIGNATURE: [u8; 4] = *b"loge";
pub(crate) const LOG_ENTRY_HEADER_LEN: usize = 64;
pub(crate) const LOG_DESCRIPTOR_LEN: usize = 32;

/// Log Zero Descriptor or Log Data Descriptor, sections 2.3.1.2 and 2.3.1.3.
#[derive(Clone, Debug, BinRead, BinWrite)]
#[brw(little)]
pub(crate) struct LogDescriptor {
    /// [`ZERO_SIGNATURE`] or [`DATA_DESCRIPTOR_SIGNATURE`].
    pub(crate) signature: [u8; 4],
    /// TrailingBytes of a data descriptor: the last 4 bytes of the sector.
    pub(crate) trailing_bytes: [u8; 4],
    /// LeadingBytes of a data descriptor (the first 8 bytes of the sector), ZeroLength of a zero descriptor.
    pub(crate) leading_bytes: [u8; 8],
    pub(crate) file_offset: u64,
    pub(crate) sequence_number: u64,
}
pub(crate) const ZERO_SIGNATURE: [u8; 4] = *b"zero";
pub(crate) const DATA_DESCRIPTOR_SIGNATURE: [u8; 4] = *b"desc";
/// Log Data Sector, section 2.3.1.4: "data", SequenceHigh, 4084 bytes, SequenceLow.
pub(crate) const DATA_SECTOR_SIGNATURE: [u8; 4] = *b"data";

/// One BAT entry: 3 bits of state, and the file offset in MiB from bit 20 up (section 2.5.1).
pub(crate) const BAT_ENTRY_LEN: u64 = 8;
pub(crate) const BAT_STATE_MASK: u64 = 7;
pub(crate) const BAT_OFFSET_SHIFT: u32 = 20;
pub(crate) const PAYLOAD_BLOCK_NOT_PRESENT: u64 = 0;
pub(crate) const PAYLOAD_BLOCK_UNDEFINED: u64 = 1;
pub(crate) const PAYLOAD_BLOCK_ZERO: u64 = 2;
pub(crate) const PAYLOAD_BLOCK_UNMAPPED: u64 = 3;
pub(crate) const PAYLOAD_BLOCK_FULLY_PRESENT: u64 = 6;
pub(crate) const PAYLOAD_BLOCK_PARTIALLY_PRESENT: u64 = 7;
pub(crate) const SB_BLOCK_PRESENT: u64 = 6;
/// A sector bitmap block, and how many sectors it describes (section 2.4).
pub(crate) const BITMAP_BLOCK: u64 = MIB;
pub(crate) const SECTORS_PER_CHUNK: u64 = 1 << 23;
