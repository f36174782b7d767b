//! Images of NTFS that ntfsclone writes with `--save-image`.
//!
//! ```text
//!  ┌────────┬───┬─────────┬───┬─────────┬───┬───────┬───┬─────────┬──
//!  │ header │ 1 │ cluster │ 1 │ cluster │ 0 │ count │ 1 │ cluster │ …
//!  └────────┴───┴─────────┴───┴─────────┴───┴───────┴───┴─────────┴──
//!             1: the next cluster follows       0: so many clusters are not in use
//! ```
//!
//! An image holds one partition without a partition table, and of that only the clusters in use: all others read as zeros. It has no
//! checksum of anything. `SPEC.md` has the versions and the quirks.

mod check;
mod error;
mod index;
mod layout;
mod parse;
mod read;
mod stream;
mod walk;

use format_core::Format;

/// The special image format of ntfsclone.
pub static FORMAT: Format = Format {
    name: "ntfsclone",
    extensions: &["ntfs-img"],
    description: "NTFS saved by ntfsclone --save-image: the clusters in use of one partition",
    probe: parse::probe,
    open_layer: Some(read::open),
    open_stream: Some(stream::open),
    check: Some(check::check),
    ..Format::NONE
};
