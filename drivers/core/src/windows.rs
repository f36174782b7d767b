//! What is known of a Windows guest.

use serde::Serialize;
use std::net::IpAddr;

/// Facts of an installed Windows, as its registry and files have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowsFacts {
    /// Major and minor version: 6.1 is Windows 7 and Server 2008 R2, 10.0 all from Windows 10 on.
    pub version: (u32, u32),
    /// Build: 14393 is Server 2016.
    pub build: u32,
    /// Update build revision, where it is known.
    pub revision: Option<u32>,
    /// EditionID: `ServerDatacenter`.
    pub edition: Option<String>,
    /// InstallationType: `Server`, `Server Core`, `Client`.
    pub installation: Option<String>,
    /// The system's folder in the guest's tree: `/Windows`.
    pub system_root: String,
    /// The control sets that Windows may start with, by their names in SYSTEM; the current one first.
    pub control_sets: Vec<String>,
    /// Drivers that are started by the boot loader today.
    pub boot_drivers: Vec<String>,
    /// TimeZoneKeyName.
    pub time_zone: Option<String>,
    /// Interfaces with an IPv4 configuration.
    pub interfaces: Vec<InterfaceFacts>,
    /// Services of platforms that run in the guest, by their names.
    pub agents: Vec<String>,
    /// File system filters of virus scanners.
    pub antivirus: Vec<String>,
    /// What Windows wants to finish at its next start, one sentence each.
    pub pending: Vec<String>,
    /// The boot configuration data: the file in the guest's tree.
    pub boot_configuration: Option<String>,
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceFacts {
    /// `{8B2F…}`, its key below `Tcpip\Parameters\Interfaces`.
    pub guid: String,
    /// What Windows calls it: `Ethernet 2`.
    pub name: Option<String>,
    /// Device instance of its adapter: `PCI\VEN_1D0F&DEV_EC20&…\…`.
    pub device: Option<String>,
    /// It asks DHCP for its address.
    pub dhcp: bool,
    /// Fixed addresses with the bits of their networks.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// Fixed name servers.
    pub dns: Vec<IpAddr>,
}

impl WindowsFacts {
    /// Whether it is a server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.installation.as_deref().is_some_and(|kind| kind.starts_with("Server"))
            || self.edition.as_deref().is_some_and(|edition| edition.starts_with("Server"))
    }

    /// Windows 8, Server 2012 or later: drivers are found by the driver database, not by critical devices.
    #[must_use]
    pub fn has_driver_database(&self) -> bool {
        self.version >= (6, 2)
    }
}
