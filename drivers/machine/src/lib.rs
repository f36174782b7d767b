//! The neutral machine model and its dialects.
//!
//! ```text
//!  machine JSON (own schema) ──▶ Machine::from_json ──────────┐
//!  aws ec2 describe-… JSON ────▶ aws::machine_from_describe ──┤                ┌─▶ hyperv::script ───────▶ NAME.ps1
//!  virsh dumpxml ──────────────▶ libvirt::machine_from_xml ───┼─▶ Machine ─────┤
//!  VMID.conf ──────────────────▶ proxmox::machine_from_conf ──┤   (+ warnings) └─▶ libvirt, proxmox, xen, kubevirt
//!  xl.cfg ─────────────────────▶ xen::machine_from_cfg ───────┤                    vmx, ovf, virtualbox, clouds
//!  ova.xml ────────────────────▶ xapi::machine_from_ova ──────┤
//!  NAME.vmx ───────────────────▶ vmx::machine_from_vmx ───────┤                    ::definition ─────────▶ NAME.xml …
//!  NAME.ovf ───────────────────▶ ovf::machine_from_ovf ───────┘
//! ```
//!
//! A [`Machine`] says what every hypervisor calls by another name: firmware, processors, memory, disks with their
//! order, network adapters. A dialect is a file of its own that turns one hypervisor's description into a machine
//! or a machine into a definition. What does not fit is a [`Warning`] with a stable code, never dropped in silence.
//!
//! | dialect | read | write |
//! |---|---|---|
//! | own JSON ([`SCHEMA`]) | yes | yes |
//! | [`aws`]: `describe-instances`, `-volumes`, `-images`, `-instance-types` | yes | no |
//! | [`hyperv`]: PowerShell 5.1 script | no | yes |
//! | [`libvirt`]: domain XML for KVM | yes | yes |
//! | [`proxmox`]: `VMID.conf` in, `qm` script out | yes | yes |
//! | [`xen`]: configuration of `xl`, HVM and PVH | yes | yes |
//! | [`xapi`]: `ova.xml` of an export of XenServer or XCP-ng | yes | no |
//! | [`kubevirt`]: `VirtualMachine` and `DataVolume` manifest | no | yes |
//! | [`vmx`]: VMware's configuration file | yes | yes |
//! | [`ovf`]: envelopes of VMware and VirtualBox, and their manifest | yes | yes |
//! | [`virtualbox`]: script for VBoxManage | no | yes |
//! | [`clouds`]: scripts for Azure, Google Cloud and EC2, `import-image` JSON | no | yes |
//!
//! Guests that are Windows get what their release wants of each target: a type or identifier, enlightenments and timers
//! (libvirt, KubeVirt, xl), the way of `import-image` on EC2, a Secure Boot template and a TPM of their own on Hyper-V.
//!
//! A reader tells where each value came from in [`Machine::provenance`]. The newer writers share what they are told
//! ([`DefinitionOptions`]) and what they give back ([`Definition`]).
//!
//! Names come from strangers. The model refuses control characters and characters that reorder text; a writer quotes
//! every foreign value by its target's rules and never puts one into a comment.
//!
//! ```
//! # fn main() -> Result<(), driver_machine::MachineError> {
//! let machine = driver_machine::Machine::from_json(r#"{
//!     "rehome_machine": 1, "name": "web", "firmware": {"kind": "bios"}, "cpu": {"count": 2}, "memory_mib": 2048,
//!     "disks": [{"id": "root", "source": {"file": "web.vmdk"}, "bus": "scsi", "order": 0}]
//! }"#)?;
//! let options = driver_machine::hyperv::HypervOptions {
//!     generation: driver_machine::hyperv::Generation::One,
//!     generation_reason: "the disk has a BIOS boot loader only".into(),
//!     secure_boot: driver_machine::hyperv::SecureBoot::Off,
//!     secure_boot_reason: "generation 1 has no secure boot".into(),
//!     disks: vec![driver_machine::hyperv::HypervDisk {
//!         id: "root".into(), file: "web.vhdx".into(), manifest: "web.vhdx.rehome.json".into(), size_bytes: None,
//!     }],
//!     adapters: Vec::new(), fixed_clock: Some(driver_machine::Clock::Local),
//! };
//! let script = driver_machine::hyperv::script(&machine, &options)?;
//! assert!(script.text.contains("$VMName = 'web'"));
//! # Ok(()) }
//! ```

mod adapters;
pub mod aws;
mod bash;
pub mod clouds;
mod definition;
mod disk_names;
mod error;
mod findings;
mod guest_ids;
pub mod hyperv;
pub mod kubevirt;
pub mod libvirt;
mod mac;
mod model;
pub mod ovf;
pub mod proxmox;
mod text;
mod validate;
pub mod virtualbox;
mod vmware;
pub mod vmx;
mod windows;
mod writing;
pub mod xapi;
pub mod xen;
mod xml;

pub use adapters::AdapterChoice;
pub use definition::{Definition, DefinitionOptions, DiskBus, DiskFile, NicModel};
pub use error::{MachineError, MachineErrorKind, Warning};
pub use mac::MacAddress;
pub use model::{
    Architecture, Bus, Clock, Cpu, Disk, DiskSource, Firmware, FirmwareKind, Machine, Nic, OsFamily, OsHint,
    SchemaVersion, Topology, Tpm,
};
pub use text::{Dialect, detect, read_documents};

/// The JSON Schema (draft 2020-12) of our own dialect, as shipped in `machine.schema.json`.
///
/// Whatever [`Machine::from_json`] accepts, the schema accepts. The reverse holds except for rules a schema cannot
/// say: unique ids, orders and addresses, the
/// processor product, blank names, group addresses, the forms of a UUID.
pub const SCHEMA: &str = include_str!("../machine.schema.json");
