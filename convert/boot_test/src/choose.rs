//! Which devices a guest is started on.

use crate::controllers::{Controller, Stage};
use driver_core::{DriverState, Firmware, Guest, Target};
use format_core::{Error, Result};

/// What a guest is started on.
pub(crate) struct Choice {
    pub(crate) controller: &'static Controller,
    /// Whether it is the target's own controller.
    pub(crate) is_own: bool,
    /// How what is started differs from the target, a sentence each.
    pub(crate) differences: Vec<String>,
}

/// What came of choosing.
pub(crate) enum Chosen {
    Devices(Choice),
    /// The guest lacks what the real thing needs, which what stands in would hide.
    NoDriver(String),
}

/// Chooses the target's own controller where QEMU and its firmware have it, else one that the guest can start from. What is known of the
/// guest decides; of a guest that nothing is known about the first that the firmware can start from is taken.
///
/// # Errors
/// `Unsupported` for a target without firmware; `NeedsPerson` when the guest is ready for the target, and for nothing that QEMU has.
pub(crate) fn choose(target: &Target, guest: Option<&Guest>, disks: usize) -> Result<Chosen> {
    let stage = Stage::of(target).ok_or_else(|| {
        Error::unsupported(format!("QEMU has no machine like {}", target.name))
            .hint("a PVH guest has no firmware: try it with --target xen-bios or on the host itself")
    })?;
    let usable = |controller: &&&'static Controller| {
        (controller.in_uefi || target.firmware != Firmware::Uefi) && disks <= controller.most_disks
    };
    let mut differences: Vec<String> = stage.difference.map(str::to_owned).into_iter().collect();
    let guest = guest.filter(|guest| is_known(guest));
    let own = stage.own.as_ref().filter(usable);
    let has = |modules, services| guest.is_some_and(|guest| starts_with(guest, modules, services));
    if let Some(own) = own
        && (stage.modules.is_empty()
            || stage.modules == own.modules
            || has(own.modules, own.services)
            // Without drivers for either it fails here as it does there.
            || !has(stage.modules, stage.services))
    {
        return Ok(Chosen::Devices(Choice { controller: own, is_own: true, differences }));
    }
    let mut stand_ins = stage.stand_ins.iter().filter(usable);
    let Some(guest) = guest else {
        let first = stand_ins.next().ok_or_else(|| too_many(target, disks))?;
        differences.push(format!(
            "the disks are on {} in place of the target's controller, and which drivers the guest has is not known",
            first.name
        ));
        return Ok(Chosen::Devices(Choice { controller: first, is_own: false, differences }));
    };
    if !starts_with(guest, stage.modules, stage.services) {
        let wanted = if guest.windows.is_some() { stage.services } else { stage.modules };
        return Ok(Chosen::NoDriver(format!(
            "the guest does not have at boot what {} needs: {}",
            target.name,
            wanted.join(if guest.windows.is_some() { " or " } else { ", " })
        )));
    }
    let stand_in = stand_ins.find(|controller| starts_with(guest, controller.modules, controller.services));
    let controller = stand_in.ok_or_else(|| no_stand_in(stage, target, disks))?;
    differences.push(format!(
        "the disks are on {} in place of the target's controller, whose driver the guest has but did not use",
        controller.name
    ));
    Ok(Chosen::Devices(Choice { controller, is_own: false, differences }))
}

fn too_many(target: &Target, disks: usize) -> Error {
    Error::unsupported(format!("{disks} disks are more than QEMU takes at the controller of {}", target.name))
}

fn no_stand_in(stage: &Stage, target: &Target, disks: usize) -> Error {
    let names: Vec<&str> = stage
        .stand_ins
        .iter()
        .filter(|controller| controller.in_uefi && disks <= controller.most_disks)
        .map(|controller| controller.name)
        .collect();
    if names.is_empty() {
        return too_many(target, disks);
    }
    Error::needs_person(format!(
        "the guest has at boot what {} needs, which QEMU cannot emulate, and no driver for what could stand in: {}",
        target.name,
        names.join(", ")
    ))
    .hint("for a test, migrate it with --add-module ahci on top, and leave that out of the migration that counts")
}

/// Whether it is known what the guest has at boot.
fn is_known(guest: &Guest) -> bool {
    guest.windows.is_some() || guest.kernels.iter().any(|kernel| !kernel.drivers.is_empty())
}

