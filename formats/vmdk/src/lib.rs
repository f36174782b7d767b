//! VMware VMDK images: hosted sparse extents (`monolithicSparse`) and stream-optimized ones, read at random;
//! stream-optimized ones are also written.
//!
//! ```text
//!  header ─▶ descriptor (text) ─▶ size, CID, parent
//!     │
//!     └────▶ grain directory ─▶ grain table ─▶ grain: plain sectors, or marker + zlib stream
//!            (or the footer's, where the header says GD_AT_END)
//! ```
//!
//! A grain table entry of 0 lets the parent show through, 1 is explicit zeros where the header allows it.
//! Descriptors that refer to extent files, COWD and seSparse extents are recognised and refused by name.
//! Sources, quirks by product, and what is not supported: `SPEC.md`.

mod cache;
mod check;
mod descriptor;
mod error;
mod extent;
mod extent_line;
mod grain_stream;
mod layout;
mod names;
mod parse;
mod parts;
mod pipe;
mod read;
mod redundant;
mod tables;
mod walk;
mod write;

use format_core::Format;

/// The VMDK format.
pub static FORMAT: Format = Format {
    name: "vmdk",
    extensions: &["vmdk"],
    description: "VMware disks: sparse, flat, split, streamOptimized and ESXi flat",
    probe: parse::probe,
    open_layer: Some(read::open),
    open_stream: Some(pipe::open),
    check: Some(check::check),
    create: Some(write::create),
    create_options: write::CREATE_OPTIONS,
    size_step: |_| format_core::units::SECTOR,
    can_differ: true,
    ..Format::NONE
};
