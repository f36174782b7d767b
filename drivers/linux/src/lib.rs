//! Linux guests: what is in them, and what has to change before they start somewhere else.
//!
//! ```text
//!  GuestTree ──inspect──▶ Guest: os, kernels, drivers per kernel and initramfs, boot loader
//!  Guest × Target ──fixups()──▶ edits:  fstab crypttab │ grub default, grub.cfg, BLS │ initramfs and its configuration
//!                                       cloud-init │ netplan ifupdown networkd ifcfg udev │ EC2 agents
//! ```
//!
//! A fixup is one file in `fixups/`. It edits the fewest bytes that make the guest start: formatting, comments, quoting,
//! line ends and bytes that are no UTF-8 stay as they are. What is ambiguous is left alone and reported with a next
//! step. README.md of this folder lists what is done, refused, and not done yet.

mod boot_menu;
mod config_file;
mod fixups;
mod fstab;
mod ini;
mod inspect;
mod kernel_cmdline;
mod kernels;
mod mdadm_conf;
mod module_source;
mod netplan_text;
mod nic_names;
mod os_release;
mod stable_name;

pub use fixups::fixups;
pub use fstab::{FstabEntry, read_fstab};
pub use inspect::inspect;
pub use mdadm_conf::{ArrayLine, read_mdadm_conf};
