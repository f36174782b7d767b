//! What QEMU emulates, and what of it each target gets. Data only.
//!
//! SeaBIOS starts from all controllers of [`CONTROLLERS`] (its Kconfig, "Hardware support"). The UEFI that Debian and
//! others build for QEMU has drivers for virtio, NVMe, AHCI and PIIX IDE, and none for PVSCSI and LSI's SAS
//! (edk2, OvmfPkg: `PVSCSI_ENABLE`, `MPT_SCSI_ENABLE` are off).

use driver_core::{Firmware, Platform, Target};

/// A disk controller of QEMU, with the board that it is on.
pub(crate) struct Controller {
    pub(crate) name: &'static str,
    pub(crate) board: &'static str,
    /// Devices that come before the disks.
    pub(crate) devices: &'static [&'static str],
    /// The device of one disk; `{n}` is its number, `{half}` and `{odd}` are that as bus and unit of two by two.
    pub(crate) disk: &'static str,
    pub(crate) most_disks: usize,
    /// Whether QEMU's UEFI has a driver for it.
    pub(crate) in_uefi: bool,
    /// What Linux needs at boot.
    pub(crate) modules: &'static [&'static str],
    /// Services of Windows, of which one has to start at boot.
    pub(crate) services: &'static [&'static str],
}

const IDE: Controller = Controller {
    name: "ide",
    board: "pc",
    devices: &[],
    disk: "ide-hd,bus=ide.{half},unit={odd}",
    most_disks: 4,
    in_uefi: true,
    modules: &["ata_piix", "sd_mod"],
    services: &["intelide"],
};

const SATA: Controller = Controller {
    name: "sata",
    board: "q35",
    devices: &[],
    disk: "ide-hd,bus=ide.{n}",
    most_disks: 6,
    in_uefi: true,
    modules: &["ahci", "sd_mod"],
    services: &["storahci", "msahci"],
};

/// AHCI on the older board, as Proxmox and VirtualBox have it.
const SATA_CARD: Controller = Controller {
    name: "sata (ich9-ahci)",
    board: "pc",
    devices: &["ich9-ahci,id=sata"],
    disk: "ide-hd,bus=sata.{n}",
    ..SATA
};

const NVME: Controller = Controller {
    name: "nvme",
    board: "pc",
    devices: &[],
    disk: "nvme,serial=vol0rehome{n}",
    most_disks: 8,
    in_uefi: true,
    modules: &["nvme"],
    services: &["stornvme"],
};

const VIRTIO_BLK: Controller = Controller {
    name: "virtio-blk",
    board: "q35",
    devices: &[],
    disk: "virtio-blk-pci",
    most_disks: 16,
    in_uefi: true,
    modules: &["virtio_pci", "virtio_blk"],
    services: &["viostor"],
};

const VIRTIO_SCSI: Controller = Controller {
    name: "virtio-scsi",
    board: "q35",
    devices: &["virtio-scsi-pci,id=scsi"],
    disk: "scsi-hd,bus=scsi.0,scsi-id={n}",
    most_disks: 64,
    in_uefi: true,
    modules: &["virtio_pci", "virtio_scsi", "sd_mod"],
    services: &["vioscsi"],
};

const PVSCSI: Controller = Controller {
    name: "pvscsi",
    board: "pc",
    devices: &["pvscsi,id=scsi"],
    disk: "scsi-hd,bus=scsi.0,scsi-id={n}",
    most_disks: 7,
    in_uefi: false,
    modules: &["vmw_pvscsi", "sd_mod"],
    services: &["pvscsi"],
};

const LSI_SAS: Controller = Controller {
    name: "mptsas1068",
    board: "pc",
    devices: &["mptsas1068,id=scsi"],
    disk: "scsi-hd,bus=scsi.0,scsi-id={n}",
    most_disks: 7,
    in_uefi: false,
    modules: &["mptsas", "sd_mod"],
    services: &["LSI_SAS"],
};

/// One kind of target.
pub(crate) struct Stage {
    platforms: &'static [Platform],
    /// The target's controller; `None` is any.
    disk_bus: Option<&'static str>,
    firmware: Option<Firmware>,
    /// The target's own controller, where QEMU emulates it.
    pub(crate) own: Option<&'static Controller>,
    /// What can take its place, the best first.
    pub(crate) stand_ins: &'static [&'static Controller],
    /// What a guest needs at boot on the real thing, for Linux and for Windows: looked at where something else stands in.
    pub(crate) modules: &'static [&'static str],
    pub(crate) services: &'static [&'static str],
    /// How what is started differs from the target, whatever the controller.
    pub(crate) difference: Option<&'static str>,
}

const ANY: [&Controller; 5] = [&SATA, &VIRTIO_SCSI, &NVME, &VIRTIO_BLK, &IDE];
const HYPERV: &[Platform] = &[Platform::HyperV, Platform::Azure];
const VMBUS: &str =
    "VMBus, its disks and its network adapter cannot be emulated: Hyper-V's own drivers were not exercised";

const EXACT: Stage = Stage {
    platforms: &[Platform::Kvm, Platform::Proxmox, Platform::KubeVirt, Platform::Gcp],
    disk_bus: None,
    firmware: None,
    own: None,
    stand_ins: &[],
    modules: &[],
    services: &[],
    difference: None,
};

const VMWARE: Stage = Stage {
    platforms: &[Platform::Vmware],
    stand_ins: &ANY,
    difference: Some("the board, the screen and the firmware are QEMU's, not VMware's"),
    ..EXACT
};

