//! Images of file systems that partclone writes, as Clonezilla and others use it.
//!
//! ```text
//!  ┌────────┬───────────────┬─────┬──────────────────┬─────┬──────────────────┬─────┬──
//!  │ header │ map of blocks │ CRC │ n blocks in use  │ sum │ n blocks in use  │ sum │ …
//!  └────────┴───────────────┴─────┴──────────────────┴─────┴──────────────────┴─────┴──
//!  block of the partition ─▶ map: is it in use? ─▶ how many before it are ─▶ its place in the file
//! ```
//!
//! An image holds one partition without a partition table, and of that only the blocks that the file system uses: all others
//! read as zeros. `SPEC.md` has the versions, what is compared when, and the quirks.

mod bitmap;
mod blocks;
mod check;
mod error;
mod layout;
mod parse;
mod read;
mod stream;
mod sums;

use format_core::Format;

/// The partclone format.
pub static FORMAT: Format = Format {
    name: "partclone",
    aliases: &["ptcl"],
    extensions: &["ptcl", "pcl", "uncomp"],
    description: "file systems saved by partclone: the blocks in use of one partition",
    probe: parse::probe,
    open_layer: Some(read::open),
    open_stream: Some(stream::open),
    check: Some(check::check),
    ..Format::NONE
};
