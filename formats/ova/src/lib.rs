//! OVF packages: an envelope that says which files are whose disks, a manifest with their digests, and the disks. As an archive
//! (OVA) or as files beside each other.
//!
//! ```text
//!  ┌──────────┬─────────┬───────────┬───────────┬───┐
//!  │ name.ovf │ name.mf │ disk1.vmdk│ disk2.vmdk│ … │  a tar archive, or a folder
//!  └────┬─────┴────┬────┴───────────┴───────────┴───┘
//!   References   SHA256(disk1.vmdk)= …
//! ```
//!
//! Read: every disk by its own format, also compressed or cut into chunks. Here the envelope is read for its files and disks
//! only; the machine is for the OVF dialect of `drivers/machine`, which gets its bytes. Written: archives
//! ([`OvaWriter`]), with a manifest.

mod container;
mod envelope;
mod error;
mod manifest;
mod package;
mod write;
mod xml;

pub use write::OvaWriter;

use format_core::{Format, Score};

/// Packages in an archive.
pub static FORMAT: Format = Format {
    name: "ova",
    extensions: &["ova"],
    description: "OVA archives: a machine with its disks and their digests",
    probe: probe_archive,
    open_container: Some(container::open_archive),
    ..Format::NONE
};

/// Packages that are files beside each other, told by their envelope.
pub static OVF: Format = Format {
    name: "ovf",
    extensions: &["ovf"],
    description: "OVF packages: a machine with its disks and their digests beside it",
    probe: probe_envelope,
    open_container: Some(container::open_envelope),
    ..Format::NONE
};

fn probe_archive(head: &[u8], _: &[u8]) -> Score {
    if !tar_members::is_tar(head) {
        return Score::No;
    }
    let names = tar_members::members_in(head).into_iter().map(|member| member.name.to_ascii_lowercase());
    if names.into_iter().any(|name| name.ends_with(".ovf")) { Score::Magic } else { Score::No }
}

/// The first element is an envelope of OVF's namespace; every version of it has that word at its end but a number.
fn probe_envelope(head: &[u8], _: &[u8]) -> Score {
    let text = head.get(..head.len().min(4096)).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let is_xml = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    let has = |word: &str| text.contains(word);
    let is_envelope =
        is_xml && (has("<Envelope") || has(":Envelope")) && (has("ovf/envelope") || has("/schema/ovf"));
    if is_envelope { Score::Magic } else { Score::No }
}
