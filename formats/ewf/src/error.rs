//! Each way an EWF image can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EwfError {
    #[error("segment {segment} has {size} bytes, its header alone has 13")]
    TooShort { segment: u32, size: u64 },
    #[error("segment {segment} begins with {found:02x?}, no header of a segment")]
    Signature { segment: u32, found: [u8; 8] },
    #[error("it is logical evidence: it holds files and no disk")]
    Logical,
    #[error("it is a shadow file (d01): the changes made to a disk, without the disk")]
    Delta,
    #[error("segment {segment} is encrypted by FTK Imager (AD encryption)")]
    Encrypted { segment: u32 },
    #[error("the file is segment {found} of an image, not the first")]
    NotFirst { found: u16 },
    #[error("{name:?} should be segment {wanted}, but says that it is segment {found}")]
    SegmentNumber { name: String, found: u16, wanted: u32 },
    #[error("the image goes on in segment {wanted}, and the name of the first does not tell that one's name")]
    NoName { wanted: u32 },
    #[error("segment {number} ({name:?}) is missing{others}")]
    SegmentMissing { number: u32, name: String, others: String },
    #[error("the image has more than {most} segments")]
    TooManySegments { most: u32 },
    #[error("segment {segment} ends at {size:#x}, within or before the section at {offset:#x}")]
    Truncated { segment: u32, offset: u64, size: u64 },
    #[error(
        "the section at {offset:#x} of segment {segment} has the checksum {found:#010x}, its bytes have {wanted:#010x}"
    )]
    SectionChecksum { segment: u32, offset: u64, found: u32, wanted: u32 },
    #[error(
        "the {kind:?} section at {offset:#x} of segment {segment} says that the next is at {next:#x}, the file ends at \
         {size:#x}"
    )]
    SectionNext { segment: u32, kind: String, offset: u64, next: u64, size: u64 },
    #[error("segment {segment} has more than {most} sections")]
    TooManySections { segment: u32, most: usize },
    #[error("no volume section says how large the disk is before the first table")]
    NoVolume,
    #[error("the volume section has {found:#x} bytes, 0x5e and 0x41c are known")]
    VolumeLength { found: u64 },
    #[error("the volume section has the checksum {found:#010x}, its bytes have {wanted:#010x}")]
    VolumeChecksum { found: u32, wanted: u32 },
    #[error("a sector has {found} bytes, 1 to 65536 are taken")]
    SectorSize { found: u32 },
    #[error("a chunk has {sectors} sectors of {sector_size} bytes, 1 byte to 32 MiB are taken")]
    ChunkSize { sectors: u32, sector_size: u32 },
    #[error("the disk has {sectors:#x} sectors of {sector_size} bytes, more than 64 bits count")]
    DiskSize { sectors: u64, sector_size: u32 },
    #[error("the volume section says that the disk has no sectors, the tables hold {chunks} chunks")]
    NoSize { chunks: u64 },
    #[error("two volume sections differ: {first}, and {second}")]
    Volumes { first: String, second: String },
    #[error("segment {segment} belongs to another image: {found}, the first segment has {wanted}")]
    Foreign { segment: u32, found: String, wanted: String },
    #[error(
        "the table at {offset:#x} of segment {segment} has {found:#x} bytes, too few for its {entries} entries"
    )]
    TableLength { segment: u32, offset: u64, found: u64, entries: u32 },
    #[error(
        "the table at {offset:#x} of segment {segment} has the checksum {found:#010x} for its {what}, these have \
         {wanted:#010x}"
    )]
    TableChecksum { segment: u32, offset: u64, what: &'static str, found: u32, wanted: u32 },
    #[error(
        "the table at {offset:#x} of segment {segment} counts from {base:#x}, the file ends at {size:#x}"
    )]
    TableBase { segment: u32, offset: u64, base: u64, size: u64 },
    #[error(
        "the table at {offset:#x} of segment {segment} differs from its copy, and both have right checksums"
    )]
    TablesDiffer { segment: u32, offset: u64 },
    #[error("the table at {offset:#x} of segment {segment} follows no sectors section")]
    NoSectors { segment: u32, offset: u64 },
    #[error("chunk {chunk} is in no table: the tables hold {chunks} chunks, the disk has {wanted}")]
    ChunkMissing { chunk: u64, chunks: u64, wanted: u64 },
    #[error(
        "chunk {chunk} is said to be at {offset:#x} of segment {segment}, the chunks there are at {from:#x} to {to:#x}"
    )]
    ChunkPlace { chunk: u64, segment: u32, offset: u64, from: u64, to: u64 },
    #[error("chunk {chunk}, {len:#x} bytes at {offset:#x} of segment {segment}, is damaged: {why}")]
    ChunkData { chunk: u64, segment: u32, offset: u64, len: u64, why: &'static str },
}

impl EwfError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::Truncated { .. } => &codes::SOURCE_CUT_OFF,
            Self::Encrypted { .. } => &codes::ENCRYPTED,
            Self::VolumeChecksum { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Logical | Self::Delta | Self::SectorSize { .. } => ErrorKind::Unsupported,
            Self::Encrypted { .. } => ErrorKind::NeedsPerson,
            Self::NotFirst { .. } => ErrorKind::Usage,
            Self::NoName { .. } | Self::SegmentMissing { .. } => ErrorKind::SourceMissing,
            Self::TooManySegments { .. } | Self::TooManySections { .. } | Self::ChunkSize { .. } => {
                ErrorKind::Limit
            }
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Logical => "take the files out with EnCase, FTK Imager or ewfmount of libewf",
            Self::Delta => "read the disk's own image, and make a new one of the changed disk in EnCase",
            Self::Encrypted { .. } => {
                "decrypt the image in FTK Imager (Decrypt AD1 image / export disk image)"
            }
            Self::NotFirst { .. } => "name the first segment, which ends in .E01 or .s01",
            Self::NoName { .. } => {
                "name the first segment as its tool did: NAME.E01, with NAME.E02 beside it"
            }
            Self::SegmentMissing { .. } => "put all segments of the image into one folder",
            Self::SectionChecksum { .. }
            | Self::VolumeChecksum { .. }
            | Self::TableChecksum { .. }
            | Self::TablesDiffer { .. } => {
                "--ignore-checksum reads it all the same: every chunk has a checksum of its own"
            }
            _ => return None,
        })
    }
}

impl From<EwfError> for Error {
    fn from(error: EwfError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
