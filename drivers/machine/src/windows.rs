//! Releases of Windows, and what each hypervisor calls them.
//!
//! A release is known by the words of its product name (`Windows Server 2016 Datacenter 10.0.14393`), by an identifier
//! of one of the hypervisors, or by the version of its kernel alone.
//!
//! | names | from |
//! |---|---|
//! | VMware | `VirtualMachineGuestOsIdentifier` of the vSphere API, and its short spelling in VMX files |
//! | VirtualBox | `VBoxManage list ostypes` |
//! | Proxmox | qm(1), `ostype`, which says which releases share a type |
//! | libosinfo | osinfo-db, `os/microsoft.com` |
//! | versions | Microsoft, "Operating System Version", "Windows Server release information" |
//!
//! VMware is told no later release than Windows 10 and Server 2016: an identifier that the hardware version of
//! [`crate::vmware::HARDWARE`] does not know leaves the machine without a guest system, and it does not start (issue 194
//! of VMware's plugin for Packer). Those two are called "or later" there.

use crate::guest_ids::{GuestId, guest};
use crate::{Machine, OsFamily};

/// A release of Windows.
#[derive(Debug)]
pub(crate) struct Release {
    /// Name for people.
    pub(crate) name: &'static str,
    /// `--ostype` of qm.
    pub(crate) proxmox: &'static str,
    /// What comes behind `http://microsoft.com/win/` in the identifier of libosinfo.
    pub(crate) libosinfo: &'static str,
    /// `guestOS` of a VMX file and `vmw:osType`, for 64 bits and for 32.
    vmware: [(&'static str, &'static str); 2],
    /// `ovf:id` for 64 bits and for 32; 1 is "other".
    /// `--ostype` of VBoxManage, without its `_64`; the first that the installed version knows.
    virtualbox: &'static [&'static str],
}

const W2K3: [(&str, &str); 2] =
    [("winnetstandard-64", "winNetStandard64Guest"), ("winnetstandard", "winNetStandardGuest")];
const LONGHORN: [(&str, &str); 2] = [("longhorn-64", "winLonghorn64Guest"), ("longhorn", "winLonghornGuest")];
const SEVEN_SERVER: [(&str, &str); 2] =
    [("windows7srv-64", "windows7Server64Guest"), ("windows7", "windows7Guest")];
const EIGHT: [(&str, &str); 2] = [("windows8-64", "windows8_64Guest"), ("windows8", "windows8Guest")];
const EIGHT_SERVER: [(&str, &str); 2] =
    [("windows8srv-64", "windows8Server64Guest"), ("windows8", "windows8Guest")];
const TEN: [(&str, &str); 2] = [("windows9-64", "windows9_64Guest"), ("windows9", "windows9Guest")];
const TEN_SERVER: [(&str, &str); 2] =
    [("windows9srv-64", "windows9Server64Guest"), ("windows9", "windows9Guest")];

const XP: Release = Release {
    name: "Windows XP",
    proxmox: "wxp",
    libosinfo: "xp",
    vmware: [("winxppro-64", "winXPPro64Guest"), ("winxppro", "winXPProGuest")],
    virtualbox: &["WindowsXP"],
};
const SERVER_2003: Release = Release {
    name: "Windows Server 2003",
    proxmox: "w2k3",
    libosinfo: "2k3",
    vmware: W2K3,
    virtualbox: &["Windows2003"],
};
const VISTA: Release = Release {
    name: "Windows Vista",
    proxmox: "wvista",
    libosinfo: "vista",
    vmware: [("winvista-64", "winVista64Guest"), ("winvista", "winVistaGuest")],
    virtualbox: &["WindowsVista"],
};
const SERVER_2008: Release = Release {
    name: "Windows Server 2008",
    proxmox: "w2k8",
    libosinfo: "2k8",
    vmware: LONGHORN,
    virtualbox: &["Windows2008"],
};
const SEVEN: Release = Release {
    name: "Windows 7",
    proxmox: "win7",
    libosinfo: "7",
    vmware: [("windows7-64", "windows7_64Guest"), ("windows7", "windows7Guest")],
    virtualbox: &["Windows7"],
};
/// VirtualBox has one type for both.
const SERVER_2008_R2: Release = Release {
    name: "Windows Server 2008 R2",
    proxmox: "win7",
    libosinfo: "2k8r2",
    vmware: SEVEN_SERVER,
    virtualbox: &["Windows2008"],
};
const WINDOWS_8: Release =
    Release { name: "Windows 8", proxmox: "win8", libosinfo: "8", vmware: EIGHT, virtualbox: &["Windows8"] };
