//! Xen's drivers are retired where there is no Xen: those of Citrix, XenServer, XCP-ng and Amazon, and Red Hat's old ones.
//!
//! Facts: `xenfilt` (older ones: `scsifilt`) filters the classes of disk controllers and of system devices, and keeps them from
//! starting where Xen does not answer, so the system's disk is not found. XenBootFix of XCP-ng's win-pv-drivers mends that in
//! the offline registry: it takes these filters out, disables the services, and deletes `Services\XEN\ForceUnplug`.
//! `Services\XEN\Unplug` asks `xen.sys` to take the emulated disks (DISKS) and adapters (NICS) away at the next start
//! (win-xenbus, xen/unplug.c). virt-v2v disables rhelscsi. Not verified: that Amazon's drivers have no other names; rhelfltr,
//! rhelnet and xencrsh.
//!
//! EC2's own machines and Xen's keep them.

use crate::edited::edited_sets;
use crate::filters::{is_class_filter, retire_drivers};
use crate::services::service_key;
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;

/// Drivers, and the two services that only watch drivers.
const DRIVERS: [&str; 18] = [
    "xenfilt",
    "scsifilt",
    "xenbus",
    "xenbus_monitor",
    "xencons",
    "xencons_monitor",
    "xencrsh",
    "xendisk",
    "xenhid",
    "xeniface",
    "xennet",
    "xenpvhvm",
    "xenvbd",
    "xenvif",
    "xenvkbd",
    "rhelfltr",
    "rhelnet",
    "rhelscsi",
];
const REASON: &str = "this driver works on Xen only, and keeps the disks from starting elsewhere";
const UNPLUG: &str = "asks to take emulated disks and adapters away";

pub(super) struct XenFilters;

/// What Amazon puts into its images is installed.
fn is_of_amazon(context: &Context<'_>) -> bool {
    const AMAZON: [&str; 6] =
        ["AWSNVMe", "ena", "AWSLiteAgent", "Ec2Config", "AmazonSSMAgent", "Amazon EC2Launch"];
    let windows = context.guest.windows.as_ref();
    windows.is_some_and(|windows| windows.agents.iter().any(|agent| AMAZON.contains(&agent.as_str())))
}

