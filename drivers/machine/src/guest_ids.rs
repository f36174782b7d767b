//! Names that VMware and VirtualBox have for guest operating systems.
//!
//! Source: `VirtualMachineGuestOsIdentifier` of the vSphere API, its short spelling in VMX files, the types of
//! `VBoxManage list ostypes`, and `CIM_OperatingSystem.OSType` of the DMTF.

use crate::{Architecture, Machine, OsFamily};

/// Words in an identifier or a description that say Linux.
const LINUX: &[&str] = &[
    "linux", "rhel", "redhat", "centos", "rocky", "alma", "fedora", "oracle", "debian", "ubuntu", "mint",
    "suse", "sles", "sled", "photon", "coreos", "flatcar", "arch", "gentoo", "mandrake", "mandriva", "turbo",
    "asianux", "nld9", "oes", "sjds", "crxpod", "amazon",
];

/// What kind of system an identifier of either product, or a description, means.
pub(crate) fn family_of(id: &str) -> OsFamily {
    let lower = id.to_ascii_lowercase();
    if lower.contains("windows") || lower.starts_with("win") || lower.contains("longhorn") {
        return OsFamily::Windows;
    }
    if LINUX.iter().any(|word| lower.contains(word)) { OsFamily::Linux } else { OsFamily::Other }
}

/// The instruction set an identifier of either product means.
pub(crate) fn architecture_of(id: &str) -> Architecture {
    let lower = id.to_ascii_lowercase();
    if lower.starts_with("arm") || lower.contains("arm64") || lower.contains("aarch64") {
        return Architecture::Arm64;
    }
    if lower.contains("64") { Architecture::X86_64 } else { Architecture::I386 }
}

/// A guest as both spellings of VMware and VirtualBox's know it.
pub(crate) struct GuestId {
    /// `guestOS` of a VMX file.
    pub(crate) vmx: &'static str,
    /// `vmw:osType` of an OVF envelope.
    pub(crate) vsphere: &'static str,
    /// `ovf:id` of an OperatingSystemSection; 1 is "other".
    pub(crate) cim: u16,
    /// `--ostype` of VBoxManage.
    pub(crate) virtualbox: &'static str,
}

const fn guest(vmx: &'static str, vsphere: &'static str, cim: u16, virtualbox: &'static str) -> GuestId {
    GuestId { vmx, vsphere, cim, virtualbox }
}

/// The identifiers for `machine`: no more exact than ESXi 6.5 and VirtualBox 6 know them. They choose defaults of the
/// hypervisor, no hardware that a definition names itself.
pub(crate) fn guest_id(machine: &Machine) -> GuestId {
    let wide = machine.architecture != Architecture::I386;
    let Some(os) = &machine.os else { return other(wide) };
    let words = os.description.to_ascii_lowercase();
    match (os.family, wide) {
        (OsFamily::Linux, true) if words.contains("ubuntu") => {
            guest("ubuntu-64", "ubuntu64Guest", 94, "Ubuntu_64")
        }
        (OsFamily::Linux, true) if words.contains("debian") => {
            guest("debian10-64", "debian10_64Guest", 96, "Debian_64")
        }
        (OsFamily::Linux, true) => guest("other3xlinux-64", "other3xLinux64Guest", 101, "Linux26_64"),
        (OsFamily::Linux, false) if words.contains("ubuntu") => guest("ubuntu", "ubuntuGuest", 93, "Ubuntu"),
        (OsFamily::Linux, false) if words.contains("debian") => {
            guest("debian10", "debian10Guest", 95, "Debian")
        }
        (OsFamily::Linux, false) => guest("other3xlinux", "other3xLinuxGuest", 36, "Linux26"),
        (OsFamily::Windows, true) if words.contains("server") || words.contains("srv") => {
            guest("windows9srv-64", "windows9Server64Guest", 1, "Windows2016_64")
        }
        (OsFamily::Windows, true) => guest("windows9-64", "windows9_64Guest", 1, "Windows10_64"),
        (OsFamily::Windows, false) => guest("windows9", "windows9Guest", 1, "Windows10"),
        (OsFamily::Other, wide) => other(wide),
    }
}

fn other(wide: bool) -> GuestId {
    if wide {
        guest("other-64", "otherGuest64", 102, "Other_64")
    } else {
        guest("other", "otherGuest", 1, "Other")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_real_files_are_understood() {
        for (id, family, architecture) in [
            ("rhel6-64", OsFamily::Linux, Architecture::X86_64),
            ("windows7Server64Guest", OsFamily::Windows, Architecture::X86_64),
            ("winNetStandardGuest", OsFamily::Windows, Architecture::I386),
            ("winxppro", OsFamily::Windows, Architecture::I386),
            ("longhorn-64", OsFamily::Windows, Architecture::X86_64),
            ("arm-debian10-64", OsFamily::Linux, Architecture::Arm64),
            ("Ubuntu_arm64", OsFamily::Linux, Architecture::Arm64),
            ("darwin21-64", OsFamily::Other, Architecture::X86_64),
            ("freebsd12-64", OsFamily::Other, Architecture::X86_64),
            ("Debian_64", OsFamily::Linux, Architecture::X86_64),
            ("other", OsFamily::Other, Architecture::I386),
            ("Microsoft Windows Server 2008 R2 (64-bit)", OsFamily::Windows, Architecture::X86_64),
        ] {
            assert_eq!((family_of(id), architecture_of(id)), (family, architecture), "{id}");
        }
    }
}
