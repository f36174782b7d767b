//! lzop: a container of its own around LZO1X.

pub(crate) mod header;
pub(crate) mod unpack;

pub(crate) const NAME: &str = "lzop";
