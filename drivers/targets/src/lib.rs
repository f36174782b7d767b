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
}
