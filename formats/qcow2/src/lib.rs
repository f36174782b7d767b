//! qcow2, the disk image format of QEMU (versions 2 and 3).
//!
//! ```text
//!  header ──▶ L1 table ──▶ L2 table ──▶ data cluster        host bytes as they are
//!  cluster 0  one entry     one entry ├▶ compressed cluster  raw deflate or zstd, in 512-byte sectors
//!             per L2 table  per guest ├▶ zero                hides the backing file
//!                           cluster   └▶ nothing             the backing file shows through
//! ```
//!
//! Reading: both versions, every cluster size, plain, zero and compressed clusters, extended L2 entries
//! (subclusters), backing files, external data files, internal snapshots, encryption. Writing: both versions, every
//! cluster size, subclusters, optionally compressed, optionally as a difference to a parent. What is not supported, and
//! what happens then, is in `SPEC.md`.
//!
//! Where to look: `layout` has the structures, `parse` every check of the header, `open` puts an image together, `crypto`
//! has its keys, `check` counts references, `read` is the [`format_core::Layer`], `write` the
//! [`format_core::Sink`] over `mapping`, which decides where guest bytes go, and `allocate`, which hands out host clusters
//! and counts references; `update` changes an image in place.

mod allocate;
mod backing;
mod bitmaps;
mod cache;
mod changes;
mod check;
mod codec;
mod crypto;
mod details;
mod error;
mod extensions;
mod header;
mod layout;
mod mapping;
mod open;
mod options;
mod parse;
mod read;
mod snapshots;
mod table;
mod update;
mod write;

use format_core::{Bytes, Format, Score};

/// The qcow2 format.
pub static FORMAT: Format = Format {
    name: "qcow2",
    extensions: &["qcow2", "qcow"],
    description: "QEMU copy-on-write images, versions 2 and 3",
    probe,
    open_layer: Some(open::open),
    check: Some(check::check),
    create: Some(write::create),
    resume: Some(write::resume),
    open_update: Some(update::open),
    create_options: options::CREATE_OPTIONS,
    has_snapshots: true,
    can_differ: true,
    size_step: |_| format_core::units::SECTOR,
    ..Format::NONE
};

fn probe(head: &[u8], _tail: &[u8]) -> Score {
    let version = Bytes::new(head, 0).u32_be(4).unwrap_or(0);
    if head.starts_with(&layout::MAGIC) && (version == 2 || version == 3) { Score::Magic } else { Score::No }
}
