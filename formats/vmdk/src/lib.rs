//! VMware VMDK images: sparse, flat and split disks, snapshots of ESX (COWD, seSparse), and streams.
//!
//! ```text
//!  header ─▶ descriptor (text) ─▶ size, CID, parent
//!     │
//!     └────▶ grain directory ─▶ grain table ─▶ grain: plain sectors, or marker + zlib stream
//!            (or the footer's, where the header says GD_AT_END)
//! ```
//!
//! A grain table entry of 0 lets the parent show through, 1 is explicit zeros where the header allows it. A descriptor in a
//! file of its own lists extent files, which are opened through the gate.
//! Sources, quirks by product, and what is not supported: `SPEC.md`.

mod cache;
mod check;
mod descriptor;
mod error;
mod extent;
mod extent_line;
mod grain_stream;
mod hardware;
mod layout;
mod names;
mod parse;
mod parts;
mod pipe;
mod read;
mod redundant;
mod tables;
mod uuids;
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
    flows: |head, _| parse::is_stream(head),
    check: Some(check::check),
    create: Some(write::create),
    resume: Some(write::resume),
    create_options: write::CREATE_OPTIONS,
    size_step: |_| format_core::units::SECTOR,
    can_differ: true,
    ..Format::NONE
};
