//! What can be wrong with the encryption of an image.

use format_core::{Code, Error, ErrorKind, codes};
use thiserror::Error as ThisError;

/// A fault of the encryption header, or of the key. Converted once, at the room's border.
#[derive(Debug, PartialEq, Eq, ThisError)]
pub(crate) enum CryptoError {
    #[error("the image is encrypted with {method}, and there is no key")]
    NoKey { method: &'static str },
    #[error("the image is encrypted with the unknown method {0}")]
    Method(u32),
    #[error("the key opens none of the {active} active LUKS key slots")]
    WrongKey { active: usize, ends_with_newline: bool },
    #[error("crypt_method is LUKS, but there is no encryption header extension")]
    NoHeader,
    #[error(
        "the encryption header of {len:#x} bytes at {offset:#x} leaves the file, which ends at {file_size:#x}"
    )]
    HeaderOutside { offset: u64, len: u64, file_size: u64 },
    #[error("the encryption header has {len:#x} bytes, a LUKS header has {least:#x}")]
    HeaderShort { offset: u64, len: u64, least: u64 },
    #[error("the encryption header starts with {found:02x?}, not with the magic of LUKS")]
    Magic { offset: u64, found: [u8; 6] },
    #[error("version {version} of LUKS is not supported, only 1")]
    Version { offset: u64, version: u16 },
    #[error("the LUKS {field} is no text")]
    Text { offset: u64, field: &'static str },
    #[error("the LUKS cipher {cipher} with a key of {key_bytes} bytes is not supported")]
    Cipher { cipher: String, key_bytes: u32 },
    #[error("the LUKS hash {0:?} is not supported")]
    Hash(String),
    #[error("the LUKS master key has {0} bytes, possible are 16 to 64")]
    KeyBytes(u32),
    #[error("LUKS key slot {slot} is marked {state:#x}, neither active nor unused")]
    SlotState { slot: usize, state: u32 },
    #[error(
        "LUKS key slot {slot} has {stripes} stripes of {key_bytes} bytes at sector {sector:#x}, which leaves its header of {len:#x} bytes"
    )]
    SlotOutside { slot: usize, stripes: u32, key_bytes: u32, sector: u32, len: u64 },
    #[error("the LUKS key derivation wants no iteration in {0}")]
    NoIterations(String),
    #[error("the LUKS key slots want {wanted} blocks of hashes, the limit is {limit}, about ten seconds")]
    Iterations { wanted: u64, limit: u64 },
}

impl CryptoError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::NoKey { .. } => &codes::KEY_MISSING,
            Self::WrongKey { .. } => &codes::KEY_WRONG,
            Self::Method { .. } => &codes::ENCRYPTED,
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey { .. } | Self::Method(_) | Self::WrongKey { .. } => ErrorKind::NeedsPerson,
            Self::Version { .. } | Self::Cipher { .. } | Self::Hash(_) => ErrorKind::Unsupported,
            Self::Iterations { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }

    fn offset(&self) -> Option<u64> {
        match self {
            Self::HeaderShort { offset, .. }
            | Self::Magic { offset, .. }
            | Self::Version { offset, .. }
            | Self::Text { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey { .. } => Some("give the passphrase with --key-file FILE"),
            Self::WrongKey { ends_with_newline: true, .. } => Some(
                "the key file ends with a newline, which counts as part of the passphrase: write it without",
            ),
            Self::WrongKey { .. } => Some("give another passphrase with --key-file FILE"),
            Self::Method(_) | Self::Version { .. } | Self::Cipher { .. } | Self::Hash(_) => {
                Some("decrypt it with the program that made it, then convert the result")
            }
            Self::Iterations { .. } => {
                Some("if the image is yours, decrypt it with qemu-img convert, then convert the result")
            }
            Self::HeaderOutside { .. } => {
                Some("the file looks cut off: compare its size with the original's")
            }
            _ => None,
        }
    }
}

impl From<CryptoError> for Error {
    fn from(fault: CryptoError) -> Self {
        let mut error =
            Error::new(fault.kind(), fault.to_string()).with_code(fault.code()).in_format(crate::FORMAT.name);
        if let Some(offset) = fault.offset() {
            error = error.at(offset);
        }
        match fault.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
