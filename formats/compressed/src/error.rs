//! Each way a compressed file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

/// Results of this room before they have the name of a format.
pub(crate) type Result<T, E = PackedError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PackedError {
    #[error("the file ends at {at:#x}, in the middle of {what}")]
    Truncated { at: u64, what: &'static str },
    #[error("the file is empty")]
    Empty,
    #[error("behind the compressed data, at {at:#x}, are other bytes: {found:02x?}")]
    Garbage { at: u64, found: Vec<u8> },
    #[error("{what} at {at:#x} is {found:#x}, {possible}")]
    Field { what: &'static str, at: u64, found: u64, possible: &'static str },
    #[error("{what} is {found:#010x}, the bytes have {computed:#010x} (the data up to {at:#x})")]
    Checksum { what: &'static str, at: u64, found: u32, computed: u32 },
    #[error("{what} says {said:#x} bytes, there are {found:#x} (the data up to {at:#x})")]
    Length { what: &'static str, at: u64, said: u64, found: u64 },
    #[error("the data at {at:#x} cannot be unpacked: {why}")]
    Data { at: u64, why: String },
    #[error(
        "the last block before {at:#x} is not the end marker that every BGZF file has: its end is missing"
    )]
    NoEndMarker { at: u64 },
    #[error("the window has {window:#x} bytes, {limit:#x} are possible")]
    Window { window: u64, limit: u64 },
    #[error("unpacking takes {needed:#x} bytes of memory, {limit:#x} are allowed")]
    Memory { needed: u64, limit: u64 },
    #[error("the data at {at:#x} need the dictionary {id:#x}, which is not in the file")]
    Dictionary { at: u64, id: u32 },
    #[error("{what} at {at:#x} is {found:#x}, which is not known here")]
    Unknown { what: &'static str, at: u64, found: u64 },
    #[error("the data at {at:#x} use a filter or a kind of check that liblzma does not know")]
    Filter { at: u64 },
    #[error("-o {key}={found}: possible is {possible}")]
    Option { key: &'static str, found: String, possible: &'static str },
    #[error("the disk has {size:#x} bytes, {limit:#x} can be written in frames of {frame:#x}")]
    TooLarge { size: u64, limit: u64, frame: u64 },
    /// What the file itself is read with failed.
    #[error(transparent)]
    Read(#[from] Error),
}

impl PackedError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Truncated { .. } => &codes::SOURCE_CUT_OFF,
            Self::Checksum { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Dictionary { .. } | Self::Unknown { .. } | Self::Filter { .. } => ErrorKind::Unsupported,
            Self::Window { .. } | Self::Memory { .. } | Self::TooLarge { .. } => ErrorKind::Unsupported,
            Self::Option { .. } => ErrorKind::Usage,
            Self::Read(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Truncated { .. } | Self::NoEndMarker { .. } => {
                "compare the file's size with the original's: the copy may have been cut off"
            }
            Self::Garbage { .. } => {
                "if they do not belong to the file, unpack it with its own tool, which ignores them, and convert the result"
            }
            Self::Window { .. } | Self::Memory { .. } => {
                "say --long-window if this machine has that much memory to spare"
            }
            Self::Dictionary { .. } => "unpack the file with its own tool and the dictionary first",
            Self::Unknown { .. } | Self::Filter { .. } => "unpack the file with its own tool first",
            Self::TooLarge { .. } => "choose larger frames with -o frame_size=4M",
            _ => return None,
        })
    }

    /// As the program's error, spoken by `format`.
    pub(crate) fn named(self, format: &'static str) -> Error {
        if let Self::Read(error) = self {
            return error;
        }
        let error = Error::new(self.kind(), self.to_string()).with_code(self.code()).in_format(format);
        match self.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
