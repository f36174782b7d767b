//! Linux guests: what is in them, and what has to change before they start somewhere else.
//!
//! ```text
//!  GuestTree ──inspect──▶ Guest: os, source platform, kernels, drivers per kernel and initramfs, boot loader
//!  Guest × Target × Wishes ──fixups()──▶ edits:
//!      fstab crypttab │ grub default, grub.cfg, BLS │ initramfs and its configuration │ cloud-init
//!      netplan ifupdown networkd ifcfg keyfiles wicked udev │ agents │ consoles, aliases │ identity
//! ```
//!
//! A fixup is one file in `fixups/`. It edits the fewest bytes that make the guest start: formatting, comments, quoting,
//! line ends and bytes that are no UTF-8 stay as they are. What is ambiguous is left alone and reported with a next
//! step. README.md of this folder lists what is done and what is refused.

mod boot_menu;
mod config_file;
mod content_name;
mod device_lists;
mod disk_links;
mod fixups;
mod fstab;
mod ini;
mod inspect;
mod kernel_cmdline;
mod kernel_config;
mod kernel_image;
mod kernels;
mod loader_files;
mod lost_name;
mod lvm_conf;
mod mdadm_conf;
mod module_source;
mod moved_files;
mod net_rules;
mod netplan_address;
mod netplan_text;
mod nic_names;
mod nic_naming;
mod nic_plan;
mod offers;
mod old_menus;
mod os_release;
mod rebuild_tool;
mod services;
mod set_address;
mod source_platform;
mod stable_name;
mod static_text;

pub use disk_links::learn_disk_links;
pub use fixups::{FallbackCopy, fixups, missing_fallback};
pub use fstab::{FstabEntry, read_fstab};
pub use inspect::{inspect, read_crypttab};
pub use mdadm_conf::{ArrayLine, read_mdadm_conf};
