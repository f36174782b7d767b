//! gzip as RFC 1952 describes it, and BGZF, gzip in blocks that can be found.

pub(crate) mod bgzf;
pub(crate) mod header;
pub(crate) mod unpack;
pub(crate) mod write;

pub(crate) const NAME: &str = "gzip";
