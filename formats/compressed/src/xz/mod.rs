//! xz, by liblzma, and the index at the end of each stream.

pub(crate) mod at;
pub(crate) mod index;
pub(crate) mod unpack;

use format_core::Access;

pub(crate) const NAME: &str = "xz";

/// What a stream begins with.
pub(crate) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// What decoders may take of memory: the window and what is beside it.
fn memory_limit(access: &Access) -> u64 {
    if access.long_window { u64::MAX } else { crate::stream::WINDOW_LIMIT + (1 << 20) }
}

/// What the library says, as far as it is about the data.
fn failed(error: &liblzma::stream::Error, at: u64, needed: u64, limit: u64) -> crate::error::PackedError {
    use crate::error::PackedError;
    use liblzma::stream::Error;
    let why = match error {
        Error::MemLimit | Error::Mem => return PackedError::Memory { needed, limit },
        Error::UnsupportedCheck | Error::Options => return PackedError::Filter { at },
        Error::Format => "there is no header of a stream where one is expected",
        Error::Data => "it is damaged, or its check does not fit",
        _ => "liblzma was not used as it wants to be",
    };
    PackedError::Data { at, why: why.to_owned() }
}
