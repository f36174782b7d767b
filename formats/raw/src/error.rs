//! Each way a set of raw parts can be incomplete, and each request that a raw image cannot fulfil.

use format_core::{Error, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RawError {
    #[error("the size of the disk is not known before its end has come")]
    SizeUnknown,
    #[error("the disk was expected to have {expected} bytes, {found} or more came")]
    TooLong { expected: u64, found: u64 },
    #[error("the disk was expected to have {expected} bytes, it ended after {found}")]
    TooShort { expected: u64, found: u64 },
    #[error("this is a later part of a split disk, whose first part is {first:?}")]
    LaterPart { first: String },
    #[error("the part {missing:?} of the split disk is missing, {found:?} is there")]
    MissingPart { missing: String, found: String },
    #[error(
        "part {number} of the split disk has {found:#x} bytes, the first has {first:#x}: only the last may be shorter"
    )]
    UnevenPart { number: usize, found: u64, first: u64 },
    #[error("the split disk has more than {limit} parts")]
    TooManyParts { limit: usize },
    #[error("the split disk has more parts than files can be open at once: {opened} are")]
    TooManyFiles { opened: usize },
    #[error("the parts have more than {:#x} bytes together", u64::MAX)]
    TooLarge,
    #[error("preallocation is {found:?}, only off and full are known")]
    Preallocation { found: String },
}

impl From<RawError> for Error {
    fn from(error: RawError) -> Self {
        let (kind, hint) = match &error {
            RawError::LaterPart { first } => {
                (ErrorKind::Usage, format!("name the first part, {first}: the others are found by it"))
            }
            RawError::MissingPart { missing, .. } => {
                (ErrorKind::SourceMissing, format!("put {missing} beside the other parts"))
            }
            RawError::UnevenPart { .. } => (
                ErrorKind::Corrupt,
                "look for the whole part; if the disk was cut like this on purpose, join the parts with cat first".into(),
            ),
            RawError::TooManyParts { .. } => {
                (ErrorKind::Limit, "join the parts into one file with cat first".into())
            }
            RawError::TooManyFiles { .. } => {
                (ErrorKind::Limit, "raise the limit with ulimit -n, or join the parts with cat first".into())
            }
            // Another way to read it finds out the size first.
            RawError::SizeUnknown | RawError::TooLong { .. } | RawError::TooShort { .. } => {
                (ErrorKind::Unsupported, "unpack the image into a file first".into())
            }
            RawError::TooLarge => (ErrorKind::Corrupt, "look whether all of them belong to one disk".into()),
            RawError::Preallocation { .. } => {
                (ErrorKind::Usage, "leave it away, or say -o preallocation=full".into())
            }
        };
        Error::new(kind, error.to_string()).in_format(crate::FORMAT.name).hint(hint)
    }
}
