//! Each way a snapshot can contradict itself, or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PbsError {
    #[error("the index has {size:#x} bytes, its header alone has 0x1000")]
    IndexShort { size: u64 },
    #[error("the index begins with {found:016x}, not with 2f7f41ed91fd0fcd")]
    IndexMagic { found: u64 },
    #[error("it is an index of a file archive, not of a disk")]
    Archive,
    #[error("the index says that a chunk has {found:#x} bytes, not a power of two from 0x1000 to 0x1000000")]
    ChunkSize { found: u64 },
    #[error("the index says that the disk has no bytes")]
    Empty,
    #[error(
        "the index has {found:#x} bytes, {chunks:#x} chunks of a disk of {size:#x} bytes need {wanted:#x}"
    )]
    IndexLength { found: u64, wanted: u64, chunks: u64, size: u64 },
    #[error("the digests in the index have the checksum {found}, its header says {wanted}")]
    IndexSum { found: String, wanted: String },
    #[error("a blob has {size:#x} bytes, its header needs {wanted:#x}")]
    BlobShort { size: u64, wanted: usize },
    #[error("a blob begins with {found:016x}, which is no kind of blob")]
    BlobMagic { found: u64 },
    #[error("the CRC-32 is {found:08x}, the header says {wanted:08x}")]
    Crc { found: u32, wanted: u32 },
    #[error("it is encrypted, and no key was given")]
    NoKey,
    #[error("it does not decrypt with the key: its authentication tag differs")]
    Tag,
    #[error("it cannot be unpacked: {reason}")]
    Unpack { reason: String },
    #[error("it has {found:#x} bytes, {wanted:#x} are expected")]
    Length { found: u64, wanted: u64 },
    #[error("it has more than {limit:#x} bytes")]
    TooLong { limit: u64 },
    #[error("its content has the digest {found}")]
    Digest { found: String },
    #[error("it is {found}, the manifest says that the chunks of {file} are {wanted}")]
    Mode { file: String, found: &'static str, wanted: &'static str },
    #[error("it is missing in the datastore{bad}")]
    ChunkMissing { bad: &'static str },
    #[error("there is no folder .chunks in {folder} or above it")]
    NoStore { folder: String },
    #[error("{folder}/.chunks is a link that leads out of its folder: links are not followed")]
    LinkedStore { folder: String },
    #[error("the manifest cannot be read: {reason}")]
    Manifest { reason: String },
    #[error("the manifest names a file {name:?}")]
    FileName { name: String },
    #[error("the manifest says that {name} has {wanted:#x} bytes, it has {found:#x}")]
    FileSize { name: String, found: u64, wanted: u64 },
    #[error("the manifest says that {name} has the checksum {wanted}, it has {found}")]
    FileSum { name: String, found: String, wanted: String },
    #[error("{name} is missing, the manifest lists it")]
    FileMissing { name: String },
    #[error("the signature of the manifest is {found}, by the key it would be {wanted}: it was changed")]
    Signature { found: String, wanted: String },
    #[error(
        "the snapshot needs the key with the fingerprint {wanted}, the one that was given has {found}: it does not fit"
    )]
    WrongKey { found: String, wanted: String },
    #[error("the key file cannot be read: {reason}")]
    KeyFile { reason: String },
    #[error("the key file is protected by a passphrase, which was not given")]
    NoPassphrase,
    #[error("the passphrase does not fit the key file{hint}")]
    Passphrase { hint: String },
    #[error("the key in the key file has the fingerprint {found}, the file says {wanted}")]
    KeyFingerprint { found: String, wanted: String },
    #[error("the key file wants {bytes:#x} bytes of memory for its passphrase, 0x8000000 at most are taken")]
    KeyCost { bytes: u128 },
}

impl PbsError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::IndexShort { .. } | Self::BlobShort { .. } => &codes::SOURCE_CUT_OFF,
            Self::IndexSum { .. } | Self::Crc { .. } | Self::Digest { .. } | Self::FileSum { .. } => {
                &codes::SOURCE_CHECKSUM
            }
            Self::NoKey { .. } | Self::NoPassphrase { .. } => &codes::KEY_MISSING,
            Self::WrongKey { .. }
            | Self::KeyFingerprint { .. }
            | Self::Passphrase { .. }
            | Self::Tag { .. } => &codes::KEY_WRONG,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey
            | Self::WrongKey { .. }
            | Self::KeyFile { .. }
            | Self::NoPassphrase
            | Self::Passphrase { .. }
            | Self::KeyFingerprint { .. } => ErrorKind::NeedsPerson,
            Self::ChunkMissing { .. } | Self::NoStore { .. } | Self::FileMissing { .. } => {
                ErrorKind::SourceMissing
            }
            Self::LinkedStore { .. } => ErrorKind::Denied,
            Self::Archive => ErrorKind::Unsupported,
            Self::KeyCost { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey => Some("give the backup's encryption key, a JSON file, with --key-file FILE"),
            Self::WrongKey { .. } => Some("give the key of this backup with --key-file FILE"),
            Self::KeyFile { .. } => {
                Some("a key file is the JSON text that proxmox-backup-client key create or Proxmox VE wrote")
            }
            Self::NoPassphrase => Some(
                "give a second --key-file FILE that holds the passphrase, or a copy of the key without one \
                 (proxmox-backup-client key change-passphrase --kdf none)",
            ),
            Self::ChunkMissing { .. } => {
                Some("copy the datastore with all of its .chunks, or take another snapshot with --at")
            }
            Self::NoStore { .. } => Some("name the snapshot where it lies in its datastore, beside .chunks"),
            Self::LinkedStore { .. } => Some(
                "put the folder itself there, for example with mount --bind, or name a copy of the datastore",
            ),
            Self::Archive => Some("proxmox-backup-client restore takes the files out of it"),
            _ => None,
        }
    }
}

impl From<PbsError> for Error {
    fn from(error: PbsError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
