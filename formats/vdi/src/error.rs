//! Each way a VDI file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VdiError {
    #[error("the file has {size:#x} bytes, a header alone has 0x1c8")]
    TooShort { size: u64 },
    #[error("the signature is {found:#010x}, not 0xbeda107f")]
    Signature { found: u32 },
    #[error("the version is {major}.{minor}, only 1.1 is known")]
    Version { major: u16, minor: u16 },
    #[error("the header says that it has {found:#x} bytes, version 1.1 has 0x180 at least")]
    HeaderSize { found: u32 },
    #[error("the image type is {found}, only 1 (dynamic), 2 (fixed) and 4 (differencing) are known")]
    ImageType { found: u32 },
    #[error("the sector size is {found:#x}, only 0x200 is known")]
    SectorSize { found: u32 },
    #[error("the block size is {found:#x}, not a power of two from 0x200 to 0x10000000")]
    BlockSize { found: u32 },
    #[error("a block has {found:#x} extra bytes, more than its size of {block_size:#x} bytes")]
    BlockExtra { found: u32, block_size: u64 },
    #[error("the disk has {virtual_size:#x} bytes, {blocks:#x} blocks of {block_size:#x} bytes hold less")]
    TooFewBlocks { virtual_size: u64, blocks: u32, block_size: u64 },
    #[error("{allocated:#x} blocks are said to be allocated, the disk has {blocks:#x}")]
    Allocated { allocated: u32, blocks: u32 },
    #[error("the block map is at {offset:#x}, the header ends at {header_end:#x}")]
    MapInHeader { offset: u64, header_end: u64 },
    #[error("the block map is at {offset:#x}+{length:#x}, the blocks begin at {data:#x}")]
    MapInData { offset: u64, length: u64, data: u64 },
    #[error("the block map is at {offset:#x}+{length:#x} of a file of {size:#x} bytes")]
    MapPlace { offset: u64, length: u64, size: u64 },
    #[error("the image is a difference to a parent, but the parent's UUID is nil")]
    NoParent,
    #[error("block {block} is said to be block {index} of the file, which has {blocks} at most")]
    BlockIndex { block: u64, index: u32, blocks: u64 },
    #[error("block {block} is at {offset:#x}, needs {length:#x} bytes there, the file has {size:#x}")]
    BlockPlace { block: u64, offset: u64, length: u64, size: u64 },
}

impl VdiError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } => &codes::SOURCE_CUT_OFF,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::ImageType { .. } | Self::SectorSize { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<VdiError> for Error {
    fn from(error: VdiError) -> Self {
        Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name)
    }
}
