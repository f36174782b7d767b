//! Facts of the versions of Windows.
//!
//! Builds, editions and version numbers: Microsoft's release information pages. `ReleaseId` says 2009 from version 20H2 on,
//! and Windows 11 calls itself Windows 10 in `ProductName`. The service packs and `CSDVersion` of 7601: real hives.

use crate::recipe::Release;
use std::collections::BTreeMap;

/// What is filled into the recipes for a version: `$(name)` and what stands for it.
pub(crate) type Filled = BTreeMap<&'static str, String>;

impl Release {
    /// `CurrentBuild`.
    #[must_use]
    pub fn build(self) -> u32 {
        match self {
            Self::Windows7X86 | Self::Server2008R2 => 7601,
            Self::Server2012R2 => 9600,
            Self::Server2016 => 14393,
            Self::Server2019 => 17763,
            Self::Server2022 => 20348,
            Self::Windows11 => 22631,
        }
    }

    /// Whether this is NT 6.1, with a CriticalDeviceDatabase and without a DriverDatabase.
    #[must_use]
    pub fn is_nt61(self) -> bool {
        self.build() == 7601
    }

    /// Whether this calls itself version 10.0.
    #[must_use]
    pub fn is_nt10(self) -> bool {
        self.build() >= 10240
    }

    /// `PROCESSOR_ARCHITECTURE`.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        if self == Self::Windows7X86 { "x86" } else { "AMD64" }
    }

    /// `ProductName`.
    #[must_use]
    pub fn product(self) -> &'static str {
        match self {
            Self::Windows7X86 => "Windows 7 Professional",
            Self::Server2008R2 => "Windows Server 2008 R2 Standard",
            Self::Server2012R2 => "Windows Server 2012 R2 Standard",
            Self::Server2016 => "Windows Server 2016 Datacenter",
            Self::Server2019 => "Windows Server 2019 Datacenter",
            Self::Server2022 => "Windows Server 2022 Datacenter",
            Self::Windows11 => "Windows 10 Pro",
        }
    }

    /// How the BCD calls the system.
    pub(crate) fn loader_name(self) -> &'static str {
        match self {
            Self::Windows7X86 => "Windows 7",
            Self::Server2008R2 => "Windows Server 2008 R2",
            Self::Server2012R2 => "Windows Server 2012 R2",
            Self::Server2016 => "Windows Server 2016",
            Self::Server2019 | Self::Server2022 => "Windows Server",
            Self::Windows11 => "Windows 11",
        }
    }

    fn edition(self) -> &'static str {
        match self {
            Self::Windows7X86 | Self::Windows11 => "Professional",
            Self::Server2008R2 | Self::Server2012R2 => "ServerStandard",
            _ => "ServerDatacenter",
        }
    }

    /// Whether this is a client.
    pub(crate) fn is_client(self) -> bool {
        matches!(self, Self::Windows7X86 | Self::Windows11)
    }

    /// Lines of `CurrentVersion` that only some versions have.
    fn numbers(self) -> String {
        let (ubr, release_id, display) = match self {
            Self::Windows7X86 | Self::Server2008R2 => {
                return "\"CSDVersion\"=sz:\"Service Pack 1\"".to_owned();
            }
            Self::Server2012R2 => return String::new(),
            Self::Server2016 => (6252, "1607", None),
            Self::Server2019 => (4974, "1809", None),
            Self::Server2022 => (2113, "2009", Some("21H2")),
            Self::Windows11 => (2715, "2009", Some("23H2")),
        };
        let mut lines = format!(
            "\"CurrentMajorVersionNumber\"=dword:0000000a\n\"CurrentMinorVersionNumber\"=dword:00000000\n\
             \"UBR\"=dword:{ubr:08x}\n\"ReleaseId\"=sz:\"{release_id}\""
        );
        if let Some(display) = display {
            lines += &format!("\n\"DisplayVersion\"=sz:\"{display}\"");
        }
        lines
    }

    /// Everything that the recipes of hives ask for.
    pub(crate) fn filled(self) -> Filled {
        let version = if self.is_nt61() { "6.1" } else { "6.3" };
        let installation = if self.is_client() { "Client" } else { "Server" };
        let product_type = if self.is_client() { "WinNT" } else { "ServerNT" };
        let database = if self.is_nt10() { "0a000000" } else { "06030000" };
        BTreeMap::from([
            ("build", self.build().to_string()),
            ("product", self.product().to_owned()),
            ("edition", self.edition().to_owned()),
            ("installation", installation.to_owned()),
            ("product type", product_type.to_owned()),
            ("version", version.to_owned()),
            ("numbers", self.numbers()),
            ("arch", self.architecture().to_owned()),
            ("package arch", self.package_architecture().to_owned()),
            ("database", database.to_owned()),
        ])
    }

    fn package_architecture(self) -> &'static str {
        if self == Self::Windows7X86 { "x86" } else { "amd64" }
    }

    /// Folder of a driver package in the `FileRepository`. The hash is of the right form, not Windows' own.
    pub(crate) fn package(self, inf: &str) -> String {
        let arch = self.package_architecture();
        let neutral = if self.is_nt61() { "_neutral" } else { "" };
        let hash = inf.bytes().fold(u64::from(self.build()) | 0xcbf2_9ce4_0000_0000, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{inf}_{arch}{neutral}_{hash:016x}")
    }
}
