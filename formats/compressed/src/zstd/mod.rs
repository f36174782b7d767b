//! zstd as RFC 8878 describes it, and the seekable format of Zstandard's `contrib/seekable_format`.

pub(crate) mod at;
pub(crate) mod frame;
pub(crate) mod seek_table;
pub(crate) mod unpack;
pub(crate) mod write;

pub(crate) const NAME: &str = "zstd";
