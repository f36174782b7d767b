//! Each way a VHD file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VhdError {
    #[error("the file has {size:#x} bytes, a footer alone has 0x1ff")]
    TooShort { size: u64 },
    #[error("no footer: neither the end nor the start of the file has the cookie \"conectix\"")]
    NoFooter,
    #[error("the {structure}'s checksum is {found:#010x}, its bytes have {computed:#010x}")]
    Checksum { structure: &'static str, found: u32, computed: u32 },
    #[error("the {structure} has version {found:#x}, only 0x10000 is known")]
    Version { structure: &'static str, found: u32 },
    #[error("the disk type is {found}, only 2 (fixed), 3 (dynamic) and 4 (differencing) are known")]
    DiskType { found: u32 },
    #[error("the disk has {virtual_size:#x} bytes, the file has {available:#x} for them: it was cut off")]
    CutOff { virtual_size: u64, available: u64 },
    #[error(
        "the dynamic header is at {offset:#x}, not behind the footer's copy in a file of {size:#x} bytes"
    )]
    HeaderPlace { offset: u64, size: u64 },
    #[error("the dynamic header's cookie is {found:02x?}, not \"cxsparse\"")]
    HeaderCookie { found: [u8; 8] },
    #[error("the block size is {found:#x}, not a power of two from 0x200 to 0x10000000")]
    BlockSize { found: u32 },
    #[error("the BAT has {entries:#x} entries, the disk has {needed:#x} blocks")]
    BatTooSmall { entries: u32, needed: u64 },
    #[error("the BAT is at {offset:#x}+{length:#x} of a file of {size:#x} bytes")]
    BatPlace { offset: u64, length: u64, size: u64 },
    #[error("the areas at {first:#x} and {second:#x} overlap")]
    Overlap { first: u64, second: u64 },
    #[error("the parent locator {code} is at {offset:#x}+{length:#x} of a file of {size:#x} bytes")]
    LocatorPlace { code: String, offset: u64, length: u32, size: u64 },
    #[error("the parent locator {code} has {length:#x} bytes, no path is longer than 0xfffe")]
    LocatorLength { code: String, length: u32 },
    #[error("the image is a difference to a parent, but names none")]
    NoParentName,
    #[error("block {block} is at {offset:#x}, needs {length:#x} bytes there, the file has {size:#x}")]
    BlockPlace { block: u64, offset: u64, length: u64, size: u64 },
    #[error("block {block} at {offset:#x} overlaps the headers or the BAT at {area:#x}")]
    BlockOverlaps { block: u64, offset: u64, area: u64 },
}

impl VhdError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::CutOff { .. } => &codes::SOURCE_CUT_OFF,
            Self::Checksum { .. } => &codes::SOURCE_CHECKSUM,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::DiskType { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<VhdError> for Error {
    fn from(error: VhdError) -> Self {
        let is_checksum = matches!(error, VhdError::Checksum { .. });
        let error =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        if is_checksum { error.hint("--ignore-checksum reads on, with a warning") } else { error }
    }
}
