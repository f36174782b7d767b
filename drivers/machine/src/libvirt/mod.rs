//! libvirt: the domain XML that `virsh dumpxml` prints and `virsh define` takes.
//!
//! | machine | element |
//! |---|---|
//! | name, uuid, notes | `name`, `uuid`, `title` or `description` |
//! | firmware | `os/@firmware`, `os/loader`; secure boot by the features `secure-boot` and `enrolled-keys` |
//! | cpu, memory | `vcpu`, `cpu/topology`, `memory` |
//! | clock, TPM | `clock/@offset`, `devices/tpm` |
//! | disks | `devices/disk`, by bus and letter as libvirt sorts them; the id is the target's name |
//! | nics | `devices/interface` |
//! | os | the id of libosinfo in `metadata` |
//!
//! What is not in this table and matters is a [`Warning`]. Facts: libvirt's "Domain XML format" and its schema
//! `domain.rng`, which judges what is written here.

mod devices;
mod losses;
mod read;
mod windows;
mod write;

pub use read::machine_from_xml;
pub use write::definition;

/// Name in errors.
const DIALECT: &str = "libvirt";

/// Folder where libvirt's default storage pool keeps images.
pub const IMAGE_FOLDER: &str = "/var/lib/libvirt/images";

/// Domain types of containers and of other products, which have no virtual disks in our sense.
const FOREIGN_TYPES: &[&str] = &["lxc", "openvz", "exe", "uml", "phyp"];

/// Whether a text is XML with a domain in it.
pub(crate) fn looks_like(text: &str) -> bool {
    text.trim_start().starts_with('<') && text.contains("<domain")
}

#[cfg(doc)]
use crate::Warning;
