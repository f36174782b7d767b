//! Raw disk images: the guest's bytes as they are, in a file with holes or on a block device.
//!
//! There is no header, so a raw image is never recognised by its bytes: the file's name, the operator, or the lack
//! of any other explanation says that it is one.

mod read;
mod write;

use format_core::{Format, Score};

/// The raw format.
pub static FORMAT: Format = Format {
    name: "raw",
    extensions: &["raw", "img", "dd", "bin"],
    description: "plain disk bytes, files with holes and block devices",
    probe: |_, _| Score::Possible,
    open_layer: Some(read::open),
    create: Some(write::create),
    ..Format::NONE
};