const WINDOWS_8_1: Release =
    Release { name: "Windows 8.1", libosinfo: "8.1", virtualbox: &["Windows81"], ..WINDOWS_8 };
const SERVER_2012: Release = Release {
    name: "Windows Server 2012",
    libosinfo: "2k12",
    vmware: EIGHT_SERVER,
    virtualbox: &["Windows2012"],
    ..WINDOWS_8
};
const SERVER_2012_R2: Release =
    Release { name: "Windows Server 2012 R2", libosinfo: "2k12r2", ..SERVER_2012 };
const WINDOWS_10: Release = Release {
    name: "Windows 10",
    proxmox: "win10",
    libosinfo: "10",
    vmware: TEN,
    virtualbox: &["Windows10"],
};
const SERVER_2016: Release = Release {
    name: "Windows Server 2016",
    libosinfo: "2k16",
    vmware: TEN_SERVER,
    virtualbox: &["Windows2016"],
    ..WINDOWS_10
};
const SERVER_2019: Release = Release {
    name: "Windows Server 2019",
    libosinfo: "2k19",
    virtualbox: &["Windows2019", "Windows2016"],
    ..SERVER_2016
};
const WINDOWS_11: Release = Release {
    name: "Windows 11",
    proxmox: "win11",
    libosinfo: "11",
    virtualbox: &["Windows11", "Windows10"],
    ..WINDOWS_10
};
const SERVER_2022: Release = Release {
    name: "Windows Server 2022",
    proxmox: "win11",
    libosinfo: "2k22",
    virtualbox: &["Windows2022", "Windows2019", "Windows2016"],
    ..SERVER_2016
};
const SERVER_2025: Release = Release {
    name: "Windows Server 2025",
    libosinfo: "2k25",
    virtualbox: &["Windows2025", "Windows2022", "Windows2019", "Windows2016"],
    ..SERVER_2022
};

/// Words of product names, in the order in which they are tried: what is part of another comes behind it.
static NAMES: &[(&[&str], &Release)] = &[
    // Editions for long use have a year in their name (`Windows 10 Enterprise LTSC 2019`).
    (&["windows", "11"], &WINDOWS_11),
    (&["windows", "10"], &WINDOWS_10),
    (&["windows", "8.1"], &WINDOWS_8_1),
    (&["windows", "8"], &WINDOWS_8),
    (&["windows", "7"], &SEVEN),
    (&["windows", "vista"], &VISTA),
    (&["windows", "xp"], &XP),
    (&["2025"], &SERVER_2025),
    (&["2022"], &SERVER_2022),
    (&["2019"], &SERVER_2019),
    (&["2016"], &SERVER_2016),
    (&["2012", "r2"], &SERVER_2012_R2),
    (&["2012"], &SERVER_2012),
    (&["2008", "r2"], &SERVER_2008_R2),
    (&["2008"], &SERVER_2008),
    (&["2003"], &SERVER_2003),
];

/// Identifiers of VMware and VirtualBox that are not among those written, in lower case and without what marks 64 bits.
static OTHER_IDS: &[(&str, &Release)] = &[
    ("windows2019srv", &SERVER_2019),
    ("windows2019srvnext", &SERVER_2022),
    ("windows2022srvnext", &SERVER_2025),
    ("windows11", &WINDOWS_11),
    ("windows12", &WINDOWS_11),
    ("windows8server", &SERVER_2012),
    ("windows7server", &SERVER_2008_R2),
    ("windows9server", &SERVER_2016),
    ("winnetenterprise", &SERVER_2003),
    ("winnetdatacenter", &SERVER_2003),
];

