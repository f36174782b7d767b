//! Controllers that every Windows knows: IDE, SATA, NVMe. Their drivers are started by the boot loader on every target, so that the guest
//! starts from whichever of them its disk hangs on, now or after its controller was changed once more.
//!
//! Source: XCP-ng's offline boot repair does this for stornvme, storahci and pciide; see `inbox.rs`.

use crate::added_driver::start_at_boot;
use crate::inbox::InboxDriver;
use crate::storage::{Drivers, FALLBACKS, drivers_of, is_installed};
use driver_core::{Applies, Context, Draft, Fixup, Platform, WindowsFacts};
use format_core::Result;

/// Amazon's driver for NVMe disks, which older versions have instead of Windows' own.
const AWS_NVME: &str = "AWSNVMe";

pub(super) struct FallbackStorage;

/// The driver of Windows for the target's controller that is missing.
fn missing(
    context: &Context<'_>,
    draft: &Draft<'_>,
    windows: &WindowsFacts,
) -> Result<Option<&'static InboxDriver>> {
    let target = context.target;
    match target.platform {
        // Another fixup's business.
        Platform::HyperV | Platform::Azure => return Ok(None),
        // Amazon's own driver is as good.
        Platform::Aws if is_installed(draft, windows, AWS_NVME)? => return Ok(None),
        _ => {}
    }
    let Drivers::Inbox(needed) = drivers_of(target.disk_bus, target.platform, windows) else {
        return Ok(None);
    };
    for driver in needed {
        if !driver.is_there(draft, windows)? {
            return Ok(Some(driver));
        }
    }
    Ok(None)
}

impl Fixup for FallbackStorage {
    fn id(&self) -> &'static str {
        "windows-fallback-storage"
    }

    fn title(&self) -> &'static str {
        "start Windows' own IDE, SATA and NVMe drivers with it"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("it is not Windows")) };
        Ok(match missing(context, draft, windows)? {
            Some(driver) => Applies::cannot(
                format!("this Windows has no {} driver, which the target's disks need", driver.service),
                next_step(context.target.platform),
            ),
            None => Applies::Yes,
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        for driver in FALLBACKS {
            if driver.is_there(draft, windows)? {
                let reason = "this driver serves controllers that any machine may have";
                driver.start_at_boot(draft, windows, reason)?;
            }
        }
        let target = context.target;
        if target.platform == Platform::Aws && is_installed(draft, windows, AWS_NVME)? {
            start_at_boot(draft, windows, AWS_NVME, "the target's disks need this driver")?;
        }
        if let Drivers::Inbox(needed) = drivers_of(target.disk_bus, target.platform, windows) {
            for driver in needed {
                if driver.is_there(draft, windows)? {
                    driver.start_at_boot(draft, windows, "the target's disks need this driver")?;
                }
            }
        }
        Ok(())
    }
}

fn next_step(platform: Platform) -> &'static str {
    match platform {
        // There is no other controller.
        Platform::Aws => {
            "install Amazon's NVMe driver in the running guest first, or let EC2 do it: aws ec2 import-image"
        }
        _ => "choose another controller with --disk-bus",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};
    use driver_registry::Value;

    #[test]
    fn what_windows_has_is_started_and_nothing_else_is_made() {
        let phony = Phony::windows_2016().service("storahci", 1, 3).service("stornvme", 1, 0);
        let (tree, words) = carried_out(phony, "kvm-bios-sata", &Wishes::NONE, &FallbackStorage);
        assert_eq!(words.len(), 1, "{words:?}");
        let start = tree.registry_value(&format!(r"{SET}\Services\storahci"), "Start").unwrap();
        assert_eq!(start, Some(Value::dword(0)));
    }

    #[test]
    fn a_controller_without_a_driver_needs_another_choice() {
        let (tree, guest) = Phony::windows_2008_r2().service("msahci", 1, 3).build();
        for (target, status) in [
            ("kvm-bios-sata", Status::Planned),
            ("vmware-bios-nvme", Status::Cannot),
            ("kvm-bios-ide", Status::Cannot),
            // Said by the fixup for it.
            ("kvm-bios", Status::Planned),
        ] {
            let plan = plan(&tree, &guest, target, &Wishes::NONE, &FallbackStorage);
            assert_eq!(plan.fixups[0].status, status, "{target}");
        }
    }

    #[test]
    fn amazons_driver_is_as_good_on_ec2_and_there_is_no_other_controller() {
        let with = |start| Phony::windows_2008_r2().service("AWSNVMe", 1, start);
        let (tree, words) = carried_out(with(3), "aws-bios", &Wishes::NONE, &FallbackStorage);
        assert_eq!(words.len(), 1, "{words:?}");
        let start = tree.registry_value(&format!(r"{SET}\Services\AWSNVMe"), "Start").unwrap();
        assert_eq!(start, Some(Value::dword(0)));
        let (tree, guest) = with(4).build();
        let found = plan(&tree, &guest, "aws-bios", &Wishes::NONE, &FallbackStorage);
        assert_eq!(found.fixups[0].status, Status::Cannot);
        assert!(!found.fixups[0].next_step.as_deref().unwrap().contains("--disk-bus"));
    }
}
