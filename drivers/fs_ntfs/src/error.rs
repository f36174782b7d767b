//! Each way an NTFS volume can lie or be beyond us, with the numbers.

use format_core::{Code, Error, ErrorKind, codes};

const FORMAT: &str = "ntfs";
const CHKDSK: &str = "run chkdsk /f on the volume in the source machine, shut it down completely (shutdown /s /t 0), and try again";
const SHUT_DOWN: &str = "start Windows in the source machine, shut it down completely (shutdown /s /t 0), and try again; if that does not help, run chkdsk /f there";
const HIBERNATE: &str =
    "in the source machine, run powercfg /h off, shut it down completely (shutdown /s /t 0), and try again";
const HIBERNATE_OR_DISCARD: &str = "in the source machine, run powercfg /h off, shut it down completely (shutdown /s /t 0), and try again; or give up what was open in it with --discard-hibernation";

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NtfsError {
    #[error("no NTFS boot sector at 0x0")]
    NoBootSector,
    #[error(
        "no NTFS boot sector at 0x0, but its copy in the last sector is one: the first sector is damaged"
    )]
    OnlyBackup,
    #[error("the volume is encrypted with BitLocker")]
    BitLocker,
    #[error("the volume is a ReFS volume")]
    Refs,
    #[error("the boot sector's {field} is {value:#x}, possible is {possible}")]
    Boot { field: &'static str, value: u64, possible: &'static str },
    #[error("the file system of {needed:#x} bytes does not fit its volume of {size:#x} bytes")]
    TooLarge { needed: u64, size: u64 },
    #[error("record {record:#x}: {what}")]
    Record { record: u64, what: String },
    #[error("{0}")]
    Structure(String),
    #[error("{what} has more than {limit:#x} {of}")]
    Limit { what: &'static str, limit: u64, of: &'static str },
    #[error("a file of {size:#x} bytes is more than the limit of {limit:#x}")]
    FileLimit { size: u64, limit: u64 },
    #[error("{0} is encrypted by the guest (EFS)")]
    Encrypted(String),
    #[error("the content of {what} is kept elsewhere ({by}, reparse tag {tag:#x})")]
    Elsewhere { what: String, by: &'static str, tag: u32 },
    #[error(
        "Windows is hibernated, or was shut down with Fast Startup: {what}{}",
        also.as_ref().map(|also| format!("; {also}")).unwrap_or_default()
    )]
    Hibernated { what: &'static str, also: Option<String> },
    #[error("the volume was not cleanly shut down: {0}")]
    Unclean(String),
    #[error("the volume is marked dirty: flags {0:#x}")]
    Dirty(u16),
    #[error("NTFS version {major}.{minor} is only read")]
    Version { major: u8, minor: u8 },
    #[error("the volume is damaged: {0}")]
    Damaged(String),
    #[error("{what} cannot be edited: {reason}")]
    Unsafe { what: String, reason: String },
    #[error("what is free cannot be told: {0}")]
    Map(&'static str),
    #[error("a trial file could not be written: {0}")]
    Trial(String),
    #[error("no space in the guest's file system: needs {needed:#x} bytes, has {has:#x}")]
    NoSpace { needed: u64, has: u64 },
    #[error("links are not created on NTFS")]
    NoLinks,
}

impl NtfsError {
    pub(crate) fn structure(what: impl Into<String>) -> Self {
        Self::Structure(what.into())
    }

    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::BitLocker { .. } => &codes::ENCRYPTED,
            Self::Encrypted { .. } => &codes::GUEST_LOCKED_FILES,
            Self::Hibernated { .. } => &codes::GUEST_HIBERNATED,
            Self::Unclean { .. } | Self::Dirty { .. } => &codes::GUEST_UNCLEAN,
            Self::NoSpace { .. } => &codes::GUEST_SPACE,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoBootSector | Self::Refs | Self::Elsewhere { .. } | Self::Map(_) => ErrorKind::Unsupported,
            Self::OnlyBackup
            | Self::Boot { .. }
            | Self::TooLarge { .. }
            | Self::Record { .. }
            | Self::Structure(_) => ErrorKind::Corrupt,
            Self::Limit { .. } | Self::FileLimit { .. } => ErrorKind::Limit,
            Self::BitLocker
            | Self::Encrypted(_)
            | Self::Hibernated { .. }
            | Self::Unclean(_)
            | Self::Dirty(_)
            | Self::Version { .. }
            | Self::Damaged(_)
            | Self::Unsafe { .. }
            | Self::Trial(_)
            | Self::NoSpace { .. }
            | Self::NoLinks => ErrorKind::NeedsPerson,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::OnlyBackup | Self::Damaged(_) | Self::Unsafe { .. } | Self::Trial(_) => CHKDSK,
            Self::BitLocker => {
                "run manage-bde -off C: (or the volume's letter) in the running guest, wait until manage-bde -status shows it fully decrypted, shut it down, and try again"
            }
            Self::Hibernated { also: None, .. } => HIBERNATE_OR_DISCARD,
            Self::Hibernated { .. } => HIBERNATE,
            Self::Unclean(_) | Self::Dirty(_) => SHUT_DOWN,
            Self::Encrypted(_) => "decrypt it in the source machine (cipher /d), and try again",
            Self::Elsewhere { .. } => {
                "have the file's content brought back in the source machine, and try again"
            }
            Self::Version { .. } => "convert the volume by mounting it with Windows XP or later",
            Self::NoSpace { .. } => "free space in the guest and try again",
            Self::NoLinks => "create the link in the running guest (mklink)",
            _ => return None,
        })
    }
}

impl From<NtfsError> for Error {
    fn from(error: NtfsError) -> Self {
        let converted = Self::new(error.kind(), error.to_string()).with_code(error.code()).in_format(FORMAT);
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
        let error = Error::needs_person(self.message.clone()).in_format(FORMAT);
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl From<Error> for Obstacle {
    /// What stands in the way of an edit is for a person to clear, whatever it was.
    fn from(error: Error) -> Self {
        let hint = error.hint_text().unwrap_or(CHKDSK).to_owned();
        Self { message: error.message().to_owned(), hint: Some(hint) }
    }
}

/// An error that stands in the way of editing only; a machine that cannot read or write stays an error.
///
/// # Errors
/// That of the machine.
pub(crate) fn as_obstacle(result: format_core::Result<()>) -> format_core::Result<Option<Obstacle>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Temporary | ErrorKind::Contract) => {
            Err(error)
        }
        Err(error) => Ok(Some(error.into())),
    }
}
