//! xapi, the toolstack of XenServer and XCP-ng: `ova.xml` of an export, read.
//!
//! | machine | member of the snapshot of an object |
//! |---|---|
//! | name, uuid, notes | VM: `name_label`, `uuid`, `name_description` |
//! | firmware | VM: `HVM_boot_params/firmware`, `platform/secureboot`; paravirtual guests have none |
//! | cpu, memory | VM: `VCPUs_at_startup`, `platform/cores-per-socket`, `memory_static_max` |
//! | clock, TPM | VM: `platform/viridian`, which guests have that are Windows; `VTPMs` |
//! | disks | VBD of the VM: `userdevice`, `bootable`; VDI: `virtual_size`; the id is the VDI's id, the folder of its blocks |
//! | nics | VIF of the VM: `device`, `MAC`; network: `name_label` |
//! | os, addresses | VM_guest_metrics: `os_version`, `networks` |
//!
//! An export can hold snapshots, which are machines like the others and left out.
//!
//! Facts: the classes of the XenAPI documentation, and exports.

mod devices;
mod losses;
mod objects;
mod read;

pub use read::machine_from_ova;

/// Name in errors.
const DIALECT: &str = "xapi";

/// Whether a text is the description of an export.
pub(crate) fn looks_like(text: &str) -> bool {
    crate::xml::root_name(text) == Some("value") && text.contains("<name>objects</name>")
}
