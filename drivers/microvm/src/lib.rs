//! A tiny virtual machine in which the kernel's own drivers edit the guest's file systems.
//!
//! ```text
//!  Host::find ─▶ Host ─start─▶ Vm ──part──▶ Device ──map, assemble──▶ Device
//!  (qemu, kernel, modules)     │                                        │ mount
//!                              │ volume ─▶ Volume                       ▼
//!                              └─ runner ─▶ GuestRunner ◀── tree ──── VmFs (GuestFs)
//! ```
//!
//! What the rooms of this folder do not write in process (new files on XFS, all of btrfs, thin volumes, RAID 5), and programs of the guest
//! itself, are left to a kernel of the host's distribution in a VM of 512 MiB without network. Its disks are NBD exports of the
//! overlay; its only program is `microvm-init`, which is part of this crate. A damaged file system meets that kernel and nothing else.
//!
//! See `README.md` for the boundary, the times, and what was measured.

mod bz_image;
mod channel;
mod check;
mod console;
mod devices;
mod failure;
mod host;
mod initrd;
mod machine;
mod modules;
mod process;
mod runner;
mod seen;
mod start;
mod vm;
mod vm_fs;
mod vm_volume;

pub use check::{Check, Checker};
pub use host::{Acceleration, Host, Wanted};
pub use machine::DiskAddress;
pub use vm::{Device, Vm};
pub use vm_fs::VmFs;
