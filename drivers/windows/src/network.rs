//! Which network adapters the guest has drivers for.

use crate::storage::is_installed;
use driver_core::{Draft, DriverPackage, Guest, GuestTree};
use format_core::Result;

/// Services that drive the adapter of a module of Linux, under the names that their packages gave them over the years.
fn services(module: &str) -> &'static [&'static str] {
    match module {
        "virtio_net" => &["netkvm", "netkvmp"],
        "vmxnet3" => &["vmxnet3ndis6", "vmxnet3"],
        "ena" => &["ena"],
        _ => &[],
    }
}

/// Whether the guest, or one of the packages that are installed at its first start, has a driver for the adapter that `module` drives in
/// Linux. Those of Intel that are emulated everywhere are not asked for here.
///
/// # Errors
/// When the guest cannot be read.
pub fn drives_adapter(
    tree: &GuestTree,
    guest: &Guest,
    module: &str,
    packages: &[DriverPackage],
) -> Result<bool> {
    let Some(windows) = &guest.windows else { return Ok(false) };
    let draft = Draft::new(tree);
    for service in services(module) {
        let comes = packages.iter().any(|package| package.service(service).is_some());
        if comes || is_installed(&draft, windows, service)? {
            return Ok(true);
        }
    }
    Ok(false)
}
