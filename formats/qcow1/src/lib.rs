//! qcow, the first version of QEMU's disk image format. There is no specification but QEMU's sources.
//!
//! ```text
//!  header ──▶ L1 table ──▶ L2 table ──▶ data cluster        host bytes as they are, or AES by sectors
//!             one entry     one entry ├▶ compressed cluster  raw deflate, at any byte
//!             per L2 table  per guest └▶ nothing             the backing file shows through
//!                           cluster
//! ```
//!
//! Read only: all cluster and table sizes, compressed and encrypted clusters, backing files. `SPEC.md` has the table of
//! what is supported.

mod check;
mod cipher;
mod error;
mod layout;
mod parse;
mod read;
mod table;

use format_core::Format;

/// The first qcow format.
pub static FORMAT: Format = Format {
    name: "qcow1",
    aliases: &["qcow"],
    extensions: &["qcow1", "qcow"],
    description: "QEMU copy-on-write images, version 1",
    probe: parse::probe,
    open_layer: Some(read::open),
    check: Some(check::check),
    ..Format::NONE
};
