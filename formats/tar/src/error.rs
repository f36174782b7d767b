//! Each way an archive is no archive of disks.

use format_core::{Error, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TarError {
    #[error("none of the {members} members looks like a disk image{first}")]
    NoDisk { members: usize, first: String },
    #[error("two members are called {name:?}")]
    Twice { name: String },
    #[error("the archive has more than {limit} members")]
    Members { limit: usize },
    #[error("member {name:?} names {other:?}, another member of the archive")]
    Further { name: String, other: String },
    #[error("member {name:?} is no raw disk and cannot be read while it comes")]
    NotRaw { name: String },
    #[error("the archive holds more than one disk: {names}")]
    Several { names: String },
    #[error("no disk is called {wanted:?}; the disks are {names}")]
    NotThere { wanted: String, names: String },
    #[error("the only member has to be disk.raw, the archive holds {found}")]
    NotGcp { found: String },
}

impl TarError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Members { .. } => ErrorKind::Limit,
            Self::Several { .. } | Self::NotThere { .. } => ErrorKind::Usage,
            _ => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Several { .. } | Self::NotThere { .. } => "pick one with --pick NAME",
            Self::NotRaw { .. } => "put the archive into a file and read that",
            Self::NotGcp { .. } => "read the archive with -f tar",
            _ => "unpack the archive with tar and read the disk itself",
        }
    }
}

impl From<TarError> for Error {
    fn from(error: TarError) -> Self {
        Error::new(error.kind(), error.to_string()).in_format(crate::FORMAT.name).hint(error.hint())
    }
}
