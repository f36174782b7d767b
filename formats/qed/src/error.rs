//! Each way a QED file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QedError {
    #[error("the file has {size:#x} bytes, a header alone has 0x40")]
    TooShort { size: u64 },
    #[error("the magic is {0:02x?}, not \"QED\\0\"")]
    Magic([u8; 4]),
    #[error("cluster_size is {0:#x}, not a power of two from 0x1000 to 0x4000000")]
    ClusterSize(u32),
    #[error("table_size is {0} clusters, not a power of two from 1 to 16")]
    TableSize(u32),
    #[error("header_size is {clusters} clusters of {cluster_size:#x} bytes, the file has {size:#x}")]
    HeaderSize { clusters: u32, cluster_size: u32, size: u64 },
    #[error("the features {0:#x} are not supported, only 0x7 are known")]
    Features(u64),
    #[error("image_size is {0:#x}, no multiple of 0x200")]
    ImageSize(u64),
    #[error("image_size is {size:#x}, the tables reach to {most:#x}")]
    ImageTooLarge { size: u64, most: u64 },
    #[error("the L1 table is {0}")]
    L1Table(Misplaced),
    #[error("the backing file name has {len} bytes, possible are 1 to 4095")]
    BackingLength { len: u32 },
    #[error("the backing file name is at {offset:#x}+{len:#x}, the header ends at {end:#x}")]
    BackingPlace { offset: u32, len: u32, end: u64 },
    #[error("the backing file name is not UTF-8")]
    BackingText { offset: u32 },
    #[error("L1 entry {index}: the L2 table is {place}")]
    L1Entry { index: u64, at: u64, place: Misplaced },
    #[error("L2 entry {index} of the table at {table:#x}: the cluster is {place}")]
    L2Entry { index: u64, table: u64, at: u64, place: Misplaced },
}

/// Clusters where none can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error("at {offset:#x}, no multiple of the cluster size {cluster_size:#x}")]
    Unaligned { offset: u64, cluster_size: u64 },
    #[error("at {offset:#x}, inside the header, which ends at {header_end:#x}")]
    InHeader { offset: u64, header_end: u64 },
    #[error("at {offset:#x}+{len:#x}, the file ends at {size:#x}")]
    Outside { offset: u64, len: u64, size: u64 },
}

impl QedError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } => &codes::SOURCE_CUT_OFF,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Features(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }

    fn offset(&self) -> Option<u64> {
        match self {
            Self::L1Entry { at, .. } | Self::L2Entry { at, .. } => Some(*at),
            Self::BackingText { offset } => Some((*offset).into()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::L1Table(Misplaced::Outside { .. })
            | Self::L1Entry { place: Misplaced::Outside { .. }, .. }
            | Self::L2Entry { place: Misplaced::Outside { .. }, .. } => {
                Some("the file looks cut off: compare its size with the original's")
            }
            _ => None,
        }
    }
}

impl From<QedError> for Error {
    fn from(fault: QedError) -> Self {
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
