//! What each hypervisor and cloud needs from a guest, as data: a file per family.

mod clouds;
mod hyperv;
mod kvm;
mod vmware;
mod xen;

use driver_core::{Firmware, Platform, Target};

pub use hyperv::{GENERATION_1, GENERATION_2};

/// Every target: a platform with one of its firmwares and one of its disk controllers.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    let families: [&'static [&'static Target]; 5] =
        [&hyperv::TARGETS, &kvm::TARGETS, &vmware::TARGETS, &xen::TARGETS, &clouds::TARGETS];
    families.into_iter().flatten().copied()
}

/// The target with that platform and firmware, and the controller that was asked for or is usual there.
#[must_use]
pub fn target(platform: Platform, firmware: Firmware, disk_bus: Option<&str>) -> Option<&'static Target> {
    targets().find(|target| {
        let fits = match disk_bus {
            Some(bus) => target.disk_bus == bus,
            None => target.is_default,
        };
        target.platform == platform && target.firmware == firmware && fits
    })
}

/// The network driver for the adapter that a guest gets who has no driver of virtualisation: Windows without the
/// platform's tools. `None` where there is no such adapter.
///
/// Every one is an Intel adapter that the platform emulates and Windows has a driver for (VMware, "Network Adapter Types";
/// VirtualBox user manual, "Virtual Networking Hardware"; xl.cfg(5), "model"; pve documentation, "Network Device"). That of
/// the 82574 (`e1000e`) is in Windows 7, Server 2008 R2 and later, as is AHCI; that of the 82540 (`e1000`) in older ones, too
/// (osinfo-db, devices of `win-7`, `win-2k8r2` and `win-xp`).
#[must_use]
pub fn plain_network_module(target: &Target) -> Option<&'static str> {
    match (target.platform, target.firmware, target.disk_bus) {
        // A PVH guest has no emulated devices; the others emulate none.
        (_, Firmware::Host, _) | (Platform::HyperV | Platform::Azure | Platform::Gcp | Platform::Aws, ..) => {
            None
        }
        // The i440fx machine of IDE disks has no PCI Express.
        (Platform::Kvm, _, "ide") | (Platform::Proxmox | Platform::VirtualBox | Platform::Xen, ..) => {
            Some("e1000")
        }
        (Platform::Kvm | Platform::KubeVirt | Platform::Vmware, ..) => Some("e1000e"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_target_is_found_by_what_it_is_and_no_id_is_used_twice() {
        let mut ids = BTreeSet::new();
        for wanted in targets() {
            assert!(ids.insert(wanted.id), "{}", wanted.id);
            let found = target(wanted.platform, wanted.firmware, Some(wanted.disk_bus)).unwrap();
            assert_eq!(found.id, wanted.id);
            assert!(target(wanted.platform, wanted.firmware, None).unwrap().is_default);
            assert!(wanted.boot_modules.contains(&wanted.network_module), "{}", wanted.id);
            let kinds: BTreeSet<&str> = wanted.definitions.iter().map(|kind| kind.id).collect();
            assert!(!kinds.is_empty() && kinds.len() == wanted.definitions.len(), "{}", wanted.id);
        }
        assert!(target(Platform::HyperV, Firmware::Bios, Some("virtio-blk")).is_none());
    }

    /// What a target without drivers of virtualisation says about its adapter is the same everywhere.
    #[test]
    fn emulated_controllers_come_with_the_plain_adapter() {
        const OWN: &[&str] = &["virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "ena"];
        for target in targets() {
            let plain = plain_network_module(target);
            if !OWN.contains(&target.network_module) {
                assert_eq!(plain, Some(target.network_module), "{}", target.id);
            }
            assert!(plain.is_none_or(|module| !OWN.contains(&module)), "{}", target.id);
        }
        let of = |id: &str| plain_network_module(targets().find(|target| target.id == id).unwrap());
        assert_eq!((of("vmware-uefi-nvme"), of("xen-bios")), (Some("e1000e"), Some("e1000")));
        assert_eq!((of("xen-pvh"), of("hyperv-gen2"), of("aws-uefi")), (None, None, None));
    }

    #[test]
    fn windows_finds_controllers_that_it_knows() {
        for (platform, bus) in [
            (Platform::Vmware, "lsisas"),
            (Platform::Vmware, "sata"),
            (Platform::Vmware, "nvme"),
            (Platform::Proxmox, "sata"),
            (Platform::Proxmox, "ide"),
            (Platform::Kvm, "sata"),
            (Platform::KubeVirt, "sata"),
            (Platform::VirtualBox, "sata"),
        ] {
            for firmware in [Firmware::Bios, Firmware::Uefi] {
                let found = target(platform, firmware, Some(bus)).unwrap();
                assert!(plain_network_module(found).is_some());
            }
        }
    }
}
