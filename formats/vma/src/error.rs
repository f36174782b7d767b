//! Each way a VMA file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VmaError {
    #[error("the file has {size:#x} bytes, a header alone has 0x3000")]
    TooShort { size: u64 },
    #[error("the magic is {found:02x?}, not \"VMA\\0\"")]
    Magic { found: [u8; 4] },
    #[error("the version is {found}, only 1 is known")]
    Version { found: u32 },
    #[error("the header says that it has {found:#x} bytes, not a multiple of 0x200 from 0x3000 on")]
    HeaderSize { found: u64 },
    #[error("the header says that it has {found:#x} bytes, more than {most:#x} are not read")]
    HeaderLimit { found: u64, most: u64 },
    #[error("the header has {header:#x} bytes, the file ends at {size:#x}")]
    HeaderCut { header: u64, size: u64 },
    #[error("the blobs are at {offset:#x}+{length:#x} of a header of {header:#x} bytes")]
    Blobs { offset: u64, length: u64, header: u64 },
    #[error("the MD5 of the header is {found}, it says {said}")]
    HeaderChecksum { said: String, found: String },
    #[error("{what} is a blob at {at:#x} that leaves the {length:#x} bytes of blobs")]
    Blob { what: String, at: u64, length: u64 },
    #[error("{what} is {found:?}, not a name")]
    Name { what: String, found: String },
    #[error("configuration file {index} has a name or a content, not both")]
    HalfConfig { index: usize },
    #[error("device 0 is described, the format has none of that number")]
    DeviceZero,
    #[error("device {index} has {size:#x} bytes and no name")]
    Nameless { index: usize, size: u64 },
    #[error("device {index} has {size:#x} bytes, more than a device can have")]
    DeviceSize { index: usize, size: u64 },
    #[error("two devices are called {name:?}")]
    SameName { name: String },
    #[error("the extent begins with {found:02x?}, not \"VMAE\"")]
    ExtentMagic { found: [u8; 4] },
    #[error("the extent belongs to the backup {found}, the header to {wanted}")]
    ExtentUuid { wanted: String, found: String },
    #[error("the MD5 of the extent's head is {found}, it says {said}")]
    ExtentChecksum { said: String, found: String },
    #[error("reserved bits of the extent's head are set: {found:#x}")]
    Reserved { found: u64 },
    #[error("the extent says that it has {said} blocks, its clusters have {found}")]
    BlockCount { said: u32, found: u32 },
    #[error("a cluster belongs to device {device}, which the header has not")]
    UnknownDevice { device: u8 },
    #[error("cluster {cluster} of {name}, which has {clusters} clusters")]
    Cluster { name: String, cluster: u32, clusters: u64 },
    #[error("cluster {cluster} of {name} has blocks {mask:#06x}, the device ends in block {last} of it")]
    BeyondEnd { name: String, cluster: u32, mask: u16, last: u64 },
    #[error("cluster {cluster} of {name} is there twice")]
    Twice { name: String, cluster: u32 },
    #[error("truncated: {missing} of {total} clusters of {name} are missing, the file ends at {end:#x}")]
    Missing { name: String, missing: u64, total: u64, end: u64 },
    #[error(
        "truncated: the devices have {wanted} clusters, the {size:#x} bytes of the file list {most} at most"
    )]
    TooFew { wanted: u64, most: u64, size: u64 },
    #[error(
        "{name} is said to have {size:#x} bytes: a stream shows only at its end whether that is true, and more than {most:#x} are not believed"
    )]
    Unbelievable { name: String, size: u64, most: u64 },
    #[error("truncated: {what} needs {need:#x} bytes, the file ends at {end:#x}")]
    Cut { what: &'static str, need: u64, end: u64 },
    #[error("{count} clusters of {name} come before cluster {next}, more than {most} cannot wait")]
    TooEarly { name: String, count: u64, next: u32, most: u64 },
}

impl VmaError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::HeaderCut { .. } | Self::Missing { .. } | Self::Cut { .. } => {
                &codes::SOURCE_CUT_OFF
            }
            Self::HeaderChecksum { .. } | Self::ExtentChecksum { .. } => &codes::SOURCE_CHECKSUM,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } => ErrorKind::Unsupported,
            Self::HeaderLimit { .. } | Self::TooEarly { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unbelievable { .. } => {
                Some("name the unpacked backup as a file: its length shows whether it is true")
            }
            Self::TooEarly { .. } => Some("unpack the backup into a file and name that"),
            Self::Missing { .. } | Self::TooFew { .. } | Self::Cut { .. } | Self::HeaderCut { .. } => {
                Some("the backup did not end well or was not copied whole: look at its .log, copy it again")
            }
            Self::HeaderChecksum { .. } | Self::ExtentChecksum { .. } => {
                Some("--ignore-checksum reads it as it is")
            }
            _ => None,
        }
    }

    /// Whether it is a checksum that does not fit, and nothing else.
    pub(crate) fn is_checksum(&self) -> bool {
        matches!(self, Self::HeaderChecksum { .. } | Self::ExtentChecksum { .. })
    }
}

impl From<VmaError> for Error {
    fn from(error: VmaError) -> Self {
        let known =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => known.hint(hint),
            None => known,
        }
    }
}
