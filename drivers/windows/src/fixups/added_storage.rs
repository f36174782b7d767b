//! Controllers whose drivers are not part of Windows: virtio disks of KVM (viostor, vioscsi), VMware's PVSCSI.
//!
//! An installed driver is started by the boot loader; one of the packages that the operator gave is put in (`added_driver.rs` has the sources).
//! Only the driver of the disk that Windows starts from has to be put in like this; the packages themselves are installed by Windows at its first
//! start.

use crate::added_driver::{inject, start_at_boot};
use crate::storage::{Drivers, drivers_of, is_installed};
use driver_core::{Applies, Context, Draft, DriverPackage, DriverService, Fixup};
use format_core::Result;

pub(super) struct AddedStorage;

/// The driver's service, where the target needs one that is not part of Windows.
fn needed(context: &Context<'_>) -> Option<&'static str> {
    let windows = context.guest.windows.as_ref()?;
    match drivers_of(context.target.disk_bus, context.target.platform, windows) {
        Drivers::Added(service) => Some(service),
        Drivers::Inbox(_) => None,
    }
}

fn package<'a>(context: &Context<'a>, service: &str) -> Option<(&'a DriverPackage, &'a DriverService)> {
    context.wishes.drivers.iter().find_map(|package| Some((package, package.service(service)?)))
}

impl Fixup for AddedStorage {
    fn id(&self) -> &'static str {
        "windows-added-storage"
    }

    fn title(&self) -> &'static str {
        "start the driver of the target's virtual disks with Windows"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("it is not Windows")) };
        let Some(service) = needed(context) else {
            return Ok(Applies::no("the driver of the target's disks is part of Windows"));
        };
        if package(context, service).is_some() || is_installed(draft, windows, service)? {
            return Ok(Applies::Yes);
        }
        let next_step = match service {
            "pvscsi" => {
                "choose --disk-bus lsisas, sata or nvme, or install VMware Tools in the running guest first"
            }
            _ => {
                "give the virtio drivers with --virtio-win (the virtio-win ISO image or its folder), or choose --disk-bus sata or ide where \
                 the platform has it"
            }
        };
        let reason = format!("this Windows has no {service} driver, which the target's disks need");
        Ok(Applies::cannot(reason, next_step))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let (Some(windows), Some(name)) = (&context.guest.windows, needed(context)) else { return Ok(()) };
        // What runs in the guest already is as good as what the operator has, and was tried.
        if is_installed(draft, windows, name)? && !was_put_in(draft, name)? {
            return start_at_boot(draft, windows, name, "the target's disks need this driver");
        }
        let Some((package, service)) = package(context, name) else { return Ok(()) };
        if !windows.has_driver_database() {
            draft.note(
                "Windows 7 and Server 2008 R2 start a driver that is signed with SHA-2 only when update KB3033929 or a later one is \
                 installed"
                    .into(),
            );
        }
        let arch = context.guest.os.as_ref().and_then(|os| os.arch.as_deref());
        inject(draft, windows, arch, package, service)
    }
}

