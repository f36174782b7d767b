//! qcow2 images.

use format_core::Format;

/// The qcow2 format.
pub static FORMAT: Format = Format { name: "qcow2", extensions: &["qcow2"], ..Format::NONE };
