//! Hyper-V and Azure: VMBus and its disks are started by the boot loader.
//!
//! Source: Microsoft documents for Azure which drivers are made boot-start when a foreign machine is taken over ("hydration" of Azure
//! Migrate: vmbus, storvsc, storflt, intelide, atapi); see `inbox.rs` for how. The other devices of the platform are started on demand, and
//! only freed where somebody disabled them.

use crate::inbox::{ATAPI, INTELIDE, InboxDriver, STORVSC, VMBUS};
use crate::services::{DEMAND, DISABLED, number, service_key};
use crate::storage::ACCELERATOR;
use driver_core::{Applies, Context, Draft, Firmware, Fixup, Platform, WindowsFacts};
use driver_registry::Value;
use format_core::Result;

/// Network, keyboard, mouse, screen.
const ON_DEMAND: [&str; 4] = ["netvsc", "hyperkbd", "VMBusHID", "HyperVideo"];
const REASON: &str = "Hyper-V's disks are seen only by this driver";
/// Generation 1 starts from its IDE controller.
const IDE: [InboxDriver; 2] = [INTELIDE, ATAPI];

pub(super) struct HypervStorage;

impl Fixup for HypervStorage {
    fn id(&self) -> &'static str {
        "windows-hyperv-storage"
    }

    fn title(&self) -> &'static str {
        "start the drivers of Hyper-V's disks with Windows"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("it is not Windows")) };
        if !matches!(context.target.platform, Platform::HyperV | Platform::Azure) {
            return Ok(Applies::no("the target has no VMBus"));
        }
        let ide: &[InboxDriver] = if starts_from_ide(context) { &IDE } else { &[] };
        for driver in [VMBUS, STORVSC].iter().chain(ide) {
            if !driver.is_there(draft, windows)? {
                let reason = format!(
                    "this Windows has no {} driver, neither installed nor in its driver store",
                    driver.service
                );
                return Ok(Applies::cannot(reason, too_old(windows)));
            }
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        for driver in [VMBUS, STORVSC] {
            driver.start_at_boot(draft, windows, REASON)?;
        }
        if ACCELERATOR.is_there(draft, windows)? {
            ACCELERATOR.start_at_boot(draft, windows, REASON)?;
        }
        if starts_from_ide(context) {
            for driver in IDE {
                driver.start_at_boot(draft, windows, "generation 1 starts from its IDE controller")?;
            }
        }
        for set in &windows.control_sets {
            for name in ON_DEMAND {
                let key = service_key(set, name);
                if number(draft, &key, "Start")? == Some(DISABLED) {
                    draft.set_value(&key, "Start", Value::dword(DEMAND), "Hyper-V's device needs it")?;
                }
            }
        }
        Ok(())
    }
}

fn starts_from_ide(context: &Context<'_>) -> bool {
    context.target.firmware == Firmware::Bios
}

