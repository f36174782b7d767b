//! Each way a VHDX file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub(crate) enum VhdxError {
    #[error("the file has {size:#x} bytes, the header section alone has 0x100000")]
    TooShort { size: u64 },
    #[error("a structure of {wanted} bytes does not fit in the {len} bytes that are there")]
    Short { wanted: usize, len: usize },
    #[error("the file type identifier is {found:02x?}, not \"vhdxfile\"")]
    FileSignature { found: [u8; 8] },
    #[error("neither header at 0x10000 nor 0x20000 has its signature and checksum: no current header")]
    NoHeader,
    #[error("both headers have the sequence number {sequence:#x} but differ: no current header")]
    HeadersDiffer { sequence: u64 },
    #[error("the header has version {found}, only 1 is known")]
    Version { found: u16 },
    #[error("the log has version {found} and is not empty, only 0 is known")]
    LogVersion { found: u16 },
    #[error(
        "the log is at {offset:#x}+{length:#x}, not whole MiB behind the headers of a file of {size:#x} bytes"
    )]
    LogPlace { offset: u64, length: u64, size: u64 },
    #[error("the log has {length:#x} bytes, at most {max:#x} are replayed")]
    LogTooLarge { length: u64, max: u64 },
    #[error(
        "the log {guid} holds entries but no valid sequence of them: what the newest writes were is lost"
    )]
    LogBroken { guid: Uuid },
    #[error("the entries of the log overlap so often that checking them is refused")]
    LogOverlaps,
    #[error(
        "the log was written when the file had {flushed:#x} bytes, now it has {size:#x}: the file was cut off"
    )]
    CutOff { flushed: u64, size: u64 },
    #[error("neither region table at 0x30000 nor 0x40000 has its signature and checksum")]
    NoRegionTable,
    #[error("the {table} table counts {count} entries, at most 2047 fit")]
    EntryCount { table: &'static str, count: u32 },
    #[error("the region table lists no {name} region")]
    RegionMissing { name: &'static str },
    #[error("the region {guid} is listed twice")]
    RegionTwice { guid: Uuid },
    #[error("the region {guid} is required to understand the file, and unknown")]
    RegionUnknown { guid: Uuid },
    #[error(
        "the region {guid} is at {offset:#x}+{length:#x}, not whole MiB behind the headers of a file of {size:#x} bytes"
    )]
    RegionPlace { guid: Uuid, offset: u64, length: u64, size: u64 },
    #[error("the areas at {first:#x} and {second:#x} overlap")]
    Overlap { first: u64, second: u64 },
    #[error("the metadata table's signature is {found:02x?}, not \"metadata\"")]
    MetadataSignature { found: [u8; 8] },
    #[error("the metadata item {id} is at {offset:#x}+{length:#x} of a region of {region:#x} bytes")]
    ItemPlace { id: Uuid, offset: u32, length: u32, region: u64 },
    #[error("the metadata item {id} is listed twice")]
    ItemTwice { id: Uuid },
    #[error("the metadata item {id} is required to understand the disk, and unknown")]
    ItemUnknown { id: Uuid },
    #[error("the metadata has no {name}")]
    ItemMissing { name: &'static str },
    #[error("the metadata item {name} has {found} bytes, not {expected}")]
    ItemLength { name: &'static str, found: usize, expected: usize },
    #[error("the block size is {found:#x}, not a power of two from 0x100000 to 0x10000000")]
    BlockSize { found: u64 },
    #[error("the {name} sector size is {found}, not 512 or 4096")]
    SectorSize { name: &'static str, found: u32 },
    #[error("the virtual disk size is {found:#x}, not a multiple of {sector} up to 0x400000000000 (64 TiB)")]
    VirtualSize { found: u64, sector: u64 },
    #[error("the BAT needs {needed:#x} bytes, its region has {length:#x}")]
    BatTooSmall { needed: u64, length: u64 },
    #[error("the parent locator has the type {found}, only {} is known", crate::layout::VHDX_LOCATOR)]
    LocatorType { found: Uuid },
    #[error("the parent locator's entry {index} leaves its item of {len:#x} bytes")]
    LocatorEntry { index: usize, len: usize },
    #[error("the parent locator has {key} twice")]
    LocatorTwice { key: &'static str },
    #[error("the parent locator's {key} is {found:?}, not a GUID")]
    Linkage { key: &'static str, found: String },
    #[error("the parent locator has no {what}")]
    LocatorLacks { what: &'static str },
    #[error("the BAT entry of block {block} has the state {state}, which is reserved")]
    BlockState { block: u64, state: u64 },
    #[error("the BAT entry of block {block} says partially present, but the image has no parent")]
    PartialWithoutParent { block: u64 },
    #[error("block {block} is at {offset:#x}, needs {length:#x} bytes there, the file has {size:#x}")]
    BlockPlace { block: u64, offset: u64, length: u64, size: u64 },
    #[error("block {block} at {offset:#x} overlaps the headers, the log or a region at {area:#x}")]
    BlockOverlaps { block: u64, offset: u64, area: u64 },
    #[error("block {block} is partially present, but the sector bitmap of its chunk has the state {state}")]
    BitmapState { block: u64, state: u64 },
    #[error("the sector bitmap of block {block} is at {offset:#x} of a file of {size:#x} bytes")]
    BitmapPlace { block: u64, offset: u64, size: u64 },
}

impl VhdxError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } => &codes::SOURCE_CUT_OFF,
            Self::Version { .. } | Self::LogVersion { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::LogVersion { .. }
            | Self::RegionUnknown { .. }
            | Self::ItemUnknown { .. }
            | Self::LocatorType { .. } => ErrorKind::Unsupported,
            Self::LogTooLarge { .. } | Self::LogOverlaps => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<VhdxError> for Error {
    fn from(error: VhdxError) -> Self {
        let by_checksum =
            matches!(error, VhdxError::NoHeader | VhdxError::NoRegionTable | VhdxError::LogBroken { .. });
        let error =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        if by_checksum {
            return error.hint("where only the checksums are wrong, --ignore-checksum reads on");
        }
        error
    }
}
