//! Disks of Parallels Desktop, Virtuozzo and OpenVZ.
//!
//! ```text
//!  NAME.hdd/                    a folder is the disk
//!    DiskDescriptor.xml ─▶ storages (parts of the disk) ─▶ images by GUID ─▶ files
//!                       ─▶ tree of snapshots: which GUID lies over which
//!    NAME.hdd.0.{GUID}.hds      "Compressed": ┌────────┬─────┬───────────────────────┐
//!                                             │ header │ BAT │ clusters, as written  │
//!                                             └────────┴─────┴───────────────────────┘
//!                               "Plain":      the bytes as they are
//! ```
//!
//! Read: both forms of expanding images, alone or as a folder with storages and snapshots. An expanding image does not
//! say that it is a difference to another one: only the descriptor in its folder does, so that is asked whenever it is
//! there. `SPEC.md` has the table of what is supported and the quirks of the products.

mod bundle;
mod check;
mod descriptor;
mod error;
mod expanding;
mod layout;
mod open;
mod parse;
mod plain;

use format_core::Format;

/// The Parallels format.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "parallels",
    aliases: &["hdd", "hds"],
    // The last is the descriptor's.
    extensions: &["hds", "hdd", "xml"],
    description: "Parallels and Virtuozzo disks: expanding and plain, with snapshots",
    probe: open::probe,
    open_layer: Some(open::open),
    check: Some(check::check),
    has_snapshots: true,
    folder_entry: Some(layout::DESCRIPTOR_NAME),
    ..Format::NONE
};
