//! Windows guests: what they are, and what has to change in them for another platform.
//!
//! ```text
//!  GuestTree + hives ──inspect──▶ Guest.windows (facts)
//!                                    │
//!   Draft (files and registry) ◀─── fixups: a file each, by target
//! ```
//!
//! The guest's tree has the system's volume at `/` and the partition that the firmware starts from at [`BOOT_VOLUME`]. The
//! registry's hives are SYSTEM, SOFTWARE and BCD.
//!
//! No Windows can be run where this was written. Every fixup says in its file's header who documents what it does, or which
//! tool is known to do it; a migration's report says that the result was not seen to start.

mod activation;
mod added_driver;
mod antivirus;
mod bcd;
mod confirmed;
mod control_sets;
mod devices;
mod edited;
mod filters;
mod fixups;
mod in_the_way;
mod inbox;
mod inspect;
mod interfaces;
mod layout;
mod network;
mod pending;
#[cfg(test)]
mod phony;
mod services;
mod source_platform;
mod start;
mod storage;
mod time_servers;
mod version;

pub use confirmed::is_confirmed;
pub use fixups::{FallbackCopy, fixups, missing_fallback};
pub use inspect::inspect;
pub use layout::{BOOT_VOLUME, boot_configuration_in, is_system_volume, mount_hives};
pub use network::drives_adapter;
pub use start::{loader_is_windows, starts_by_bios, supports_generation_2};
pub use storage::startable_bus;
