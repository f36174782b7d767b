//! Borg repositories (Borg 1), read: an archive is a point in time, an image file in it a disk.
//!
//! The repository is read by the `borg` command, which decrypts and verifies it; this room starts it so that it asks nothing, locks
//! nothing and writes nothing into the repository or the operator's home. `SPEC.md` tells what is asked of it.

mod check;
mod command;
mod container;
mod error;
mod parse;

use format_core::Format;

/// Borg's repositories.
pub static FORMAT: Format = Format {
    name: "borg",
    aliases: &["borgbackup"],
    description: "a Borg repository (archives with image files), read by the borg command",
    open_container: Some(container::open),
    probe_folder: container::probe_folder,
    has_points: true,
    ..Format::NONE
};
