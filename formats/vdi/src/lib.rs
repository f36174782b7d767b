//! VDI images of VirtualBox, as its sources lay them out.
//!
//! ```text
//!  ┌────────┬─────────────┬───────────────────────────────────────────────┐
//!  │ header │ block map   │ block 0 │ block 1 │ … in the order of writing │
//!  └────────┴─────────────┴───────────────────────────────────────────────┘
//!  header ─▶ sizes, UUIDs ─▶ map: an index for each block of the disk, or "free", or "zero"
//! ```
//!
//! Read: dynamic, fixed and differencing images of version 1.1, also resized ones. A differencing image says only the
//! UUID of its parent; which file that is, is in the machine's `.vbox` file, so the operator has to name it. Written:
//! dynamic and fixed images. `SPEC.md` has the table of what is supported and the quirks of the products.

mod check;
mod error;
mod layout;
mod map;
mod parse;
mod read;
mod write;

use format_core::{CreateOption, Format};

/// The VDI format.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "vdi",
    extensions: &["vdi"],
    description: "VirtualBox disks: dynamic, fixed and differencing",
    probe: parse::probe,
    open_layer: Some(read::open),
    check: Some(check::check),
    create: Some(write::create),
    resume: Some(write::resume),
    size_step: |_| layout::SECTOR,
    create_options: &[CreateOption {
        key: "static",
        values: "on|off",
        default: "off",
        help: "whether all blocks have their place from the start (a fixed image)",
    }],
    ..Format::NONE
};
