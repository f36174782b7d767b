//! QED, the disk image format that was meant to replace qcow2, by the specification in QEMU's sources.
//!
//! ```text
//!  header ──▶ L1 table ──▶ L2 table ──▶ data cluster   host bytes as they are
//!             one entry     one entry ├▶ 1             zeros, which hide the backing file
//!             per L2 table  per guest └▶ 0             the backing file shows through
//!                           cluster
//! ```
//!
//! Read only: all cluster and table sizes, zero clusters, backing files. `SPEC.md` has the table of what is supported.

mod check;
mod error;
mod layout;
mod parse;
mod read;
mod table;

use format_core::Format;

/// The QED format.
pub static FORMAT: Format = Format {
    name: "qed",
    extensions: &["qed"],
    description: "QEMU enhanced disks (QED)",
    probe: parse::probe,
    open_layer: Some(read::open),
    check: Some(check::check),
    ..Format::NONE
};
