//! Every way a hive can be wrong or a request cannot be met, with the numbers.

use crate::layout::{BASE_BLOCK, MAX_HIVE};
use format_core::{Code, Error, ErrorKind, codes};

/// Result inside this crate.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// What is wrong. Cells are named by their offset in the hive bins data; the host offset is that plus 4096.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no hive: the file starts with {found}, a hive starts with regf")]
    NotRegf { found: String },
    #[error("hive version {major}.{minor}, possible are 1.3 to 1.6")]
    Version { major: u32, minor: u32 },
    #[error("{field} in the base block is {found:#x}, possible is {possible}")]
    BaseBlock { at: usize, field: &'static str, found: u64, possible: String },
    #[error("checksum of the base block is {stored:#010x}, computed {computed:#010x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("hive bin at {bin:#x}: {what}")]
    Bin { bin: u32, what: String },
    #[error("{role} {cell:#x} is no allocated cell")]
    NotACell { cell: u32, role: &'static str },
    #[error("{role} {cell:#x} starts with {found}, expected is {expected}")]
    Signature { cell: u32, role: &'static str, found: String, expected: &'static str },
    #[error("{role} {cell:#x} is used twice")]
    Shared { cell: u32, role: &'static str },
    #[error("cell {cell:#x}: {len} bytes wanted at {at:#x}, the cell has {room:#x}")]
    Short { cell: u32, at: usize, len: usize, room: usize },
    #[error("cell {cell:#x}: {what}")]
    Record { cell: u32, what: String },
    #[error("keys are nested more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("{what} of {found} bytes, at most {limit} are possible")]
    TooLarge { what: &'static str, found: u64, limit: u64 },
    #[error("the hive is dirty: its sequence numbers are {primary} and {secondary}")]
    Dirty { primary: u32, secondary: u32 },
    #[error("the hive is dirty, and no transaction log brings it to a consistent state: {why}")]
    NotRecovered { why: String },
    #[error("an earlier edit of this hive failed half-way: open the original again")]
    HalfDone,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Usage(String),
}

const SHUT_DOWN: &str = "start the guest, shut it down properly, and take its disk again";

impl Fault {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Dirty { .. } | Self::NotRecovered { .. } => &codes::GUEST_UNCLEAN,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRegf { .. } | Self::Version { .. } | Self::Refused(_) => ErrorKind::Unsupported,
            Self::Dirty { .. } | Self::NotRecovered { .. } => ErrorKind::NeedsPerson,
            Self::TooLarge { .. } => ErrorKind::Limit,
            Self::HalfDone | Self::Usage(_) => ErrorKind::Usage,
            _ => ErrorKind::Corrupt,
        }
    }

    fn offset(&self) -> Option<u64> {
        let in_bins = |cell: u32| Some(BASE_BLOCK as u64 + u64::from(cell));
        match self {
            Self::BaseBlock { at, .. } => Some(*at as u64),
            Self::Bin { bin: cell, .. }
            | Self::NotACell { cell, .. }
            | Self::Signature { cell, .. }
            | Self::Shared { cell, .. }
            | Self::Short { cell, .. }
            | Self::Record { cell, .. } => in_bins(*cell),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Dirty { .. } => Some(
                "replay its transaction logs first; without them, start the guest, shut it down properly, and take its disk again",
            ),
            Self::NotRecovered { .. } => Some(SHUT_DOWN),
            Self::Checksum { .. } => Some("its transaction logs may hold a copy of the base block"),
            _ => None,
        }
    }

    /// A hive or a cell beyond what is taken.
    pub(crate) fn hive_size(found: u64) -> Self {
        Self::TooLarge { what: "a hive", found, limit: MAX_HIVE }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let mut error =
            Error::new(fault.kind(), fault.to_string()).with_code(fault.code()).in_format("registry");
        if let Some(at) = fault.offset() {
            error = error.at(at);
        }
        match fault.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Bytes as text for a message: what is printable as it is, the rest in hex.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