/// The first that fits counts.
pub(crate) static STAGES: [Stage; 16] = [
    Stage { disk_bus: Some("virtio-blk"), own: Some(&VIRTIO_BLK), ..EXACT },
    Stage { disk_bus: Some("virtio-scsi"), own: Some(&VIRTIO_SCSI), ..EXACT },
    Stage { platforms: &[Platform::Proxmox], disk_bus: Some("sata"), own: Some(&SATA_CARD), ..EXACT },
    Stage { disk_bus: Some("sata"), own: Some(&SATA), ..EXACT },
    Stage { disk_bus: Some("ide"), own: Some(&IDE), ..EXACT },
    Stage {
        platforms: &[Platform::VirtualBox],
        own: Some(&SATA_CARD),
        difference: Some("the board, the screen and the firmware are QEMU's, not VirtualBox's"),
        ..EXACT
    },
    Stage {
        platforms: HYPERV,
        firmware: Some(Firmware::Bios),
        own: Some(&IDE),
        stand_ins: &ANY,
        modules: &["hv_vmbus", "hv_storvsc", "sd_mod"],
        services: &["storvsc"],
        difference: Some(VMBUS),
        ..EXACT
    },
    Stage {
        platforms: HYPERV,
        stand_ins: &ANY,
        modules: &["hv_vmbus", "hv_storvsc", "sd_mod"],
        services: &["storvsc"],
        difference: Some(VMBUS),
        ..EXACT
    },
    Stage {
        disk_bus: Some("pvscsi"),
        own: Some(&PVSCSI),
        modules: PVSCSI.modules,
        services: PVSCSI.services,
        ..VMWARE
    },
    Stage {
        disk_bus: Some("lsisas"),
        own: Some(&LSI_SAS),
        modules: LSI_SAS.modules,
        services: LSI_SAS.services,
        ..VMWARE
    },
    Stage {
        disk_bus: Some("lsilogic"),
        modules: &["mptspi", "sd_mod"],
        services: &["LSI_SCSI", "symmpi"],
        ..VMWARE
    },
    Stage { disk_bus: Some("nvme"), own: Some(&NVME), ..VMWARE },
    Stage { disk_bus: Some("sata"), own: Some(&SATA), ..VMWARE },
    Stage {
        platforms: &[Platform::Xen],
        firmware: Some(Firmware::Bios),
        own: Some(&IDE),
        stand_ins: &ANY,
        modules: &["xen_blkfront"],
        services: &["xenvbd"],
        difference: Some("Xen's own disks and adapters are not emulated: their drivers were not exercised"),
        ..EXACT
    },
    Stage {
        platforms: &[Platform::Xen],
        firmware: Some(Firmware::Uefi),
        own: Some(&IDE),
        stand_ins: &ANY,
        modules: &["xen_blkfront"],
        services: &["xenvbd"],
        difference: Some("Xen's own disks and adapters are not emulated: their drivers were not exercised"),
        ..EXACT
    },
    Stage {
        platforms: &[Platform::Aws],
        own: Some(&NVME),
        difference: Some("the network adapter ENA is not emulated: an Intel 82574 is in its place"),
        ..EXACT
    },
];

impl Stage {
    /// The stage for `target`; `None` where nothing of QEMU's comes near.
    pub(crate) fn of(target: &Target) -> Option<&'static Self> {
        STAGES.iter().find(|stage| {
            stage.platforms.contains(&target.platform)
                && stage.disk_bus.is_none_or(|bus| bus == target.disk_bus)
                && stage.firmware.is_none_or(|firmware| firmware == target.firmware)
                && target.firmware != Firmware::Host
        })
    }
}

/// The network adapter that comes nearest, by the driver that the target wants.
pub(crate) fn adapter(target: &Target) -> Option<&'static str> {
    match (target.network_module, target.firmware) {
        ("virtio_net", _) => Some("virtio-net-pci"),
        ("vmxnet3", _) => Some("vmxnet3"),
        // What a machine of generation 1 shows to a guest without Hyper-V's drivers: a DEC 21140.
        ("hv_netvsc", Firmware::Bios) => Some("tulip"),
        ("hv_netvsc", _) => None,
        ("e1000" | "xen_netfront", _) => Some("e1000"),
        _ => Some("e1000e"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_but_those_without_firmware_has_a_stage() {
        for target in driver_targets::targets() {
            let stage = Stage::of(target);
            assert_eq!(stage.is_some(), target.firmware != Firmware::Host, "{}", target.id);
            let Some(stage) = stage else { continue };
            let usable = |controller: &&Controller| controller.in_uefi || target.firmware == Firmware::Bios;
            let mut all = stage.own.iter().chain(stage.stand_ins).copied();
            assert!(all.any(|controller| usable(&controller)), "{}", target.id);
            // Where something stands in, it has to be known what the real thing needs.
            let needs_stand_in = stage.own.is_none_or(|own| !usable(&own));
            assert!(
                !needs_stand_in || !stage.modules.is_empty() && !stage.services.is_empty(),
                "{}",
                target.id
            );
        }
        let own = |id: &str| {
            let target = driver_targets::targets().find(|target| target.id == id).unwrap();
            Stage::of(target).unwrap().own.map(|own| own.name)
        };
        assert_eq!(own("hyperv-gen1"), Some("ide"));
        assert_eq!(own("hyperv-gen2"), None);
        assert_eq!(own("aws-bios"), Some("nvme"));
        assert_eq!(own("vmware-bios"), Some("pvscsi"));
        assert_eq!(own("proxmox-bios-sata"), Some("sata (ich9-ahci)"));
        assert_eq!(own("gcp-uefi"), Some("virtio-scsi"));
    }
}