/// Versions of the kernel up to which a release reaches: major and minor number and build, then client and server.
/// Semi-annual servers count as the release before them.
static VERSIONS: &[([u32; 3], &Release, &Release)] = &[
    ([5, 2, u32::MAX], &XP, &SERVER_2003),
    ([6, 0, u32::MAX], &VISTA, &SERVER_2008),
    ([6, 1, u32::MAX], &SEVEN, &SERVER_2008_R2),
    ([6, 2, u32::MAX], &WINDOWS_8, &SERVER_2012),
    ([6, 3, u32::MAX], &WINDOWS_8_1, &SERVER_2012_R2),
    ([10, 0, 17762], &WINDOWS_10, &SERVER_2016),
    ([10, 0, 20347], &WINDOWS_10, &SERVER_2019),
    ([10, 0, 21999], &WINDOWS_10, &SERVER_2022),
    ([10, 0, 26039], &WINDOWS_11, &SERVER_2022),
    ([10, 0, u32::MAX], &WINDOWS_11, &SERVER_2025),
];

/// Whether the guest is Windows.
pub(crate) fn is_windows(machine: &Machine) -> bool {
    machine.os.as_ref().is_some_and(|os| os.family == OsFamily::Windows)
}

/// The release that the guest is; `None` when it is not Windows, or one that is not known.
pub(crate) fn release(machine: &Machine) -> Option<&'static Release> {
    let os = machine.os.as_ref().filter(|os| os.family == OsFamily::Windows)?;
    let text = os.description.to_lowercase();
    by_name(&text).or_else(|| by_id(&text)).or_else(|| by_version(&text))
}

/// [`release`], or one whose machines suit any later guest: Windows 10, or Server 2016 where the description says server.
pub(crate) fn release_or_usual(machine: &Machine) -> &'static Release {
    let says_server = |os: &crate::OsHint| {
        let words = os.description.to_lowercase();
        words.contains("server") || words.contains("srv")
    };
    let usual = if machine.os.as_ref().is_some_and(says_server) { &SERVER_2016 } else { &WINDOWS_10 };
    release(machine).unwrap_or(usual)
}

/// Whether the guest is a release for which Microsoft asks for a TPM: Windows 11.
pub(crate) fn wants_tpm(machine: &Machine) -> bool {
    release(machine).is_some_and(|release| release.name == WINDOWS_11.name)
}

impl Release {
    /// What VMware calls it.
    pub(crate) fn vmware(&self, wide: bool) -> GuestId {
        let [wide_id, narrow_id] = self.vmware;
        let (vmx, vsphere) = if wide { wide_id } else { narrow_id };
        // 1 is "other": VMware goes by its own name, and newer releases have no number that it knows.
        guest(vmx, vsphere, 1)
    }

    /// VirtualBox's names, the most exact first; the later ones are known to older versions.
    pub(crate) fn virtualbox(&self, wide: bool) -> Vec<String> {
        let bits = if wide { "_64" } else { "" };
        self.virtualbox.iter().map(|name| format!("{name}{bits}")).collect()
    }
}

/// Words that stand in the description in this order, with nothing but signs between those of one name.
fn by_name(text: &str) -> Option<&'static Release> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '.').filter(|word| !word.is_empty()).collect();
    let named = |name: &[&str]| words.windows(name.len()).any(|window| window == name);
    NAMES.iter().find(|(name, _)| named(name)).map(|(_, release)| *release)
}

fn by_id(text: &str) -> Option<&'static Release> {
    let libosinfo = text.strip_prefix(LIBOSINFO).map(|id| id.trim_end_matches('/'));
    let plain = |id: &str| {
        let id = id.to_lowercase();
        let id = id.strip_suffix("guest").unwrap_or(&id);
        id.strip_suffix("64").unwrap_or(id).trim_end_matches(['-', '_']).to_owned()
    };
    let (wanted, wide) = (plain(text), text.contains("64"));
    let is = |release: &Release| {
        let [wide_vmware, narrow_vmware] = release.vmware;
        let (vmx, vsphere) = if wide { wide_vmware } else { narrow_vmware };
        let ids = [vmx, vsphere].into_iter().chain(release.virtualbox.first().copied());
        libosinfo == Some(release.libosinfo) || ids.map(plain).any(|id| id == wanted)
    };
    // The oldest that has an identifier: newer ones share it.
    let clients = VERSIONS.iter().map(|(_, client, _)| *client);
    let servers = VERSIONS.iter().map(|(.., server)| *server);
    let written = clients.chain(servers).find(|release| is(release));
    written.or_else(|| OTHER_IDS.iter().find(|(id, _)| *id == wanted).map(|(_, release)| *release))
}

