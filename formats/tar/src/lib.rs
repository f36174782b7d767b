//! Tar archives with disk images in them, and those that Google Cloud imports.
//!
//! ```text
//!  ┌────────┬────────────────┬────────┬─────┬──────┬─────────────────┐
//!  │ header │ notes.txt      │ header │ map │ disk │ 2 blocks of zero│
//!  └────────┴────────────────┴────────┴─────┴──────┴─────────────────┘
//!              (no disk)                      └▶ opened by its own format: raw, qcow2, …
//! ```
//!
//! Read: every regular member that may be a disk, sparse ones with their holes, at any place or through a pipe. Written:
//! [`FORMAT`] has one raw disk, sparse as GNU tar keeps it; [`GCP`] is the compressed archive with `disk.raw` that Google Cloud
//! takes. A tar archive has no checksum of data: `SPEC.md` says what is covered.

mod container;
mod error;
mod gcp;
mod gzip;
mod members;
mod plain;
mod sparse;
mod stream;

use format_core::units::GIB;
use format_core::{CreateOption, Format};

/// Archives with disk images in them.
pub static FORMAT: Format = Format {
    name: "tar",
    extensions: &["tar"],
    description: "Tar archives with disk images in them, sparse or not",
    probe: members::probe,
    open_container: Some(container::open),
    open_stream: Some(stream::open),
    flows: |head, _| members::flows(head),
    create: Some(sparse::create),
    create_options: &[
        CreateOption {
            key: "name",
            values: "NAME",
            default: "disk.raw",
            help: "what the disk is called in the archive",
        },
        CreateOption {
            key: "sparse",
            values: "on|off",
            default: "on",
            help: "whether holes are left out, as GNU tar does; off is for pipes and for programs that know no holes",
        },
    ],
    ..Format::NONE
};

/// The archive that Google Cloud imports: `disk.raw` and nothing else, compressed.
pub static GCP: Format = Format {
    name: "gcp",
    extensions: &["tar.gz"],
    description: "Google Cloud disks: disk.raw in a compressed tar archive",
    open_layer: Some(gcp::open),
    create: Some(gzip::create),
    size_step: |_| GIB,
    create_options: &[CreateOption {
        key: "level",
        values: "1-9",
        default: "6",
        help: "how hard to compress: 1 is fastest",
    }],
    ..Format::NONE
};