/// Whether the guest has these drivers when it mounts its root: all modules, or one of the services.
fn starts_with(guest: &Guest, modules: &[&str], services: &[&str]) -> bool {
    if let Some(windows) = &guest.windows {
        let is_one = |own: &String| services.iter().any(|service| own.eq_ignore_ascii_case(service));
        return windows.boot_drivers.iter().any(is_one);
    }
    let has_default = guest.kernels.iter().any(|kernel| kernel.default);
    let mut kernels = guest.kernels.iter().filter(|kernel| kernel.default || !has_default);
    kernels.any(|kernel| {
        modules.iter().all(|module| {
            let mut drivers = kernel.drivers.iter();
            drivers
                .any(|own| own.module == *module && (own.state == DriverState::BuiltIn || own.in_initramfs))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DriverFacts, KernelFacts};

    fn guest(modules: &[&str]) -> Guest {
        let driver = |module: &&str| DriverFacts {
            module: (*module).into(),
            state: DriverState::Module,
            in_initramfs: true,
        };
        let kernel = KernelFacts {
            version: "6.1".into(),
            image: None,
            initramfs: None,
            initramfs_kind: None,
            default: true,
            drivers: modules.iter().map(driver).collect(),
        };
        Guest { kernels: vec![kernel], ..Guest::default() }
    }

    fn chosen(id: &str, guest: Option<&Guest>) -> std::result::Result<(&'static str, bool), String> {
        let target = driver_targets::targets().find(|target| target.id == id).unwrap();
        match choose(target, guest, 1) {
            Ok(Chosen::Devices(choice)) => Ok((choice.controller.name, choice.is_own)),
            Ok(Chosen::NoDriver(text)) => Err(text),
            Err(error) => Err(format!("{:?}: {error}", error.kind())),
        }
    }

    #[test]
    fn what_stands_in_is_what_the_guest_starts_from_and_hides_no_lack() {
        let hyperv = ["hv_vmbus", "hv_storvsc", "sd_mod"];
        let with = |more: &[&'static str]| guest(&[&hyperv[..], more].concat());
        assert_eq!(chosen("hyperv-gen2", Some(&with(&["nvme"]))), Ok(("nvme", false)));
        assert_eq!(chosen("hyperv-gen2", Some(&with(&["nvme", "ahci"]))), Ok(("sata", false)));
        assert!(chosen("hyperv-gen2", Some(&with(&[]))).unwrap_err().starts_with("NeedsPerson"));
        // It starts on NVMe here, and on no Hyper-V.
        assert!(chosen("hyperv-gen2", Some(&guest(&["nvme"]))).unwrap_err().contains("hv_vmbus, hv_storvsc"));
        assert_eq!(chosen("hyperv-gen2", None), Ok(("sata", false)));
        // Generation 1 has a real IDE controller, and its disks are on VMBus, too.
        assert_eq!(chosen("hyperv-gen1", Some(&guest(&["nvme"]))), Ok(("ide", true)));
        assert_eq!(chosen("hyperv-gen1", Some(&with(&["ata_piix"]))), Ok(("ide", true)));
        assert_eq!(chosen("hyperv-gen1", Some(&with(&["nvme"]))), Ok(("nvme", false)));
        assert_eq!(chosen("hyperv-gen1", None), Ok(("ide", true)));
    }

    #[test]
    fn the_targets_own_controller_is_taken_where_the_firmware_starts_from_it() {
        let pvscsi = guest(&["vmw_pvscsi", "sd_mod", "ahci"]);
        assert_eq!(chosen("vmware-bios", Some(&pvscsi)), Ok(("pvscsi", true)));
        assert_eq!(chosen("vmware-bios", Some(&guest(&["nvme"]))), Ok(("pvscsi", true)));
        assert_eq!(chosen("vmware-uefi", Some(&pvscsi)), Ok(("sata", false)));
        assert!(chosen("vmware-uefi", Some(&guest(&["nvme"]))).unwrap_err().contains("vmw_pvscsi"));
        assert_eq!(chosen("kvm-uefi", Some(&guest(&["nvme"]))), Ok(("virtio-blk", true)));
        assert!(chosen("xen-pvh", None).unwrap_err().starts_with("Unsupported"));
        let target = driver_targets::targets().find(|target| target.id == "kvm-bios-ide").unwrap();
        assert!(choose(target, None, 4).is_ok() && choose(target, None, 5).is_err());
    }

    #[test]
    fn windows_is_asked_for_its_services() {
        let windows =
            driver_core::WindowsFacts { boot_drivers: vec!["StorVSC".into()], ..Default::default() };
        let mut guest = Guest { windows: Some(windows), ..Guest::default() };
        assert!(chosen("hyperv-gen2", Some(&guest)).unwrap_err().starts_with("NeedsPerson"));
        guest.windows.as_mut().unwrap().boot_drivers.push("storahci".into());
        assert_eq!(chosen("hyperv-gen2", Some(&guest)), Ok(("sata", false)));
        guest.windows.as_mut().unwrap().boot_drivers.remove(0);
        assert!(chosen("hyperv-gen2", Some(&guest)).unwrap_err().contains("storvsc"));
    }
}