fn by_version(text: &str) -> Option<&'static Release> {
    let is_server = text.contains("server");
    let version = text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.split('.').map(str::parse::<u32>);
        Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
    })?;
    let (_, client, server) = VERSIONS.iter().find(|([major, minor, build], ..)| {
        let [of_major, of_minor, of_build] = version;
        (of_major, of_minor) == (*major, *minor) && of_build <= *build
    })?;
    Some(if is_server { server } else { client })
}

/// Begins the identifiers of libosinfo.
pub(crate) const LIBOSINFO: &str = "http://microsoft.com/win/";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(description: &str) -> Option<&'static str> {
        let text = description.to_lowercase();
        by_name(&text).or_else(|| by_id(&text)).or_else(|| by_version(&text)).map(|release| release.name)
    }

    #[test]
    fn releases_are_known_by_name_identifier_and_version() {
        for (description, wanted) in [
            ("Windows Server 2016 Datacenter 10.0.14393", "Windows Server 2016"),
            ("Microsoft Windows Server 2008 R2 (64-bit)", "Windows Server 2008 R2"),
            ("Windows Server (R) 2008 Standard 6.0.6003", "Windows Server 2008"),
            ("Windows Server® 2008 Standard", "Windows Server 2008"),
            ("Windows Server 2012 R2 Standard 6.3.9600", "Windows Server 2012 R2"),
            ("Windows Server 2025 Datacenter Azure Edition 10.0.26100", "Windows Server 2025"),
            ("Windows 10 Pro 10.0.19045", "Windows 10"),
            ("Windows 11 Enterprise 10.0.22631", "Windows 11"),
            ("Windows 8.1 Pro", "Windows 8.1"),
            ("Windows 8 Enterprise 6.2.9200", "Windows 8"),
            ("Windows 7 Professional 6.1.7601", "Windows 7"),
            ("windows9Server64Guest", "Windows Server 2016"),
            ("windows9srv-64", "Windows Server 2016"),
            ("windows9-64", "Windows 10"),
            ("windows9Guest", "Windows 10"),
            ("windows7Server64Guest", "Windows Server 2008 R2"),
            ("windows8srv-64", "Windows Server 2012"),
            ("windows8_64Guest", "Windows 8"),
            ("windows2019srv_64Guest", "Windows Server 2019"),
            ("windows2019srvNext_64Guest", "Windows Server 2022"),
            ("windows2022srvNext-64", "Windows Server 2025"),
            ("windows11_64Guest", "Windows 11"),
            ("winLonghorn64Guest", "Windows Server 2008"),
            ("winNetStandardGuest", "Windows Server 2003"),
            ("Windows2016_64", "Windows Server 2016"),
            ("Windows2012_64", "Windows Server 2012"),
            ("Windows81_64", "Windows 8.1"),
            ("Windows10", "Windows 10"),
            ("http://microsoft.com/win/2k12r2", "Windows Server 2012 R2"),
            ("http://microsoft.com/win/11", "Windows 11"),
            ("http://microsoft.com/win/8.1", "Windows 8.1"),
            ("Windows Server Datacenter 10.0.20348", "Windows Server 2022"),
            ("Windows Server Standard 10.0.26100", "Windows Server 2025"),
            ("Windows Server Datacenter 10.0.18363", "Windows Server 2019"),
            ("Windows 10.0.14393", "Windows 10"),
            ("Windows 10 Enterprise LTSC 2019 10.0.17763", "Windows 10"),
            ("Windows Small Business Server 2011 Standard 6.1.7601", "Windows Server 2008 R2"),
            ("Windows Enterprise 10.0.22000", "Windows 11"),
            ("Windows 6.1.7601", "Windows 7"),
        ] {
            assert_eq!(named(description), Some(wanted), "{description}");
        }
        for unknown in
            ["", "Windows", "windows", "Windows Server", "Windows 4.0.1381", "12025 x", "10.0.99999999999"]
        {
            assert_eq!(named(unknown), None, "{unknown}");
        }
    }
}
