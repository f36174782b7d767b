//! Each way a VMDK file can lie or be beyond us, with the numbers.

use crate::layout::{MAX_DESCRIPTOR, MAX_DIRECTORY_ENTRIES, MAX_GRAIN_SECTORS, MAX_TABLE_ENTRIES};
use format_core::{Error, ErrorKind};

/// What is wrong with a VMDK file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VmdkError {
    #[error("no VMDK: it starts neither with KDMV nor with \"# Disk DescriptorFile\"")]
    NotVmdk,
    #[error("the header is cut off: the file has {size:#x} bytes, a header has 0x200")]
    HeaderCut { size: u64 },
    #[error("{name} extents are not supported; monolithicSparse and streamOptimized are")]
    OtherExtent { name: &'static str },
    #[error("header version {version}, versions 1 to 3 are supported")]
    HeaderVersion { version: u32 },
    #[error("flags {flags:#x} have unknown incompatible bits {unknown:#x}")]
    UnknownFlags { flags: u32, unknown: u32 },
    #[error(
        "the line-end bytes of the header are {found:02x?} instead of [0a, 20, 0d, 0a]: a transfer in text mode changed the file"
    )]
    Newlines { found: [u8; 4] },
    #[error("capacity is 0")]
    NoCapacity,
    #[error("capacity {sectors:#x} sectors do not fit 64 bits of bytes")]
    Capacity { sectors: u64 },
    #[error("grainSize is {sectors:#x} sectors, a power of two up to {MAX_GRAIN_SECTORS:#x} is possible")]
    GrainSize { sectors: u64 },
    #[error("numGTEsPerGT is {entries}, 1 to {MAX_TABLE_ENTRIES} are possible")]
    TableEntries { entries: u32 },
    #[error(
        "compressAlgorithm is {algorithm} with flags {flags:#x}; possible are 0 without the flags 0x30000 and 1 with both"
    )]
    Compression { algorithm: u16, flags: u32 },
    #[error("the extent has no embedded descriptor: it is a part of a split disk")]
    NoDescriptor,
    #[error("the descriptor has {len:#x} bytes, up to {MAX_DESCRIPTOR:#x} are read")]
    DescriptorSize { len: u64 },
    #[error("the {what} at {start:#x} of {len:#x} bytes leaves the file, which has {size:#x}")]
    Outside { what: &'static str, start: u64, len: u64, size: u64 },
    #[error("the {what} lies at sector {sector:#x}, which no file has")]
    Sector { what: &'static str, sector: u64 },
    #[error("the grain directory has {entries:#x} entries, up to {MAX_DIRECTORY_ENTRIES:#x} are read")]
    DirectorySize { entries: u64 },
    #[error("the header names no grain directory")]
    NoDirectory,
    #[error(
        "grain directory entry {index:#x} puts a grain table at {at:#x}, the table has {len:#x} bytes, the file {size:#x}"
    )]
    TableOutside { index: usize, at: u64, len: u64, size: u64 },
    #[error(
        "grain directory entry {index:#x} puts a grain table at {at:#x}, over the header, the descriptor or the directory"
    )]
    TableOverlaps { index: usize, at: u64 },
    #[error(
        "the entry of grain {grain:#x} points to {at:#x}, {len:#x} bytes are needed there, the file has {size:#x}"
    )]
    GrainOutside { grain: u64, at: u64, len: u64, size: u64 },
    #[error(
        "the entry of grain {grain:#x} points to {at:#x}, over the header, the descriptor or the directory"
    )]
    GrainOverlaps { grain: u64, at: u64 },
    #[error("the marker at {at:#x} is for sector {found:#x}, the grain table says sector {expected:#x}")]
    GrainLba { at: u64, found: u64, expected: u64 },
    #[error("the marker at {at:#x} says {size:#x} compressed bytes, 1 to {most:#x} are possible for a grain")]
    GrainStreamSize { at: u64, size: u32, most: u64 },
    #[error("the zlib stream of the grain at {at:#x} is damaged")]
    GrainStream { at: u64 },
    #[error("the grain at {at:#x} inflates to more than the {grain:#x} bytes of a grain")]
    GrainTooLong { at: u64, grain: u64 },
    #[error("the grain at {at:#x} inflates to {found:#x} bytes, {needed:#x} are needed")]
    GrainTooShort { at: u64, found: u64, needed: u64 },
    #[error(
        "the header puts the grain directory into the footer, but the file ends without one: the stream is cut off"
    )]
    NoFooter,
    #[error("the footer and the header disagree on {field}: {footer:#x} and {header:#x}")]
    FooterDiffers { field: &'static str, footer: u64, header: u64 },
    #[error("the descriptor has no {key}")]
    Missing { key: &'static str },
    #[error("the descriptor has {key} twice with different values")]
    Twice { key: &'static str },
    #[error("the descriptor's {key} is {value:?}, which is no such value")]
    Value { key: &'static str, value: String },
    #[error("createType {name:?} is not supported; monolithicSparse and streamOptimized are")]
    CreateType { name: String },
    #[error(
        "a {create_type} disk with its descriptor in a file of its own is not supported; with an embedded descriptor it is"
    )]
    SeparateDescriptor { create_type: String },
    #[error("the embedded descriptor lists {count} extents, a {create_type} disk has 1")]
    ExtentCount { count: usize, create_type: String },
    #[error(
        "the extent of the embedded descriptor is {access} {extent_type}, RW SPARSE or RDONLY SPARSE are supported"
    )]
    ExtentType { access: String, extent_type: String },
    #[error("the descriptor says {described:#x} sectors, the header {capacity:#x} with grains of {grain:#x}")]
    SizesDiffer { described: u64, capacity: u64, grain: u64 },
    #[error("parentCID is {parent_cid:08x} but no parentFileNameHint names the parent")]
    ParentUnnamed { parent_cid: u32 },
    #[error("parentFileNameHint is {hint:?} but parentCID says that there is no parent")]
    ParentDenied { hint: String },
    #[error(
        "the parent is named only by ddb.uuid.parent {uuid:?}, which only VirtualBox's registry can resolve"
    )]
    ParentByUuid { uuid: String },
    #[error("the parent's name cannot be decoded from encoding {encoding:?}")]
    ParentName { encoding: String },
    #[error("the disk is encrypted ({key} in the descriptor): it has to be decrypted by VMware first")]
    Encrypted { key: String },
}

impl VmdkError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OtherExtent { .. }
            | Self::HeaderVersion { .. }
            | Self::UnknownFlags { .. }
            | Self::Compression { .. }
            | Self::NoDescriptor
            | Self::CreateType { .. }
            | Self::SeparateDescriptor { .. }
            | Self::ExtentType { .. }
            | Self::ParentByUuid { .. }
            | Self::ParentName { .. } => ErrorKind::Unsupported,
            Self::DescriptorSize { .. } | Self::DirectorySize { .. } => ErrorKind::Limit,
            Self::Encrypted { .. } => ErrorKind::NeedsPerson,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<VmdkError> for Error {
    fn from(error: VmdkError) -> Self {
        Self::new(error.kind(), error.to_string()).in_format(crate::FORMAT.name)
    }
}