fn too_old(windows: &WindowsFacts) -> &'static str {
    if windows.version < (6, 0) {
        "install Hyper-V's integration components in the running guest, then export it again"
    } else {
        "repair the system's files in the running guest (sfc /scannow, DISM /Online /Cleanup-Image /RestoreHealth), then export it again"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};

    fn value(tree: &driver_core::GuestTree, key: &str, name: &str) -> Option<u32> {
        tree.registry_value(key, name).unwrap().as_ref().and_then(Value::as_u32)
    }

    #[test]
    fn an_empty_driver_that_two_control_sets_spell_differently_is_restored_once() {
        let vmbus = |set: &str, path: &str, phony: Phony| {
            let key = format!(r"SYSTEM\{set}\Services\vmbus");
            let phony = phony.value(&key, "Start", Value::dword(3));
            phony.value(&key, "ImagePath", Value::expand_string(path))
        };
        let store = "/Windows/System32/DriverStore/FileRepository/wvmbus.inf_x/vmbus.sys";
        let phony = Phony::windows_2008_r2()
            .value(r"SYSTEM\Select", "LastKnownGood", Value::dword(2))
            .file("/Windows/System32/drivers/storvsc.sys", "x")
            .file("/Windows/System32/drivers/vmbus.sys", "")
            .file(store, "copy");
        let phony = vmbus("ControlSet001", r"System32\drivers\vmbus.sys", phony);
        let phony = vmbus("ControlSet002", r"system32\DRIVERS\vmbus.sys", phony);
        let (tree, edits) = carried_out(phony, "hyperv-gen2", &Wishes::NONE, &HypervStorage);
        let restored = edits.iter().filter(|edit| edit.contains("vmbus.sys"));
        assert_eq!(restored.count(), 1, "{edits:#?}");
        let content = tree.read_file("/Windows/System32/drivers/vmbus.sys", 9).unwrap();
        assert_eq!(content.as_deref(), Some(&b"copy"[..]));
    }

    #[test]
    fn drivers_that_wait_are_started_and_missing_files_come_from_the_store() {
        let store = "/Windows/System32/DriverStore/FileRepository";
        let phony = Phony::windows_2016()
            .service("vmbus", 1, 0)
            .value(&format!(r"{SET}\Services\vmbus\StartOverride"), "0", Value::dword(3))
            .service("intelide", 1, 3)
            .service("atapi", 1, 0)
            .service("netvsc", 1, 4)
            .file(&format!("{store}/wstorvsc.inf_amd64_1111/storvsc.sys"), "old")
            .file(&format!("{store}/wstorvsc.inf_amd64_0222/storvsc.sys"), "new")
            .value(
                r"SYSTEM\DriverDatabase\DriverInfFiles\wstorvsc.inf",
                "Active",
                Value::string("wstorvsc.inf_amd64_0222"),
            );
        let (tree, words) = carried_out(phony, "hyperv-gen1", &Wishes::NONE, &HypervStorage);
        assert!(tree.registry_key(&format!(r"{SET}\Services\vmbus\StartOverride")).unwrap().is_none());
        for service in ["vmbus", "storvsc", "intelide", "atapi"] {
            assert_eq!(value(&tree, &format!(r"{SET}\Services\{service}"), "Start"), Some(0), "{service}");
        }
        assert_eq!(value(&tree, &format!(r"{SET}\Services\netvsc"), "Start"), Some(3));
        assert_eq!(tree.read_file("/Windows/System32/drivers/storvsc.sys", 9).unwrap().unwrap(), b"new");
        assert!(tree.registry_key(&format!(r"{SET}\Services\storflt")).unwrap().is_none());
        assert!(!words.iter().any(|word| word.contains("CriticalDeviceDatabase")), "{words:?}");
    }

    #[test]
    fn windows_2008_r2_gets_critical_devices_in_each_control_set() {
        let other = SET.replace("001", "002");
        let phony = Phony::windows_2008_r2()
            .value(r"SYSTEM\Select", "LastKnownGood", Value::dword(2))
            .service("vmbus", 1, 0)
            .service("storvsc", 1, 3)
            .service("intelide", 1, 0)
            .service("atapi", 1, 0)
            .key(&format!(r"{other}\Services"));
        let (tree, _) = carried_out(phony, "hyperv-gen1", &Wishes::NONE, &HypervStorage);
        for set in [SET, &other] {
            let key = format!(
                r"{set}\Control\CriticalDeviceDatabase\VMBUS#{{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}}"
            );
            let service = tree.registry_value(&key, "Service").unwrap();
            assert_eq!(service, Some(Value::string("storvsc")), "{set}");
            assert_eq!(value(&tree, &format!(r"{set}\Services\storvsc"), "Start"), Some(0));
        }
    }

    #[test]
    fn without_the_driver_a_person_is_needed() {
        let (tree, guest) = Phony::windows_2016().service("vmbus", 1, 0).build();
        let found = plan(&tree, &guest, "hyperv-gen2", &Wishes::NONE, &HypervStorage);
        assert_eq!((found.fixups[0].status, found.edits.len()), (Status::Cannot, 0));
        // Only generation 1 has IDE disks, and it starts from one.
        let phony = Phony::windows_2016().service("vmbus", 1, 0).service("storvsc", 1, 3);
        let (tree, guest) = phony.service("atapi", 1, 0).build();
        for (target, status) in [
            ("hyperv-gen2", Status::Planned),
            ("hyperv-gen1", Status::Cannot),
            ("azure-gen1", Status::Cannot),
        ] {
            let found = plan(&tree, &guest, target, &Wishes::NONE, &HypervStorage);
            assert_eq!(found.fixups[0].status, status, "{target}");
        }
    }
}
