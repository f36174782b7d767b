//! PVH guests of Xen: whether GRUB of the host can start the guest, and the kernel can run there.
//!
//! Facts: GRUB as a kernel of the host (`grub-i386-xen_pvh.bin` of `grub-xen-host` and its like) reads `/boot/grub/grub.cfg`
//! or, on a file system of its own, `/grub/grub.cfg` (configuration built into it). `blscfg` and `linuxefi` are commands of
//! other distributions' GRUB. The kernel needs `CONFIG_XEN_PVH`: with `CONFIG_PVH` alone it is started and finds no Xen
//! devices (arch/x86/xen/Kconfig). Where ACPI's tables lie is told by the boot loader since Linux 4.20 (`acpi_rsdp_addr` of
//! the x86 boot protocol); an older kernel does not find them.

use crate::config_file::{exists, read_small};
use crate::kernel_config::{has, kernel_config};
use driver_core::{Applies, Context, Draft, Firmware, Fixup};
use format_core::Result;

const MENU: &str = "/boot/grub/grub.cfg";
const HVM: &str = "or migrate without --xen-type pvh";
/// The first kernel that is told where ACPI's tables lie.
const OLDEST: (u32, u32) = (4, 20);

pub(super) struct XenPvh;

impl Fixup for XenPvh {
    fn id(&self) -> &'static str {
        "linux-xen-pvh"
    }

    fn title(&self) -> &'static str {
        "GRUB of the host and the default kernel can start the guest as PVH"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.firmware != Firmware::Host {
            return Ok(Applies::no("the target has firmware"));
        }
        if let Some(reason) = menu_fault(draft)? {
            let step = format!(
                "give the guest a {MENU} of upstream GRUB's commands (where the folder is called grub2: ln -s grub2 \
                 /boot/grub), {HVM}"
            );
            return Ok(Applies::cannot(reason, step));
        }
        let Some(kernel) = context.guest.kernels.first() else {
            return Ok(Applies::cannot("no kernel was found", format!("install one in the guest, {HVM}")));
        };
        Ok(match kernel_fault(draft, &kernel.version)? {
            Some(reason) => {
                Applies::cannot(reason, format!("start another kernel by default in the guest, {HVM}"))
            }
            None => Applies::Yes,
        })
    }

    fn plan(&self, _: &Context<'_>, _: &mut Draft<'_>) -> Result<()> {
        Ok(())
    }
}

fn menu_fault(draft: &Draft<'_>) -> Result<Option<String>> {
    if !exists(draft, MENU)? {
        return Ok(Some(format!("GRUB of the host reads {MENU}, which the guest does not have")));
    }
    let menu = read_small(draft, MENU)?;
    let foreign = ["blscfg", "linuxefi"]
        .into_iter()
        .find(|command| menu.lines().any(|line| line.split_whitespace().next() == Some(command)));
    Ok(foreign
        .map(|command| format!("{MENU} has the command {command}, which GRUB of the host may not know")))
}

fn kernel_fault(draft: &Draft<'_>, version: &str) -> Result<Option<String>> {
    if release(version).is_none_or(|found| found < OLDEST) {
        let (major, minor) = OLDEST;
        return Ok(Some(format!("kernel {version} is older than {major}.{minor}, which PVH by GRUB needs")));
    }
    let config = kernel_config(draft, version)?;
    Ok(match config.trim() {
        "" => Some(format!(
            "whether kernel {version} has CONFIG_XEN_PVH is not known: there is no /boot/config-{version}"
        )),
        _ if !has(&config, "CONFIG_XEN_PVH") => {
            Some(format!("kernel {version} was built without CONFIG_XEN_PVH"))
        }
        _ => None,
    })
}

/// The first two numbers of a kernel's version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_the_first_two_numbers() {
        for (version, expected) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("4.19.0-26-amd64", Some((4, 19))),
            ("5.14.21-150500.55.39-default", Some((5, 14))),
            ("6", None),
            ("x.1", None),
            ("", None),
        ] {
            assert_eq!(release(version), expected, "{version}");
        }
    }
}
