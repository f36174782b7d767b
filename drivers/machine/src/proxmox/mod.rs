//! Proxmox VE: the configuration `/etc/pve/qemu-server/VMID.conf` is read, a `qm` script is written.
//!
//! | machine | key |
//! |---|---|
//! | name, uuid, notes | `name`, `smbios1`, the comment at the top |
//! | firmware | `bios`; secure boot by `pre-enrolled-keys` of `efidisk0` |
//! | cpu, memory | `sockets`, `cores`, `vcpus`, `memory` |
//! | clock, TPM | `localtime`, else the habit of `ostype`; `tpmstate0` |
//! | disks | `ide`, `scsi`, `virtio`, `sata` in this order; the boot disk by `boot` and `bootdisk`; the id is the key |
//! | nics | `net0` … by number; the bridge is the network |
//!
//! Only the current section is read; snapshots and pending changes are warnings. The script's program text is constant
//! (`head.sh`, `body.sh`); between the two stand the values, each a number or a single-quoted word of the shell.
//!
//! Facts: qm(1), qm.conf(5) and the property strings documented there.

mod config;
mod devices;
mod losses;
mod read;
mod script;

pub(crate) use config::looks_like;
pub use read::machine_from_conf;
pub use script::definition;

/// Name in errors.
const DIALECT: &str = "proxmox";
