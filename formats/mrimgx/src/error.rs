//! Each way a backup can contradict itself, or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MrimgxError {
    #[error("the file has {size:#x} bytes, its footer alone has 0x14")]
    TooShort { size: u64 },
    #[error("the file does not end with MACRIUM_FILE: it is cut, or no backup of Macrium Reflect X")]
    Magic,
    #[error("a metadata block of {length:#x} bytes at {offset:#x} leaves the file of {size:#x} bytes")]
    BlockPlace { offset: u64, length: u64, size: u64 },
    #[error("the list of metadata blocks at {offset:#x} does not end")]
    Endless { offset: u64 },
    #[error("the metadata block {name} is missing")]
    BlockMissing { name: &'static str },
    #[error("the metadata block {name} has another MD5 than its header says")]
    MetadataSum { name: String },
    #[error("the metadata block {name} is {what}, which is not known")]
    MetadataFlag { name: &'static str, what: &'static str },
    #[error("the metadata block {name} has more than {limit:#x} bytes")]
    MetadataSize { name: String, limit: u64 },
    #[error("{what} cannot be unpacked: {reason}")]
    Unpack { what: String, reason: String },
    #[error("{what} has {length:#x} bytes, which is no multiple of the cipher's 0x10")]
    CipherLength { what: String, length: u64 },
    #[error("the description of the backup cannot be read: {reason}")]
    Json { reason: String },
    #[error("the description says that {what} is {found}")]
    Value { what: &'static str, found: String },
    #[error("the index of partition {partition} has {found:#x} bytes, its counts need {wanted:#x}")]
    IndexLength { partition: i32, found: u64, wanted: u64 },
    #[error("block {block} of partition {partition} changed, the partition has {count} blocks")]
    DeltaBlock { partition: i32, block: u64, count: u64 },
    #[error("the first track of {length:#x} bytes is no boot record with whole sectors")]
    Track { length: u64 },
    #[error("the extended partition table has {length:#x} bytes and {count} entries")]
    Extended { length: u64, count: u32 },
    #[error("entry {entry} of the extended partition table is no boot record of the disk (at {offset:#x})")]
    BootRecord { entry: usize, offset: u64 },
    #[error("{what} at {start:#x}+{length:#x} leaves the disk of {size:#x} bytes")]
    Outside { what: String, start: u64, length: u64, size: u64 },
    #[error("{what} at {start:#x}+{length:#x} overlaps with {other}")]
    Overlap { what: String, start: u64, length: u64, other: String },
    #[error("{what} is at {offset:#x}+{length:#x} of file {file}, which has {size:#x} bytes")]
    BlockOutside { what: String, offset: u64, length: u64, file: u16, size: u64 },
    #[error("{what} has {found:#x} bytes, {wanted:#x} are expected")]
    Length { what: String, found: u64, wanted: u64 },
    #[error("{what} has another MD5 than its index says")]
    Sum { what: String },
    #[error("{what} lies before others and is empty: where those lie is not known")]
    ReservedHole { what: String },
    #[error("file {number} of the backup set is missing{name}")]
    FileMissing { number: u16, name: String },
    #[error("the backup set has two files with the number {number}")]
    FileTwice { number: u16 },
    #[error("the backup's other files lie beside it, and it was opened without a folder")]
    NoFolder,
    #[error("the backup is a difference, and no file of its set has a full index")]
    NoFull,
    #[error("file {number} of the backup set has other disks or partitions")]
    OtherLayout { number: u16 },
    #[error("the backup is encrypted, and no password was given")]
    NoKey,
    #[error("the password does not fit the backup")]
    WrongKey,
}

impl MrimgxError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::Magic { .. } => &codes::SOURCE_CUT_OFF,
            Self::MetadataSum { .. } | Self::Sum { .. } => &codes::SOURCE_CHECKSUM,
            Self::NoKey { .. } => &codes::KEY_MISSING,
            Self::WrongKey { .. } => &codes::KEY_WRONG,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey | Self::WrongKey => ErrorKind::NeedsPerson,
            Self::FileMissing { .. } | Self::NoFull => ErrorKind::SourceMissing,
            Self::MetadataFlag { .. } | Self::ReservedHole { .. } | Self::NoFolder => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey => Some("give its password with --key-file FILE"),
            Self::WrongKey => Some("give the password of this backup set with --key-file FILE"),
            Self::FileMissing { .. } | Self::NoFull => {
                Some("put all files of the backup set into one folder, from the full backup to this one")
            }
            Self::NoFolder => Some("give it its own name, which ends in .mrimgx"),
            Self::MetadataFlag { .. } | Self::ReservedHole { .. } => {
                Some("convert it to VHDX with img_to_vhdx, which Macrium gives away")
            }
            _ => None,
        }
    }
}

impl From<MrimgxError> for Error {
    fn from(error: MrimgxError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
