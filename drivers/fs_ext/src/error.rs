//! Each way an ext file system can lie or be beyond us, with the numbers.

use ext2fs_sys::Damage;
use format_core::{Code, Error, ErrorKind, codes};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtError {
    #[error("no ext2, ext3 or ext4 superblock at 0x400")]
    NoSuperblock,
    #[error("superblock checksum is {stored:#x}, its content gives {computed:#x}")]
    SuperblockChecksum { stored: u32, computed: u32 },
    #[error("the superblock's {field} is {value:#x}, possible is {possible}")]
    Superblock { field: &'static str, value: u64, possible: String },
    #[error("the file system of {needed:#x} bytes does not fit its volume of {size:#x} bytes")]
    TooLarge { needed: u64, size: u64 },
    #[error("the file system uses features that cannot be read: {0}")]
    UnreadableFeatures(String),
    #[error("the file system uses features that cannot be edited here: {0}")]
    UneditableFeatures(String),
    #[error("what is free cannot be told with the features {0}")]
    UnknownMap(String),
    #[error("what is free cannot be told: {0}")]
    Map(String),
    #[error("the file system's superblock says that errors were found in it")]
    ErrorState,
    #[error("the file system has no journal and was not cleanly unmounted")]
    UncleanWithoutJournal,
    #[error("the file system was not cleanly unmounted although its journal is clean")]
    UncleanWithJournal,
    #[error("the journal holds data although the superblock says that it needs no recovery")]
    UnclearJournal,
    #[error("the journal is on another device ({uuid})")]
    ExternalJournal { uuid: String },
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    #[error("orphan list: {0}")]
    Orphans(String),
    #[error("inode {ino} {damage}")]
    Inode { ino: u32, damage: Damage },
    #[error("the blocks of {what} cannot be followed: {reason}")]
    Mapping { what: String, reason: String },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("needs_recovery is set but there is no journal inode")]
    NoInode,
    #[error("superblock field {field} is {value:#x}, possible is {possible}")]
    Superblock { field: &'static str, value: u64, possible: String },
    #[error("superblock checksum is {stored:#x}, its content gives {computed:#x}")]
    SuperblockChecksum { stored: u32, computed: u32 },
    #[error("unknown features, incompat {0:#x}")]
    Features(u32),
    #[error("it records an error of the guest's kernel ({0})")]
    Errno(i32),
    #[error("its block {0} is not mapped")]
    Unmapped(u64),
    #[error("it maps block {0:#x} twice or outside the file system")]
    BadMap(u64),
    #[error("transaction {sequence}: {what}")]
    Transaction { sequence: u32, what: String },
    #[error("transaction {sequence} writes block {block:#x}, the file system has {blocks:#x} blocks")]
    BlockOutside { sequence: u32, block: u64, blocks: u64 },
    #[error("more than {0} revoked blocks")]
    TooManyRevokes(usize),
    #[error("its fast-commit area holds changes of transaction {0} that cannot be replayed here")]
    FastCommit(u32),
}

impl ExtError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuperblock | Self::UnreadableFeatures(_) | Self::UnknownMap(_) => ErrorKind::Unsupported,
            Self::SuperblockChecksum { .. }
            | Self::Superblock { .. }
            | Self::TooLarge { .. }
            | Self::Map(_) => ErrorKind::Corrupt,
            Self::UneditableFeatures(_)
            | Self::ErrorState
            | Self::UncleanWithoutJournal
            | Self::UncleanWithJournal
            | Self::UnclearJournal
            | Self::ExternalJournal { .. }
            | Self::Journal(_)
            | Self::Inode { .. }
            | Self::Mapping { .. }
            | Self::Orphans(_) => ErrorKind::NeedsPerson,
        }
    }

    fn code(&self) -> Option<&'static Code> {
        match self {
            Self::UncleanWithoutJournal
            | Self::UncleanWithJournal
            | Self::ErrorState
            | Self::Journal(_)
            | Self::Orphans(_) => Some(&codes::GUEST_UNCLEAN),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ErrorState
            | Self::UncleanWithoutJournal
            | Self::UncleanWithJournal
            | Self::Inode { .. }
            | Self::Mapping { .. } => Some(
                "run e2fsck -f on the file system in the source machine, shut it down cleanly, and try again",
            ),
            Self::ExternalJournal { .. } => Some(
                "unmount the file system cleanly in the source machine and remove its external journal with tune2fs -O ^has_journal",
            ),
            Self::Journal(_) | Self::Orphans(_) => {
                Some("start the source machine once, shut it down cleanly, and try again")
            }
            _ => None,
        }
    }
}

impl From<ExtError> for Error {
    fn from(error: ExtError) -> Self {
        let converted = Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format("ext4");
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        ExtError::from(error).into()
    }
}

/// Why a file system can be read but not edited. Kept, so that each edit can say it again.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Obstacle {
    pub(crate) fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone()).in_format("ext4");
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl From<Error> for Obstacle {
    /// What stands in the way of an edit is for a person to clear, whatever it was.
    fn from(error: Error) -> Self {
        let hint = error.hint_text().map(str::to_owned);
        Self { kind: ErrorKind::NeedsPerson, message: error.message().to_owned(), hint }
    }
}

impl From<ExtError> for Obstacle {
    fn from(error: ExtError) -> Self {
        Error::from(error).into()
    }
}
