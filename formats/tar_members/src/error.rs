//! Each way an archive can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TarError {
    #[error("the header's checksum is {said:#o}, its bytes sum up to {sum:#o}")]
    Checksum { said: u64, sum: u64 },
    #[error("the field {field} of the header is no number")]
    Number { field: &'static str },
    #[error("the field {field} of the header is negative")]
    Negative { field: &'static str },
    #[error("the archive ends within a header")]
    CutHeader,
    #[error("the archive ends within member {name:?}, {missing} bytes of it are missing")]
    CutMember { name: String, missing: u64 },
    #[error("the header of a long name or of pax records has {size} bytes, {limit} are taken")]
    LongHeader { size: u64, limit: u64 },
    #[error("the pax record at byte {at} of its header cannot be read")]
    PaxRecord { at: usize },
    #[error("the pax record {key} is no number: {value:?}")]
    PaxNumber { key: String, value: String },
    #[error("a long name or pax records stand at the end of the archive, and no member follows")]
    NoMember,
    #[error("a global pax header gives {key} for all members")]
    Global { key: String },
    #[error("the archive is a volume of several: member {name:?} goes on in another file")]
    Volume { name: String },
    #[error("member {name:?} is sparse in a way that is not known: {what}")]
    SparseKind { name: String, what: String },
    #[error("the sparse map of member {name:?} cannot be read: {what}")]
    Map { name: String, what: &'static str },
    #[error("the sparse map of member {name:?} has more than {limit} runs")]
    MapSize { name: String, limit: usize },
    #[error("run {number} of member {name:?} is at {offset:#x}+{len:#x}, the run before it ends at {end:#x}")]
    RunOrder { name: String, number: usize, offset: u64, len: u64, end: u64 },
    #[error("run {number} of member {name:?} is at {offset:#x}+{len:#x}, the member has {size:#x} bytes")]
    RunPlace { name: String, number: usize, offset: u64, len: u64, size: u64 },
    #[error("the runs of member {name:?} have {sum:#x} bytes together, {stored:#x} are stored")]
    RunSum { name: String, sum: u64, stored: u64 },
    #[error("member {name:?} ends beyond what 64 bits can count")]
    Beyond { name: String },
}

impl TarError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::CutHeader { .. } | Self::CutMember { .. } => &codes::SOURCE_CUT_OFF,
            Self::Checksum { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Global { .. } | Self::Volume { .. } | Self::SparseKind { .. } => ErrorKind::Unsupported,
            Self::LongHeader { .. } | Self::MapSize { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn at(self, offset: u64) -> Error {
        Error::from(self).at(offset)
    }
}

impl From<TarError> for Error {
    fn from(error: TarError) -> Self {
        let made = Error::new(error.kind(), error.to_string()).with_code(error.code());
        match error {
            TarError::Volume { .. } => made.hint("unpack the volumes with tar -xM and read the disk itself"),
            TarError::Global { .. } | TarError::SparseKind { .. } => {
                made.hint("unpack the archive with tar and read the disk itself")
            }
            _ => made,
        }
    }
}
