//! restic repositories (versions 1 and 2), read: a snapshot is a point in time, an image file in it a disk.
//!
//! Everything in a repository is encrypted, authenticated, and called by the SHA-256 of its content; all three are checked
//! for every byte that is read. Nothing is written into the repository, no lock either. `SPEC.md` tells the layout.

mod cache;
mod check;
mod container;
mod crypto;
mod damage;
mod error;
mod index;
mod layout;
mod parse;
mod read;
mod repository;
mod tree;

use format_core::Format;

/// restic's repositories.
pub static FORMAT: Format = Format {
    name: "restic",
    aliases: &["rustic"],
    description: "a restic repository (snapshots with image files)",
    open_container: Some(container::open),
    probe_folder: container::probe_folder,
    has_points: true,
    ..Format::NONE
};
