//! Xen: the configuration of a guest for `xl create`, read and written, for HVM and PVH.
//!
//! | machine | key |
//! |---|---|
//! | name, uuid | `name`, `uuid` |
//! | firmware | `bios` or `firmware` (HVM) |
//! | cpu, memory | `vcpus`, `memory` or `maxmem` |
//! | clock | `localtime` |
//! | disks | `disk`, as listed; the id is the virtual device's name |
//! | nics | `vif`, as listed; the bridge is the network |
//!
//! Facts: xl.cfg(5), xl-disk-configuration(5), xl-network-configuration(5), xen-vbd-interface(7).

mod devices;
mod losses;
mod read;
mod syntax;
mod write;

pub use read::machine_from_cfg;
pub(crate) use syntax::looks_like;
pub use write::{Guest, definition};

/// Name in errors.
const DIALECT: &str = "xen";

/// Folder where xl's documentation keeps images.
pub const IMAGE_FOLDER: &str = "/var/lib/xen/images";

/// Boot loader that starts a PVH guest from its own disk, where Debian's `grub-xen-host` has it.
pub const PVH_GRUB: &str = "/usr/lib/grub-xen/grub-i386-xen_pvh.bin";
