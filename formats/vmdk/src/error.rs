//! Each way a VMDK file can lie or be beyond us, with the numbers.

use crate::layout::{
    MAX_DESCRIPTOR, MAX_DIRECTORY_ENTRIES, MAX_EXTENTS, MAX_GRAIN_SECTORS, MAX_TABLE_ENTRIES,
};
use format_core::{Code, Error, ErrorKind, codes};

/// What is wrong with a VMDK file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VmdkError {
    #[error("no VMDK: it starts neither with KDMV nor with \"# Disk DescriptorFile\"")]
    NotVmdk,
    #[error("the header is cut off: the file has {size:#x} bytes, a header has 0x200")]
    HeaderCut { size: u64 },
    #[error(
        "this is an extent file of a {name} disk: whether it has a parent stands in the disk's descriptor"
    )]
    BareExtent { name: &'static str, extent_type: &'static str, sectors: u64 },
    #[error("the {what} is not the start of a {extent} extent")]
    NotThatExtent { what: &'static str, extent: &'static str },
    #[error("the COWD header has version {version}, version 1 is supported")]
    CowdVersion { version: u32 },
    #[error("the seSparse header's {field} is {found:#x}, {supported:#x} is supported")]
    SeSparseField { field: &'static str, found: u64, supported: u64 },
    #[error("the seSparse extent has a journal of changes that were not carried out")]
    SeSparseJournal,
    #[error("the grain directory has {found:#x} entries, the capacity needs {needed:#x}")]
    DirectoryShort { found: u64, needed: u64 },
    #[error("grain directory entry {index:#x} is {raw:#x}, which no seSparse directory has")]
    SeSparseTable { index: usize, raw: u64 },
    #[error("the entry of grain {grain:#x} is {raw:#x}, which no seSparse table has")]
    SeSparseEntry { grain: u64, raw: u64 },
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
    #[error("the disk is a device of the machine that wrote the descriptor ({what}: {names})")]
    Device { what: String, names: String },
    #[error("the descriptor's extents have 0 sectors")]
    NoExtents,
    #[error("the descriptor lists more than {MAX_EXTENTS} extents")]
    TooManyExtents,
    #[error("the descriptor lists itself ({name:?}) as an extent")]
    OwnExtent { name: String },
    #[error("two extents are the same bytes of {name:?}")]
    SharedExtent { name: String },
    #[error("the flat extent {name:?} needs {needed:#x} bytes of its file, which has {size:#x}")]
    FlatShort { name: String, needed: u64, size: u64 },
    #[error("a sparse extent that starts {offset:#x} sectors into its file is not supported")]
    SparseOffset { offset: u64 },
    #[error("more files than this process may have open: the disk has {count} extents")]
    OpenFiles { count: usize },
    #[error("the embedded descriptor lists {count} extents, a {create_type} disk has 1")]
    ExtentCount { count: usize, create_type: String },
    #[error("the embedded descriptor's extent is {extent_type}, the file is SPARSE")]
    EmbeddedExtent { extent_type: String },
    #[error("extents that are {access} {extent_type} ({name:?}) are not supported")]
    ExtentType { access: String, extent_type: String, name: String },
    #[error(
        "the descriptor says {described:#x} sectors, the extent's header {capacity:#x} with grains of {grain:#x}"
    )]
    SizesDiffer { described: u64, capacity: u64, grain: u64 },
    #[error("parentFileNameHint is {hint:?} but parentCID says that there is no parent")]
    ParentDenied { hint: String },
    #[error("the name of the {what} cannot be decoded from encoding {encoding:?}")]
    FileName { what: &'static str, encoding: String },
    #[error("{what}, which cannot be read from a pipe")]
    NoStream { what: String },
    #[error("the stream ends in the middle of {what}: it is cut off")]
    StreamCut { what: &'static str },
    #[error("the marker at {at:#x} {what}")]
    Marker { at: u64, what: String },
    #[error("{table} does not agree with the grains that were read before it")]
    StreamTables { table: String },
    #[error("the disk is encrypted ({key} in the descriptor): it has to be decrypted by VMware first")]
    Encrypted { key: String },
}

impl VmdkError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::HeaderCut { .. } | Self::FlatShort { .. } | Self::StreamCut { .. } => {
                &codes::SOURCE_CUT_OFF
            }
            Self::HeaderVersion { .. } | Self::CowdVersion { .. } => &codes::VERSION_UNSUPPORTED,
            Self::Encrypted { .. } => &codes::ENCRYPTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::BareExtent { .. }
            | Self::HeaderVersion { .. }
            | Self::CowdVersion { .. }
            | Self::SeSparseField { .. }
            | Self::UnknownFlags { .. }
            | Self::Compression { .. }
            | Self::NoDescriptor
            | Self::Device { .. }
            | Self::SparseOffset { .. }
            | Self::ExtentType { .. }
            | Self::EmbeddedExtent { .. }
            | Self::NoStream { .. }
            | Self::FileName { .. } => ErrorKind::Unsupported,
            Self::DescriptorSize { .. }
            | Self::DirectorySize { .. }
            | Self::TooManyExtents
            | Self::OpenFiles { .. } => ErrorKind::Limit,
            Self::Encrypted { .. } | Self::SeSparseJournal => ErrorKind::NeedsPerson,
            _ => ErrorKind::Corrupt,
        }
    }

    /// The next step.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::BareExtent { name, extent_type, sectors } => {
                return Some(format!(
                    "open the descriptor beside it, or read this file alone with --ignore-parent; if the descriptor is lost, write one: \"# Disk DescriptorFile\", CID=1, \
                     parentCID=ffffffff (or the parent's CID and parentFileNameHint), createType=\"{name}\", \
                     RW {sectors} {extent_type} \"FILE\""
                ));
            }
            Self::NoDescriptor => "open the .vmdk that lists this file as an extent",
            Self::Device { .. } => "map the device on this machine and read it as raw",
            Self::SeSparseJournal => {
                "power the virtual machine on once on its ESXi host, or consolidate the snapshot there, and copy the disk again"
            }
            Self::OpenFiles { .. } => "raise the limit with ulimit -n",
            Self::NoStream { .. } => "save the stream to a file first",
            Self::FileName { .. } => {
                "rename the file and write its name into the descriptor in UTF-8 with encoding=\"UTF-8\""
            }
            Self::StreamCut { .. } | Self::NoFooter => "get the file again",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<VmdkError> for Error {
    fn from(error: VmdkError) -> Self {
        let converted =
            Self::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}
