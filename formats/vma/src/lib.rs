//! VMA: the backups that Proxmox VE's `vzdump` makes of virtual machines.
//!
//! ```text
//!  ┌─────────────────────────────┬─────────────────────────────┬───────────────
//!  │ header: devices, configs,   │ extent head: 59 clusters of │ blocks of 4 KiB   …
//!  │ blobs; MD5                  │ any device; MD5             │ that are not zeros
//!  └─────────────────────────────┴─────────────────────────────┴───────────────
//!  heads ─▶ map: for each cluster of 64 KiB its place in the file and which blocks of it are there
//! ```
//!
//! A file is indexed once by its heads and then read at any place (`read`). One that comes through a pipe or out of a
//! decompressor gives one disk from its start to its end (`stream`); clusters that come early wait (`waiting`).
//! `SPEC.md` has the table of what is supported and the quirks.

mod boot;
mod container;
mod error;
mod index;
mod layout;
mod map;
mod parse;
mod read;
mod stream;
mod waiting;

use format_core::Format;

/// The VMA format.
pub static FORMAT: Format = Format {
    name: "vma",
    extensions: &["vma"],
    description: "Proxmox VE backups of virtual machines (vzdump)",
    probe: parse::probe,
    open_container: Some(container::open),
    open_stream: Some(stream::open),
    ..Format::NONE
};
