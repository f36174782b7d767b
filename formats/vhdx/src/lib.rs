//! vhdx images.

use format_core::Format;

/// The vhdx format.
pub static FORMAT: Format = Format { name: "vhdx", extensions: &["vhdx"], ..Format::NONE };
