//! What a recipe says: a version of Windows, where it ran, how its disk is laid out, its network, and what is special.

/// A phony guest. `crate::recipes` lists them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Recipe {
    /// Short name, as in `2016-xen-bios`: version, source, firmware, and what is special. Names a folder, too.
    pub name: &'static str,
    /// What it stands for, in a sentence.
    pub about: &'static str,
    /// The version of Windows.
    pub release: Release,
    /// Where the guest ran: its drivers, devices and agents.
    pub source: Source,
    /// Firmware and partitions.
    pub layout: Layout,
    /// Network adapters, in the order in which Windows found them.
    pub adapters: &'static [Adapter],
    /// What else is special about it.
    pub specials: &'static [Special],
}

/// A version of Windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// Windows 7 Professional SP1, 32 bit, build 7601.
    Windows7X86,
    /// Windows Server 2008 R2 SP1, build 7601.
    Server2008R2,
    /// Windows Server 2012 R2, build 9600.
    Server2012R2,
    /// Windows Server 2016, build 14393.
    Server2016,
    /// Windows Server 2019, build 17763.
    Server2019,
    /// Windows Server 2022, build 20348.
    Server2022,
    /// Windows 11 Pro 23H2, build 22631.
    Windows11,
}

/// Where a guest ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// EC2 on Xen: AWS PV drivers, EC2Config or EC2Launch v1.
    AwsXen,
    /// EC2 on Nitro: AWS NVMe and ENA drivers, EC2Launch v1 (up to 2019) or v2; the PV drivers are there, too.
    AwsNitro,
    /// VMware with an LSI Logic SAS controller and an E1000 adapter, Tools installed.
    VmwareLsi,
    /// VMware with PVSCSI and VMXNET3, Tools installed.
    VmwarePvscsi,
    /// VirtualBox with SATA and a PRO/1000 adapter, Guest Additions installed.
    VirtualBox,
    /// XenServer with PV drivers and management agent.
    Citrix,
    /// KVM with virtio-blk and virtio-net, guest agent installed.
    VirtioBlk,
    /// KVM with virtio-scsi and virtio-net, guest agent installed.
    VirtioScsi,
    /// Hyper-V, generation 1 with BIOS and 2 with UEFI.
    HyperV,
    /// A server with a MegaRAID controller (in-box driver).
    PhysicalMegasas,
    /// A workstation with an Intel RAID controller (vendor's driver).
    PhysicalIntelRaid,
}

/// Firmware and partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// MBR: a small active "System Reserved" partition with the boot manager, and C:.
    BiosReserved,
    /// MBR: one active partition, C:, with the boot manager.
    BiosSingle,
    /// GPT: ESP, MSR, C:, recovery at the end.
    Uefi {
        /// Whether the ESP has `\EFI\BOOT\BOOTX64.EFI`.
        fallback: bool,
    },
}

/// A network adapter.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    /// `NetCfgInstanceId`, with braces.
    pub guid: &'static str,
    /// Name of the connection. Older versions say "Local Area Connection" for "Ethernet".
    pub name: &'static str,
    /// The IPv4 configuration.
    pub address: Address,
}

/// An IPv4 configuration.
#[derive(Clone, Copy, Debug)]
pub enum Address {
    /// By DHCP, with a lease.
    Dhcp {
        /// Address that was leased last.
        leased: &'static str,
        /// The router that was leased last.
        gateway: &'static str,
    },
    /// Set by hand.
    Static {
        /// Addresses.
        addresses: &'static [&'static str],
        /// A mask for each.
        masks: &'static [&'static str],
        /// Default gateway, or none.
        gateway: Option<&'static str>,
        /// Name servers, separated by commas; may be empty.
        dns: &'static str,
    },
}

/// What may be special about a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// `hiberfil.sys` holds a sleeping system.
    Hibernated,
    /// SYSTEM is dirty; the logs beside it say that the computer is called `AFTERLOG` and `LateService` exists.
    DirtyHive,
    /// Renames and updates wait for the next boot.
    PendingReboot,
    /// A third-party antivirus filter starts at boot.
    Antivirus,
    /// Generalised by sysprep: the next boot is an out-of-box one.
    Sysprepped,
    /// C: is encrypted by BitLocker.
    BitLocker,
    /// The disk is dynamic (LDM).
    DynamicDisk,
    /// Some system files are compressed as CompactOS does.
    CompactOs,
    /// The hardware clock runs in UTC.
    UtcClock,
    /// Emergency management services (serial console) are on in the BCD.
    SerialConsole,
    /// It ran on EC2's Xen before, and remembers the devices.
    MovedFromXen,
    /// A persistent route of the administrator's own.
    OwnRoute,
    /// Some drivers of Hyper-V are in the DriverStore alone.
    StoreOnly,
    /// A second disk with an NTFS data volume.
    DataDisk,
}

impl Recipe {
    /// Whether the recipe has this.
    #[must_use]
    pub fn has(&self, special: Special) -> bool {
        self.specials.contains(&special)
    }

    /// Whether the guest starts by UEFI.
    #[must_use]
    pub fn is_uefi(&self) -> bool {
        matches!(self.layout, Layout::Uefi { .. })
    }
}

impl Source {
    /// Whether this is EC2.
    #[must_use]
    pub fn is_aws(self) -> bool {
        matches!(self, Self::AwsXen | Self::AwsNitro)
    }

    /// In-box drivers of storage that the guest uses on this source: they have no `StartOverride`.
    pub(crate) fn in_use(self, uefi: bool) -> &'static [&'static str] {
        match self {
            Self::AwsXen | Self::Citrix => &["intelide", "atapi"],
            Self::AwsNitro | Self::VirtioBlk | Self::VirtioScsi | Self::VmwarePvscsi => &[],
            Self::VmwareLsi => &["LSI_SAS"],
            Self::VirtualBox => &["storahci"],
            Self::HyperV if uefi => &["vmbus", "storvsc", "storflt"],
            Self::HyperV => &["vmbus", "storvsc", "storflt", "intelide", "atapi"],
            Self::PhysicalMegasas => &["megasas", "storahci"],
            Self::PhysicalIntelRaid => &["iaStorAV"],
        }
    }
}
