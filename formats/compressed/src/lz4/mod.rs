//! lz4: its frame format (version 1.6.x of the description) and the legacy format of `lz4 -l` and Linux kernels.

pub(crate) mod frame;
pub(crate) mod unpack;

pub(crate) const NAME: &str = "lz4";
