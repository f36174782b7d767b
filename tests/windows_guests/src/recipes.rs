//! The list of recipes.

use crate::recipe::{Adapter, Address, Layout, Recipe, Release, Source, Special};

const DHCP: Adapter = Adapter {
    guid: "{4A1C0A66-8A1D-4E7B-9C55-0F2B6F3D9A11}",
    name: "Ethernet",
    address: Address::Dhcp { leased: "10.0.1.195", gateway: "10.0.1.1" },
};

const STATIC: Adapter = Adapter {
    guid: "{7D9E5B30-61C4-4F0C-8E0A-1B7C2D3E4F55}",
    name: "Ethernet",
    address: Address::Static {
        addresses: &["10.0.2.15", "10.0.2.16"],
        masks: &["255.255.255.0", "255.255.255.0"],
        gateway: Some("10.0.2.1"),
        dns: "10.0.0.2,10.0.0.3",
    },
};

const STORAGE_NET: Adapter = Adapter {
    guid: "{91B3C2D4-0A5E-4B6F-A7C8-D9E0F1A2B3C4}",
    name: "Ethernet 2",
    address: Address::Static {
        addresses: &["192.168.50.10"],
        masks: &["255.255.255.0"],
        gateway: None,
        dns: "",
    },
};

const UEFI: Layout = Layout::Uefi { fallback: true };

/// All phony guests.
#[must_use]
pub fn recipes() -> &'static [Recipe] {
    &RECIPES
}

/// The recipe of this name.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn recipe(name: &str) -> &'static Recipe {
    RECIPES.iter().find(|recipe| recipe.name == name).unwrap_or_else(|| panic!("no recipe is called {name}"))
}

static RECIPES: [Recipe; 18] = [
    Recipe {
        name: "2016-xen-bios",
        about: "EC2 on Xen with AWS PV drivers and EC2Launch v1, one partition, static addresses",
        release: Release::Server2016,
        source: Source::AwsXen,
        layout: Layout::BiosSingle,
        adapters: &[STATIC],
        specials: &[Special::UtcClock, Special::SerialConsole, Special::OwnRoute],
    },
    Recipe {
        name: "2022-nitro-uefi",
        about: "EC2 on Nitro with AWS NVMe, ENA and EC2Launch v2, by DHCP",
        release: Release::Server2022,
        source: Source::AwsNitro,
        layout: UEFI,
        adapters: &[DHCP],
        specials: &[Special::UtcClock, Special::SerialConsole],
    },
    Recipe {
        name: "2008r2-vmware-bios",
        about: "VMware with LSI Logic SAS and Tools, a last known good control set of its own",
        release: Release::Server2008R2,
        source: Source::VmwareLsi,
        layout: Layout::BiosReserved,
        adapters: &[DHCP],
        specials: &[],
    },
    Recipe {
        name: "2008r2-xen-bios",
        about: "EC2 on Xen with AWS PV drivers and EC2Config",
        release: Release::Server2008R2,
        source: Source::AwsXen,
        layout: Layout::BiosSingle,
        adapters: &[DHCP],
        specials: &[Special::UtcClock],
    },
    Recipe {
        name: "2012r2-citrix-bios",
        about: "XenServer with PV drivers and management agent",
        release: Release::Server2012R2,
        source: Source::Citrix,
        layout: Layout::BiosReserved,
        adapters: &[STATIC],
        specials: &[],
    },
    Recipe {
        name: "2012r2-physical-bios",
        about: "a server with a MegaRAID controller, two static adapters, antivirus and a data disk",
        release: Release::Server2012R2,
        source: Source::PhysicalMegasas,
        layout: Layout::BiosReserved,
        adapters: &[STATIC, STORAGE_NET],
        specials: &[Special::Antivirus, Special::StoreOnly, Special::DataDisk],
    },
    Recipe {
        name: "2016-nitro-bios",
        about: "EC2 that moved from Xen to Nitro: BIOS, both kinds of drivers, EC2Launch v1",
        release: Release::Server2016,
        source: Source::AwsNitro,
        layout: Layout::BiosSingle,
        adapters: &[DHCP],
        specials: &[Special::UtcClock, Special::MovedFromXen],
    },
    Recipe {
        name: "2016-vmware-uefi",
        about: "VMware with PVSCSI and two static VMXNET3 adapters, no fallback boot loader",
        release: Release::Server2016,
        source: Source::VmwarePvscsi,
        layout: Layout::Uefi { fallback: false },
        adapters: &[STATIC, STORAGE_NET],
        specials: &[],
    },
    Recipe {
        name: "2016-physical-dynamic",
        about: "a server with a MegaRAID controller and a dynamic MBR disk",
        release: Release::Server2016,
        source: Source::PhysicalMegasas,
        layout: Layout::BiosReserved,
        adapters: &[DHCP],
        specials: &[Special::DynamicDisk],
    },
    Recipe {
        name: "2019-kvm-uefi-pending",
        about: "KVM with virtio-blk; updates wait for a reboot",
        release: Release::Server2019,
        source: Source::VirtioBlk,
        layout: UEFI,
        adapters: &[STATIC],
        specials: &[Special::PendingReboot],
    },
    Recipe {
        name: "2019-hyperv-bios-dirty",
        about: "Hyper-V generation 1, switched off: the newest changes of SYSTEM are in its logs",
        release: Release::Server2019,
        source: Source::HyperV,
        layout: Layout::BiosReserved,
        adapters: &[DHCP],
        specials: &[Special::DirtyHive],
    },
    Recipe {
        name: "2019-virtualbox-bios",
        about: "VirtualBox with SATA and Guest Additions",
        release: Release::Server2019,
        source: Source::VirtualBox,
        layout: Layout::BiosReserved,
        adapters: &[DHCP],
        specials: &[Special::UtcClock],
    },
    Recipe {
        name: "2022-kvm-uefi-compact",
        about: "KVM with virtio-scsi, system files compressed by CompactOS",
        release: Release::Server2022,
        source: Source::VirtioScsi,
        layout: UEFI,
        adapters: &[DHCP],
        specials: &[Special::CompactOs],
    },
    Recipe {
        name: "2022-hyperv-uefi",
        about: "Hyper-V generation 2",
        release: Release::Server2022,
        source: Source::HyperV,
        layout: UEFI,
        adapters: &[STATIC],
        specials: &[],
    },
    Recipe {
        name: "2022-nitro-uefi-sysprep",
        about: "an image for EC2, generalised by sysprep",
        release: Release::Server2022,
        source: Source::AwsNitro,
        layout: UEFI,
        adapters: &[DHCP],
        specials: &[Special::Sysprepped],
    },
    Recipe {
        name: "11-physical-uefi-hibernated",
        about: "a workstation with an Intel RAID controller that was shut down with Fast Startup",
        release: Release::Windows11,
        source: Source::PhysicalIntelRaid,
        layout: UEFI,
        adapters: &[DHCP],
        specials: &[Special::Hibernated],
    },
    Recipe {
        name: "11-kvm-uefi-bitlocker",
        about: "KVM with virtio-blk, C: encrypted by BitLocker",
        release: Release::Windows11,
        source: Source::VirtioBlk,
        layout: UEFI,
        adapters: &[DHCP],
        specials: &[Special::BitLocker],
    },
    Recipe {
        name: "7-vmware-bios-x86",
        about: "a 32-bit client on VMware",
        release: Release::Windows7X86,
        source: Source::VmwareLsi,
        layout: Layout::BiosReserved,
        adapters: &[DHCP],
        specials: &[],
    },
];
