//! What can be wrong with a repository, and with the command that reads it.

use format_core::{Error, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BorgError {
    #[error("Borg repositories are read by the command borg, which is not installed")]
    NoCommand,
    #[error("borg {what} failed: {said}")]
    Failed { what: String, said: String, kind: ErrorKind },
    #[error("borg {what} was ended by a signal")]
    Killed { what: String },
    #[error("what borg {what} says cannot be understood: {reason}")]
    Json { what: String, reason: String },
    #[error("a line of borg {what} has more than {most} bytes")]
    LongLine { what: String, most: u64 },
    #[error("the repository has version {found:?}, only 1 is known")]
    Version { found: String },
    #[error("no archive lies in the repository")]
    NoArchives,
    #[error("borg gave {found} bytes of {path:?}, which has {expected}")]
    Size { path: String, found: u64, expected: u64 },
    #[error("{path:?} is not whole: a repair put zeros in the place of chunks that were lost")]
    NotWhole { path: String },
    #[error("the archive holds more than {most} {what}")]
    TooMany { what: &'static str, most: u64 },
}

impl BorgError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoCommand | Self::Version { .. } => ErrorKind::Unsupported,
            Self::Failed { kind, .. } => *kind,
            Self::Killed { .. } => ErrorKind::Io,
            Self::LongLine { .. } | Self::TooMany { .. } => ErrorKind::Limit,
            Self::Json { .. } | Self::NoArchives | Self::Size { .. } | Self::NotWhole { .. } => {
                ErrorKind::Corrupt
            }
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Version { .. } => {
                "take the disk out with the Borg that wrote it: borg extract --stdout ARCHIVE FILE"
            }
            Self::NoCommand => "install Borg 1, on Debian the package borgbackup",
            Self::Failed { kind: ErrorKind::NeedsPerson, .. } => {
                "put the repository's passphrase into a file and give it with --key-file FILE; a key that does not lie in \
                 the repository goes to ~/.config/borg/keys"
            }
            Self::NotWhole { .. } => "pick another archive with --at NAME",
            Self::TooMany { .. } => {
                "take the disk out with borg extract --stdout ARCHIVE FILE | rehome convert - TARGET"
            }
            _ => return None,
        })
    }

    /// What borg said when it failed tells what kind of failure it was.
    pub(crate) fn failed(what: &str, said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let kind = if has(&["assphrase", "No key file", "No key entry", "not a terminal"]) {
            ErrorKind::NeedsPerson
        } else if has(&["Failed to create/acquire the lock", "LockTimeout"]) {
            ErrorKind::Temporary
        } else if has(&["Errno 28", "Errno 13", "Errno 5]"]) {
            ErrorKind::Io
        } else if has(&["version", "unsupported", "Unknown"]) && !has(&["ntegrity"]) {
            ErrorKind::Unsupported
        } else {
            ErrorKind::Corrupt
        };
        Self::Failed { what: what.to_owned(), said: said.to_owned(), kind }
    }
}

impl From<BorgError> for Error {
    fn from(error: BorgError) -> Self {
        let made = Error::new(error.kind(), error.to_string()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_what_borg_says() {
        for (said, kind) in [
            (
                "passphrase supplied in BORG_PASSPHRASE, by BORG_PASSCOMMAND or via BORG_PASSPHRASE_FD is incorrect.",
                ErrorKind::NeedsPerson,
            ),
            ("No key file for repository /x found in /y.", ErrorKind::NeedsPerson),
            ("Failed to create/acquire the lock /x (timeout).", ErrorKind::Temporary),
            ("OSError: [Errno 28] No space left on device", ErrorKind::Io),
            ("Data integrity error: Segment entry checksum mismatch", ErrorKind::Corrupt),
            ("", ErrorKind::Corrupt),
        ] {
            assert_eq!(BorgError::failed("list", said).kind(), kind, "{said}");
        }
    }
}