/// By an earlier run of this program.
fn was_put_in(draft: &Draft<'_>, service: &str) -> Result<bool> {
    draft.has_key(&format!(r"SYSTEM\DriverDatabase\DriverInfFiles\rehome_{}.inf", service.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan, target};
    use driver_core::{
        DriverDate, DriverDevice, PackageFile, ServiceData, ServiceValue, Status, Wishes, WriteMode,
    };
    use driver_registry::Value;

    const ID: &str = r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00";

    fn wishes() -> Wishes {
        let value = |key: &str, name: &str, value| ServiceValue {
            key: key.into(),
            name: name.into(),
            value,
            mode: WriteMode::Set,
        };
        let service = DriverService {
            name: "viostor".into(),
            display_name: None,
            service_type: 1,
            start: 0,
            error_control: 1,
            load_order_group: Some("SCSI miniport".into()),
            dependencies: Vec::new(),
            binary: "viostor.sys".into(),
            binary_dirid: Some(12),
            values: vec![
                value("Parameters", "BusType", ServiceData::Dword(1)),
                value(r"Parameters\PnpInterface", "5", ServiceData::Dword(1)),
            ],
        };
        let device = DriverDevice {
            hardware_id: ID.into(),
            is_compatible_id: false,
            description: "disk".into(),
            service: Some("viostor".into()),
            values: Vec::new(),
        };
        let compatible = DriverDevice {
            hardware_id: r"PCI\VEN_1AF4&DEV_1001".into(),
            is_compatible_id: true,
            ..device.clone()
        };
        let file =
            PackageFile { name: "viostor.sys".into(), target: None, content: b"driver".to_vec().into() };
        let package = DriverPackage {
            inf: "viostor.inf".into(),
            source: "viostor/2k16/amd64".into(),
            provider: "x".into(),
            class: "SCSIAdapter".into(),
            class_guid: "{4d36e97b-e325-11ce-bfc1-08002be10318}".into(),
            date: DriverDate::default(),
            version: [100, 90, 0, 1],
            catalog: None,
            services: vec![service],
            devices: vec![device, compatible],
            files: vec![file],
            notes: Vec::new(),
        };
        Wishes { drivers: vec![package], ..Wishes::NONE }
    }

    #[test]
    fn a_package_is_put_in_as_its_inf_says() {
        let (tree, words) = carried_out(Phony::windows_2016(), "kvm-bios", &wishes(), &AddedStorage);
        let value = |key: &str, name: &str| tree.registry_value(key, name).unwrap();
        let service = format!(r"{SET}\Services\viostor");
        assert_eq!(value(&format!(r"{service}\Parameters"), "BusType"), Some(Value::dword(1)));
        assert_eq!(value(&format!(r"{service}\Parameters\PnpInterface"), "5"), Some(Value::dword(1)));
        assert_eq!(value(&service, "Start"), Some(Value::dword(0)));
        let device = r"SYSTEM\DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00";
        assert_eq!(value(device, "rehome_viostor.inf"), Some(Value::binary([1, 255, 0, 0])));
        let device = r"SYSTEM\DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1001";
        assert_eq!(value(device, "rehome_viostor.inf"), Some(Value::binary([2, 255, 0, 0])));
        assert_eq!(tree.read_file("/Windows/System32/drivers/viostor.sys", 9).unwrap().unwrap(), b"driver");
        assert!(!words.iter().any(|word| word.contains("CriticalDeviceDatabase")));
    }

    #[test]
    fn windows_2008_r2_knows_it_by_critical_devices() {
        let (tree, words) = carried_out(Phony::windows_2008_r2(), "kvm-bios", &wishes(), &AddedStorage);
        let key = format!(r"{SET}\Control\CriticalDeviceDatabase\{}", ID.replace('\\', "#"));
        assert_eq!(tree.registry_value(&key, "Service").unwrap(), Some(Value::string("viostor")));
        assert!(!words.iter().any(|word| word.contains("DriverDatabase\\")));
    }

    #[test]
    fn what_is_installed_is_used_and_what_is_missing_needs_a_person() {
        let phony = Phony::windows_2016().service("vioscsi", 1, 3);
        let (_, words) = carried_out(phony, "proxmox-bios", &Wishes::NONE, &AddedStorage);
        assert_eq!(words.len(), 1, "{words:?}");
        let (tree, guest) = Phony::windows_2016().build();
        for (id, status) in [
            ("kvm-bios", Status::Cannot),
            ("vmware-bios", Status::Cannot),
            ("hyperv-gen1", Status::NotApplicable),
        ] {
            assert_eq!(
                plan(&tree, &guest, id, &Wishes::NONE, &AddedStorage).fixups[0].status,
                status,
                "{id}"
            );
            assert_eq!(target(id).id, id);
        }
    }
}
