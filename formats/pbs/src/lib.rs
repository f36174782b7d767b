//! Snapshots in a datastore of Proxmox Backup Server, read without the server.
//!
//! ```text
//!  DATASTORE/.chunks/1ae3/1ae3374a5076…             chunks, each named by the digest of its content
//!  DATASTORE/[ns/NAME/…]vm/100/2026-11-29T02:00:00Z/
//!      index.json.blob          manifest: files, checksums, signature
//!      qemu-server.conf.blob    the machine
//!      drive-scsi0.img.fidx     a disk: size, chunk size, a digest for each chunk
//!  chunk, blob ─▶ CRC-32 ─▶ AES-256-GCM ─▶ zstd ─▶ content ─▶ digest
//! ```
//!
//! A snapshot's folder, that of its group (whose snapshots are points in time), a datastore with one group, or an index in
//! its place can be named. `SPEC.md` has the table of what is supported and which checksums there are.

mod blob;
mod check;
mod container;
mod digest;
mod error;
mod find;
mod index;
mod key;
mod layout;
mod manifest;
mod order;
mod read;
mod store;

use format_core::{Format, Score};

/// Snapshots of Proxmox Backup Server.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "pbs",
    aliases: &["proxmox-backup"],
    extensions: &["fidx"],
    description: "Proxmox Backup Server snapshots in a datastore's folder",
    probe: |head, _| {
        if head.starts_with(&layout::FIXED_MAGIC) { Score::Magic } else { Score::No }
    },
    probe_folder: find::probe_folder,
    open_container: Some(container::open),
    has_points: true,
    ..Format::NONE
};
