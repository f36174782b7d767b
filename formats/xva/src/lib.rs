//! XVA: what `xe vm-export` of XenServer and XCP-ng writes.
//!
//! ```text
//!  tar: ova.xml │ Ref:4/00000000 │ Ref:4/00000000.xxhash │ Ref:4/00000007 │ Ref:4/00000007.xxhash │ Ref:9/00000000 …
//!         │             └ 1 MiB of a disk, its checksum, and what is not there is zeros
//!         └ the machine, its disks and their sizes
//! ```
//!
//! One walk (`walk`) over the members gives blocks and checksums, `sequence` their places on the disks and what is
//! missing, `verify` compares. A file is walked once without its data (`index`) and then read at any place; a check
//! walks it with them. What comes through a pipe gives one disk (`stream`). `SPEC.md` has what is supported.

mod container;
mod error;
mod index;
mod ova;
mod read;
mod rpc;
mod sequence;
mod stream;
mod table;
mod tape;
mod tar;
mod verify;
mod walk;

use format_core::Format;

/// The XVA format.
pub static FORMAT: Format = Format {
    name: "xva",
    extensions: &["xva"],
    description: "exports of virtual machines by XenServer and XCP-ng",
    probe: tar::probe,
    open_container: Some(container::open),
    open_stream: Some(stream::open),
    ..Format::NONE
};
