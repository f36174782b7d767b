//! Each way in which a qcow2 file can lie or be beyond us, with the numbers.

use format_core::{Code, Error, ErrorKind, codes};
use thiserror::Error as ThisError;

/// A fault of the file. Converted once, at the room's border.
#[derive(Debug, PartialEq, Eq, ThisError)]
pub(crate) enum Qcow2Error {
    #[error("the magic is {0:02x?}, not \"QFI\\xfb\"")]
    Magic([u8; 4]),
    #[error("the header wants {wanted:#x} bytes, the file has {have:#x}")]
    ShortHeader { wanted: u64, have: u64 },
    #[error("version {0} is not supported, only 2 and 3")]
    Version(u32),
    #[error("cluster_bits is {bits}, possible are {min} to 21")]
    ClusterBits { bits: u32, min: u32 },
    #[error("the incompatible feature {0} is not supported")]
    Features(String),
    #[error("compression_type is {kind}, but the compression type feature bit is {bit}")]
    CompressionBit { kind: u8, bit: u8 },
    #[error("compression_type {0} is not supported, only zlib (0) and zstd (1)")]
    Compression(u8),
    #[error(
        "header_length is {length:#x}, possible are {min:#x} to the cluster size {cluster_size:#x} in steps of 8"
    )]
    HeaderLength { length: u32, min: u32, cluster_size: u64 },
    #[error("refcount_order is {0}, the largest is 6")]
    RefcountOrder(u32),
    #[error("the header extension {kind:#x} has {len:#x} bytes, its area ends after {left:#x}")]
    Extension { kind: u32, len: u32, left: u64, at: u64 },
    #[error("the header extension {kind:#x} has {len:#x} bytes, too few for its fields")]
    ExtensionShort { kind: u32, len: u64, at: u64 },
    #[error("the external data file feature bit is set, but there is no name of the file")]
    NoDataFile,
    #[error("the header extension {kind:#x} is no text")]
    ExtensionText { kind: u32, at: u64 },
    #[error(
        "the backing file name has {len} bytes at {offset:#x}, it must be of 1 to 1023 bytes in the first cluster"
    )]
    BackingName { offset: u64, len: u32 },
    #[error("the backing file name is not UTF-8")]
    BackingNameText { offset: u64 },
    #[error("l1_size is {l1_size}, a disk of {size:#x} bytes needs {needed}")]
    L1TooSmall { l1_size: u32, size: u64, needed: u64 },
    #[error("the L1 table has {0} entries, the limit is 4194304")]
    L1TooLarge(u64),
    #[error("l1_table_offset is {offset:#x}: {why}")]
    L1Offset { offset: u64, why: &'static str },
    #[error("the L1 table of {len:#x} bytes at {offset:#x} leaves the file, which ends at {file_size:#x}")]
    L1Outside { offset: u64, len: u64, file_size: u64 },
    #[error(
        "the refcount table of {len:#x} bytes at {offset:#x} leaves the file, which ends at {file_size:#x}"
    )]
    RefcountTableOutside { offset: u64, len: u64, file_size: u64 },
    #[error("the image has {count} snapshots, the limit is 65536")]
    Snapshots { count: u32 },
    #[error(
        "snapshot {index} of {count} at {at:#x} leaves the file or the limit of 64 MiB, the file ends at {file_size:#x}"
    )]
    SnapshotOutside { index: u32, count: u32, at: u64, file_size: u64 },
    #[error("there are {count} bitmaps in a directory of {len:#x} bytes at {offset:#x}: {why}")]
    Bitmaps { count: u32, offset: u64, len: u64, why: &'static str },
    #[error("the image has no bitmap \"{name}\", it has {names}")]
    NoBitmap { name: String, names: String },
    #[error("the image's bitmaps are stale: a program wrote to it that does not know them")]
    BitmapsStale,
    #[error("the bitmap {name} does not tell what changed: {why}")]
    BitmapUnusable { name: String, why: &'static str },
    #[error("the bitmap {name} cannot be read: {why}")]
    BitmapBroken { name: String, at: u64, why: &'static str },
    #[error("L1 entry {index} is {entry:#x}: {fault}")]
    L1Entry { index: u64, entry: u64, at: u64, fault: EntryFault },
    #[error("L2 entry {index} of the table at {table:#x} is {entry:#x}: {fault}")]
    L2Entry { index: u64, table: u64, entry: u64, fault: EntryFault },
    #[error("the compressed cluster of at most {len:#x} bytes does not give {cluster_size:#x} bytes: {why}")]
    Decompress { offset: u64, len: u64, cluster_size: u64, why: String },
}

/// What is wrong with one table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum EntryFault {
    #[error("reserved bits {0:#x} are set")]
    Reserved(u64),
    #[error("the zero flag is set in a version 2 image")]
    ZeroFlagV2,
    #[error("the host offset {offset:#x} is no multiple of the cluster size {cluster_size:#x}")]
    Unaligned { offset: u64, cluster_size: u64 },
    #[error("it points to {offset:#x}, the file ends at {file_size:#x}")]
    Outside { offset: u64, file_size: u64 },
    #[error("it is a compressed cluster in an image with an external data file")]
    CompressedInDataFile,
    #[error("it is a compressed cluster in an encrypted image")]
    CompressedInEncrypted,
    #[error("its subcluster bitmap {0:#x} contradicts itself")]
    Bitmap(u64),
}

impl Qcow2Error {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::ShortHeader { .. } | Self::L1Outside { .. } => &codes::SOURCE_CUT_OFF,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version(_) | Self::Features(_) | Self::Compression(_) => ErrorKind::Unsupported,
            Self::L2Entry { fault: EntryFault::CompressedInEncrypted, .. } => ErrorKind::Unsupported,
            Self::NoBitmap { .. } => ErrorKind::SourceMissing,
            Self::BitmapsStale | Self::BitmapUnusable { .. } => ErrorKind::Unsupported,
            Self::L1TooLarge(_) | Self::Snapshots { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }

    fn offset(&self) -> Option<u64> {
        match self {
            Self::Extension { at, .. }
            | Self::ExtensionShort { at, .. }
            | Self::ExtensionText { at, .. }
            | Self::SnapshotOutside { at, .. }
            | Self::BitmapBroken { at, .. }
            | Self::L1Entry { at, .. } => Some(*at),
            Self::BackingNameText { offset } | Self::Decompress { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::L1Outside { .. }
            | Self::RefcountTableOutside { .. }
            | Self::L1Entry { fault: EntryFault::Outside { .. }, .. }
            | Self::L2Entry { fault: EntryFault::Outside { .. }, .. } => {
                Some("the file looks cut off: compare its size with the original's")
            }
            Self::BitmapsStale | Self::BitmapUnusable { .. } | Self::BitmapBroken { .. } => {
                Some("leave --bitmap away: both sides are read then, and only what differs is rewritten")
            }
            _ => None,
        }
    }
}

impl From<Qcow2Error> for Error {
    fn from(fault: Qcow2Error) -> Self {
        let mut error =
            Error::new(fault.kind(), fault.to_string()).with_code(fault.code()).in_format(crate::FORMAT.name);
        if let Some(offset) = fault.offset() {
            error = error.at(offset);
        }
        match fault.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
