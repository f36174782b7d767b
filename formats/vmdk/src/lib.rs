//! vmdk images.

use format_core::Format;

/// The vmdk format.
pub static FORMAT: Format = Format { name: "vmdk", extensions: &["vmdk"], ..Format::NONE };
