//! Each way a partclone image can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartcloneError {
    #[error("the file has {size:#x} bytes, the header alone has {needed:#x}")]
    TooShort { size: u64, needed: u64 },
    #[error("the file does not begin with partclone-image")]
    Magic,
    #[error("the image's version is {found:?}, only 0001 and 0002 are known")]
    Version { found: String },
    #[error("the header's checksum is {stored:#010x}, its bytes have {found:#010x}")]
    HeaderSum { stored: u32, found: u32 },
    #[error("the image was written on a big-endian machine")]
    BigEndian,
    #[error("the mark of the byte order is {found:#06x}, not 0xc0de")]
    Endian { found: u16 },
    #[error("the header names version {found:#x} in its second place, not 2")]
    InnerVersion { found: u16 },
    #[error("a block has {found:#x} bytes, only 0x200 to 0x400000 are known")]
    BlockSize { found: u64 },
    #[error(
        "{total:#x} blocks of {block_size:#x} bytes and a device of {device:#x} bytes are more than 2^63 bytes"
    )]
    Size { total: u64, block_size: u64, device: u64 },
    #[error("the checksum mode is {found:#x}, only 0, 0x20, 0x30, 0x31 and 0xff are known")]
    SumMode { found: u16 },
    #[error("a checksum of mode {mode:#x} has {found} bytes, not {wanted}")]
    SumSize { mode: u16, found: u16, wanted: u16 },
    #[error("there is a checksum for every 0 blocks")]
    NoBlocksPerSum,
    #[error("the bitmap mode is {found:#x}, only 0, 1 and 8 are known")]
    BitmapMode { found: u8 },
    #[error("the bitmap of {length:#x} bytes ends beyond the file, which has {size:#x} bytes")]
    BitmapPlace { length: u64, size: u64 },
    #[error("the bitmap's checksum is {stored:#010x}, its bytes have {found:#010x}")]
    BitmapSum { stored: u32, found: u32 },
    #[error("the map of blocks is not followed by BiTmAgIc")]
    BitmapEnd,
    #[error("{used:#x} blocks are in use and end at {end:#x}, the file has {size:#x} bytes")]
    DataPlace { used: u64, end: u64, size: u64 },
    #[error("the image ends within {what}")]
    Ends { what: &'static str },
    #[error(
        "the checksum of {blocks:#x} blocks from number {first:#x} of those in use is {stored}, their bytes have {found}"
    )]
    Sum { first: u64, blocks: u64, stored: String, found: String },
}

impl PartcloneError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::DataPlace { .. } | Self::Ends { .. } | Self::BitmapPlace { .. } => {
                &codes::SOURCE_CUT_OFF
            }
            Self::HeaderSum { .. } | Self::BitmapSum { .. } => &codes::SOURCE_CHECKSUM,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::BigEndian
            | Self::InnerVersion { .. }
            | Self::BlockSize { .. }
            | Self::SumMode { .. }
            | Self::BitmapMode { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<PartcloneError> for Error {
    fn from(error: PartcloneError) -> Self {
        let kind = error.kind();
        let made = Error::new(kind, error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error {
            PartcloneError::BigEndian => {
                made.hint("restore it with partclone on such a machine, and migrate the disk")
            }
            PartcloneError::HeaderSum { .. } | PartcloneError::BitmapSum { .. } => {
                made.hint("--ignore-checksum reads the image all the same")
            }
            _ => made,
        }
    }
}
