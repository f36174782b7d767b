//! Each way a FAT file system can lie or be beyond us, with the numbers.

use format_core::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(crate) enum FatError {
    #[error("no FAT boot sector")]
    NoBootSector,
    #[error("entry {at:#x} of the FAT is {value:#x}, the data clusters are 0x2 to {last:#x}")]
    Link { at: u32, value: u32, last: u32 },
    #[error("{what} starts with cluster {value:#x}, the data clusters are 0x2 to {last:#x}")]
    Start { what: String, value: u32, last: u32 },
    #[error(
        "the clusters of a folder that starts at {0:#x} run in a circle or beyond the 65536 entries that a folder may have"
    )]
    FolderLength(u32),
    #[error("{what} has {size:#x} bytes, but {clusters} clusters of {cluster:#x} bytes")]
    FileLength { what: String, size: u64, clusters: u64, cluster: u64 },
    #[error("{what} has {size:#x} bytes, its clusters run in a circle")]
    Circle { what: String, size: u64 },
    #[error("cluster {cluster:#x} of {what} belongs to something else, too")]
    Shared { what: String, cluster: u32 },
    #[error(
        "entry {number} of the folder {what} lies behind the folder's end: whether it is a file is not certain"
    )]
    BehindEnd { what: String, number: usize },
    #[error("the copies of the FAT differ at byte {0:#x}")]
    CopiesDiffer(u64),
    #[error("only FAT {0} is in use, its copies are not kept equal")]
    NoMirror(u64),
    #[error("the guest noted read or write errors in the FAT")]
    HardErrors,
    #[error("it has {clusters} clusters; its chains are checked before an edit up to {limit}")]
    TooLarge { clusters: u32, limit: u32 },
    #[error("its folders have more than {0:#x} bytes: too many to be checked before an edit")]
    TooManyFolders(u64),
    #[error("how many clusters are free cannot be told: {0}")]
    Map(String),
    #[error("no space in the guest's file system: needs {needed} clusters of {cluster} bytes, has {free}")]
    NoSpace { needed: u64, cluster: u64, free: u64 },
    #[error("no room in {what} for a new name: it needs {needed} entries in a row")]
    FolderFull { what: String, needed: usize },
    #[error("{size:#x} bytes are more than the 0xffffffff that a file may have")]
    FileTooLarge { size: u64 },
    #[error("FAT has no links: {0:?} cannot be one")]
    NoLinks(String),
}

impl FatError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoBootSector => ErrorKind::Unsupported,
            Self::Link { .. }
            | Self::Start { .. }
            | Self::FolderLength(_)
            | Self::FileLength { .. }
            | Self::Circle { .. }
            | Self::Shared { .. }
            | Self::BehindEnd { .. }
            | Self::CopiesDiffer(_) => ErrorKind::Corrupt,
            _ => ErrorKind::NeedsPerson,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Link { .. }
            | Self::Start { .. }
            | Self::FolderLength(_)
            | Self::FileLength { .. }
            | Self::Circle { .. }
            | Self::Shared { .. }
            | Self::BehindEnd { .. }
            | Self::CopiesDiffer(_)
            | Self::HardErrors => {
                Some("unmount the file system in the source machine, run fsck.fat -a on it, and try again")
            }
            Self::NoSpace { .. } => Some("free space in the guest and try again"),
            _ => None,
        }
    }
}

impl From<FatError> for Error {
    fn from(error: FatError) -> Self {
        let converted = Error::new(error.kind(), error.to_string()).in_format("vfat");
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

/// Why a file system can be read but not edited. Kept, so that each edit can say it again.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    message: String,
    hint: Option<String>,
}

impl Obstacle {
    pub(crate) fn to_error(&self) -> Error {
        let error = Error::needs_person(self.message.clone()).in_format("vfat");
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl From<Error> for Obstacle {
    /// What stands in the way of an edit is for a person to clear, whatever it was.
    fn from(error: Error) -> Self {
        Self { message: error.message().to_owned(), hint: error.hint_text().map(str::to_owned) }
    }
}
