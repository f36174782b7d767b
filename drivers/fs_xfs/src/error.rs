//! Each way an XFS file system can lie or be beyond us, with the numbers.

use format_core::{Code, Error, ErrorKind, codes};

const REPAIR: &str =
    "run xfs_repair on the file system in the source machine, shut it down cleanly, and try again";
const REPLAY: &str = "start the source machine once and shut it down cleanly, or mount and unmount the file system once on a Linux machine, and try again";

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum XfsError {
    #[error("no XFS superblock at 0x0")]
    NoSuperblock,
    #[error("the superblock's {field} is {value:#x}, possible is {possible}")]
    Superblock { field: &'static str, value: u64, possible: String },
    #[error("the file system of {needed:#x} bytes does not fit its volume of {size:#x} bytes")]
    TooLarge { needed: u64, size: u64 },
    #[error("the file system uses features that cannot be read: {0}")]
    UnreadableFeatures(String),
    #[error("the file system uses features that cannot be edited here: {0}")]
    UneditableFeatures(String),
    #[error("{what} has the checksum {stored:#x}, its content gives {computed:#x}")]
    Checksum { what: String, stored: u32, computed: u32 },
    #[error("{what}: {field} is {value:#x}, possible is {possible}")]
    Field { what: String, field: &'static str, value: u64, possible: String },
    #[error("{0}")]
    Structure(String),
    #[error("what is free cannot be told: {0}")]
    Map(String),
    #[error("the log is dirty: {0}")]
    DirtyLog(String),
    #[error("the log is on another device")]
    ExternalLog,
    #[error("the file system is marked for repair")]
    NeedsRepair,
    #[error("XFS is edited in place only: {0}")]
    InPlaceOnly(String),
    #[error("{what} cannot be edited: {reason}")]
    Unsafe { what: String, reason: String },
    #[error("{what} has more than {limit:#x} {of}")]
    Limit { what: String, limit: u64, of: &'static str },
    #[error("{0} lies on the realtime device")]
    Realtime(String),
}

impl XfsError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::DirtyLog { .. } => &codes::GUEST_UNCLEAN,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuperblock | Self::UnreadableFeatures(_) | Self::Realtime(_) => ErrorKind::Unsupported,
            Self::Superblock { .. }
            | Self::TooLarge { .. }
            | Self::Checksum { .. }
            | Self::Field { .. }
            | Self::Map(_)
            | Self::Structure(_) => ErrorKind::Corrupt,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::UneditableFeatures(_)
            | Self::DirtyLog(_)
            | Self::ExternalLog
            | Self::NeedsRepair
            | Self::InPlaceOnly(_)
            | Self::Unsafe { .. } => ErrorKind::NeedsPerson,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NeedsRepair | Self::Unsafe { .. } => Some(REPAIR),
            Self::DirtyLog(_) => Some(REPLAY),
            Self::ExternalLog => {
                Some("copy the files to an XFS with an internal log in the source machine, and try again")
            }
            Self::InPlaceOnly(_) => Some("make this change in the running guest before exporting it"),
            _ => None,
        }
    }
}

impl From<XfsError> for Error {
    fn from(error: XfsError) -> Self {
        let converted = Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format("xfs");
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}