impl Fixup for XenFilters {
    fn id(&self) -> &'static str {
        "windows-xen-drivers"
    }

    fn title(&self) -> &'static str {
        "Xen's drivers and filters are disabled"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        // Amazon's images have them beside Nitro's drivers; those of other makers find no Xen there, and filter the disks all the same.
        let platform = context.target.platform;
        if platform == Platform::Xen || platform == Platform::Aws && is_of_amazon(context) {
            return Ok(Applies::no(format!("{} may need them", context.target.name)));
        }
        for set in edited_sets(context) {
            for name in DRIVERS {
                if draft.has_key(&service_key(set, name))? {
                    return Ok(Applies::Yes);
                }
            }
            if is_class_filter(draft, set, &DRIVERS)? {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("none of them is installed"))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for set in edited_sets(context) {
            let xen = service_key(set, "XEN");
            for name in ["DISKS", "NICS"] {
                draft.delete_value(&format!(r"{xen}\Unplug"), name, UNPLUG)?;
            }
            draft.delete_key(&format!(r"{xen}\ForceUnplug"), UNPLUG)?;
            retire_drivers(draft, set, &DRIVERS, REASON)?;
        }
        draft.note(
            "Xen's drivers stay installed and disabled: a person may uninstall them when the guest runs"
                .into(),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};
    use driver_registry::Value;

    const DISK_CONTROLLERS: &str = r"Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318}";
    const SYSTEM_DEVICES: &str = r"Control\Class\{4D36E97D-E325-11CE-BFC1-08002BE10318}";
    const CRITICAL: &str = r"Control\CriticalDeviceDatabase\PCI#VEN_8086&DEV_7010";
    const DEVICE: &str = r"Enum\PCI\VEN_8086&DEV_7010\3&1";

    fn ec2() -> Phony {
        let second = r"SYSTEM\ControlSet002";
        let list = Value::multi_string::<&str>;
        Phony::windows_2016()
            .value(r"SYSTEM\Select", "LastKnownGood", Value::dword(2))
            .service("xenbus", 1, 0)
            .service("xenfilt", 1, 0)
            .service("storahci", 1, 0)
            .value(&format!(r"{SET}\Services\XEN\Unplug"), "DISKS", Value::dword(1))
            .value(&format!(r"{SET}\Services\XEN\ForceUnplug"), "NICS", Value::dword(1))
            .value(&format!(r"{SET}\{DISK_CONTROLLERS}"), "UpperFilters", list(&["XENFILT"]))
            .value(&format!(r"{SET}\{SYSTEM_DEVICES}"), "UpperFilters", list(&["other", "xenfilt"]))
            .value(&format!(r"{SET}\{SYSTEM_DEVICES}"), "LowerFilters", list(&["scsifilt"]))
            .value(&format!(r"{SET}\{DEVICE}"), "LowerFilters", list(&["xenfilt", "a"]))
            .value(&format!(r"{SET}\{CRITICAL}"), "UpperFilters", list(&["xenfilt"]))
            .value(&format!(r"{second}\Services\xenfilt"), "Start", Value::dword(0))
            .value(&format!(r"{second}\{DISK_CONTROLLERS}"), "LowerFilters", list(&["xenfilt"]))
    }

    #[test]
    fn filters_go_before_their_services_in_every_control_set() {
        let (tree, edits) = carried_out(ec2(), "hyperv-gen1", &Wishes::NONE, &XenFilters);
        let value = |key: &str, name: &str| tree.registry_value(&format!(r"SYSTEM\{key}"), name).unwrap();
        for set in ["ControlSet001", "ControlSet002"] {
            for list in ["UpperFilters", "LowerFilters"] {
                assert_eq!(value(&format!(r"{set}\{DISK_CONTROLLERS}"), list), None, "{set} {list}");
            }
            assert_eq!(value(&format!(r"{set}\Services\xenfilt"), "Start"), Some(Value::dword(4)));
        }
        let first = |key: &str, name: &str| value(&format!(r"ControlSet001\{key}"), name);
        assert_eq!(first(SYSTEM_DEVICES, "UpperFilters"), Some(Value::multi_string(&["other"])));
        assert_eq!(first(SYSTEM_DEVICES, "LowerFilters"), None);
        assert_eq!(first(DEVICE, "LowerFilters"), Some(Value::multi_string(&["a"])));
        assert_eq!(first(CRITICAL, "UpperFilters"), None);
        assert_eq!(first(r"Services\XEN\Unplug", "DISKS"), None);
        assert!(tree.registry_key(&format!(r"{SET}\Services\XEN\ForceUnplug")).unwrap().is_none());
        assert_eq!(first(r"Services\storahci", "Start"), Some(Value::dword(0)));
        assert_eq!(edits.len(), 11, "{edits:#?}");
        let service = edits.iter().position(|edit| edit.contains("Start")).unwrap();
        let filter =
            edits.iter().rposition(|edit| edit.contains("ControlSet001") && edit.contains("Filters"));
        assert!(filter.unwrap() < service, "{edits:#?}");
    }

    #[test]
    fn xen_and_ec2_keep_their_drivers_and_a_filter_without_a_service_goes() {
        let amazon = || ec2().service("AmazonSSMAgent", 16, 2);
        for (phony, target, status) in [
            (ec2(), "xen-bios", Status::NotApplicable),
            (amazon(), "aws-bios", Status::NotApplicable),
            // Of another maker: there is no Xen for them.
            (ec2(), "aws-bios", Status::Planned),
        ] {
            let (tree, guest) = phony.build();
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &XenFilters);
            assert_eq!(planned.fixups[0].status, status, "{target}");
        }
        let (tree, guest) = Phony::windows_2016().build();
        let planned = plan(&tree, &guest, "hyperv-gen1", &Wishes::NONE, &XenFilters);
        assert_eq!(planned.fixups[0].status, Status::NotApplicable);
        let key = format!(r"{SET}\{DISK_CONTROLLERS}");
        let orphan = Phony::windows_2016().value(&key, "UpperFilters", Value::multi_string(&["xenfilt"]));
        let (_, edits) = carried_out(orphan, "kvm-bios", &Wishes::NONE, &XenFilters);
        assert_eq!(edits.len(), 1, "{edits:?}");
    }
}
