//! Each way a repository can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResticError {
    #[error("{what} has {size} bytes, {least} at least are needed for what encrypts it")]
    TooShort { what: String, size: u64, least: u64 },
    #[error("{what} is not what was written: its authentication code does not fit")]
    Mac { what: String },
    #[error("{what} is not what its name says: the SHA-256 of its content is {found}")]
    Hash { what: String, found: String },
    #[error("{what} cannot be unpacked: {reason}")]
    Unpack { what: String, reason: String },
    #[error("{what} has {found} bytes unpacked, the index says {expected}")]
    Unpacked { what: String, found: u64, expected: u64 },
    #[error("{what} begins with the byte {found:#04x}, only JSON and version 2 are known")]
    Encoding { what: String, found: u8 },
    #[error("{what} cannot be understood: {reason}")]
    Json { what: String, reason: String },
    #[error("{found:?} is no ID of 64 hexadecimal digits")]
    Id { found: String },
    #[error("the repository has version {found}, only 1 and 2 are known")]
    Version { found: u32 },
    #[error("the key is made by {found:?}, only scrypt is known")]
    Kdf { found: String },
    #[error(
        "scrypt is asked for N = {n}, r = {r}, p = {p}: no power of two, or more than this program spends"
    )]
    Scrypt { n: u64, r: u32, p: u32 },
    #[error("the {part} of a key has {found} bytes, not {expected}")]
    KeyLength { part: &'static str, found: u64, expected: u64 },
    #[error("{count} keys lie in the repository, {most} at most are tried")]
    TooManyKeys { count: u64, most: u64 },
    #[error("no key lies in the repository")]
    NoKeys,
    #[error("no snapshot lies in the repository")]
    NoSnapshots,
    #[error("the repository is encrypted, and no password was given")]
    NoPassword,
    #[error("the password does not fit: none of {count} keys opens with it")]
    WrongPassword { count: u64 },
    #[error("{what} is in no index of the repository")]
    NotIndexed { what: String },
    #[error("{what} is in the pack {pack}, which is missing")]
    PackMissing { what: String, pack: String },
    #[error("{what} lies at {offset:#x}+{length:#x} of the pack {pack}, which has {size:#x} bytes")]
    PackShort { what: String, offset: u64, length: u64, pack: String, size: u64 },
    #[error("{what} has {size} bytes, {most} at most are read")]
    TooLarge { what: String, size: u64, most: u64 },
    #[error("the blobs of {name:?} have {found} bytes together, the file {expected}")]
    FileSize { name: String, found: u64, expected: u64 },
    #[error("the snapshot's folders hold more than {most} {what}")]
    TooMany { what: &'static str, most: u64 },
    #[error("the folder {path:?} says nowhere what is in it")]
    NoSubtree { path: String },
}

impl ResticError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::PackShort { .. } => &codes::SOURCE_CUT_OFF,
            Self::Hash { .. } => &codes::SOURCE_CHECKSUM,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            Self::NoPassword { .. } => &codes::KEY_MISSING,
            Self::WrongPassword { .. } => &codes::KEY_WRONG,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::Kdf { .. } | Self::Encoding { .. } => ErrorKind::Unsupported,
            Self::Scrypt { .. } | Self::TooManyKeys { .. } | Self::TooLarge { .. } | Self::TooMany { .. } => {
                ErrorKind::Limit
            }
            Self::NoPassword | Self::WrongPassword { .. } => ErrorKind::NeedsPerson,
            Self::PackMissing { .. } => ErrorKind::SourceMissing,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoPassword => "put the password into a file and give it with --key-file FILE",
            Self::WrongPassword { .. } => "give the file with the repository's password with --key-file FILE",
            Self::PackMissing { .. } => {
                "copy the whole repository with its folder data; a backup program may also have pruned it meanwhile"
            }
            Self::NotIndexed { .. } => "restic repair index finds again what lies in packs and in no index",
            Self::TooLarge { .. } | Self::TooMany { .. } => {
                "take the disk out with restic dump SNAPSHOT FILE | rehome convert - TARGET"
            }
            Self::Version { .. } => {
                "take the disk out with the restic of the repository: restic dump SNAPSHOT FILE"
            }
            _ => return None,
        })
    }
}

impl From<ResticError> for Error {
    fn from(error: ResticError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
