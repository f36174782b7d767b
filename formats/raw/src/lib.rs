//! Raw disk images: the guest's bytes as they are, in a file with holes, in a set of files, or on a block device.
//!
//! ```text
//!  disk.img   ┌───────────────────────────────┐      disk.000  disk.001  disk.002
//!  /dev/sdb   │ byte n of the file is byte n  │      ┌───────┬─────────┬─────────┐
//!             │ of the disk                   │      │ one disk, in this order   │
//!             └───────────────────────────────┘      └───────┴─────────┴─────────┘
//! ```
//!
//! There is no header, so a raw image is never recognised by its bytes: the file's name, the operator, or the lack
//! of any other explanation says that it is one. `SPEC.md` says which names make a set.

mod check;
mod error;
mod layout;
mod parse;
mod read;
mod stream;
mod update;
mod write;

use format_core::{CreateOption, Format, Score};

/// The raw format.
pub static FORMAT: Format = Format {
    name: "raw",
    extensions: &["raw", "img", "dd", "bin", "000", "001", "00", "aa", "aaa"],
    description: "plain disk bytes, files with holes, split files and block devices",
    probe: |_, _| Score::Possible,
    open_layer: Some(read::open),
    open_stream: Some(stream::open),
    flows: |_, size| size.is_some(),
    size_by_content: stream::size_by_gpt,
    check: Some(check::check),
    create: Some(write::create),
    resume: Some(write::resume),
    open_update: Some(update::open),
    create_options: &[CreateOption {
        key: "preallocation",
        values: "off|full",
        default: "off",
        help: "whether zeros take room on the host: full writes every one of them",
    }],
    ..Format::NONE
};
