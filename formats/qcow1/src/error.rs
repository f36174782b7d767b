//! Each way a qcow file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QcowError {
    #[error("the file has {size:#x} bytes, a header alone has 0x30")]
    TooShort { size: u64 },
    #[error("the magic is {0:02x?}, not \"QFI\\xfb\"")]
    Magic([u8; 4]),
    #[error("version {0} is not the first")]
    Version(u32),
    #[error("cluster_bits is {0}, possible are 9 to 16")]
    ClusterBits(u8),
    #[error("l2_bits is {0}, possible are 6 to 13")]
    L2Bits(u8),
    #[error("crypt_method is {0}, only 0 (none) and 1 (AES) are known")]
    CryptMethod(u32),
    #[error("the image is encrypted with AES")]
    NoKey,
    #[error(
        "the L1 table of {len:#x} bytes is at {offset:#x}, between the header and the file's end {size:#x} is no such place"
    )]
    L1Place { offset: u64, len: u64, size: u64 },
    #[error("the L1 table has {len:#x} bytes, the limit is 0x80000000")]
    L1TooLarge { len: u64 },
    #[error("the backing file name has {len} bytes, possible are 1 to 1023")]
    BackingLength { len: u32 },
    #[error(
        "the backing file name of {len} bytes is at {offset:#x}, between the header and the file's end {size:#x} is no such place"
    )]
    BackingPlace { offset: u64, len: u32, size: u64 },
    #[error("the backing file name is not UTF-8")]
    BackingText { offset: u64 },
    #[error("L1 entry {index}: the L2 table is {place}")]
    L1Entry { index: u64, at: u64, place: Misplaced },
    #[error("L2 entry {index} of the table at {table:#x}: the cluster is {place}")]
    L2Entry { index: u64, table: u64, at: u64, place: Misplaced },
    #[error("the compressed cluster of {len:#x} bytes does not give {cluster_size:#x} bytes: {why}")]
    Decompress { offset: u64, len: u64, cluster_size: u64, why: String },
}

/// Bytes where none can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error("at {offset:#x}, no multiple of 0x200")]
    Unaligned { offset: u64 },
    #[error("at {offset:#x}, inside the header")]
    InHeader { offset: u64 },
    #[error("at {offset:#x}+{len:#x}, the file ends at {size:#x}")]
    Outside { offset: u64, len: u64, size: u64 },
}

impl QcowError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } => &codes::SOURCE_CUT_OFF,
            Self::NoKey { .. } => &codes::KEY_MISSING,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version(_) | Self::CryptMethod(_) => ErrorKind::Unsupported,
            Self::L1TooLarge { .. } => ErrorKind::Limit,
            Self::NoKey => ErrorKind::NeedsPerson,
            _ => ErrorKind::Corrupt,
        }
    }

    fn offset(&self) -> Option<u64> {
        match self {
            Self::L1Entry { at, .. } | Self::L2Entry { at, .. } => Some(*at),
            Self::BackingText { offset } | Self::Decompress { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey => Some("give its passphrase with --key-file"),
            Self::Version(2 | 3) => Some("name the format qcow2"),
            Self::L1Entry { place: Misplaced::Outside { .. }, .. }
            | Self::L2Entry { place: Misplaced::Outside { .. }, .. } => {
                Some("the file looks cut off: compare its size with the original's")
            }
            _ => None,
        }
    }
}

impl From<QcowError> for Error {
    fn from(fault: QcowError) -> Self {
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
