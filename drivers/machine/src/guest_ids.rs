//! Names that VMware and VirtualBox have for guest operating systems.
//!
//! Source: `VirtualMachineGuestOsIdentifier` of the vSphere API, its short spelling in VMX files, the types of
//! `VBoxManage list ostypes`, and `CIM_OperatingSystem.OSType` of the DMTF.

use crate::{Architecture, Machine, OsFamily, windows};

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

/// A guest as both spellings of VMware know it.
pub(crate) struct GuestId {
    /// `guestOS` of a VMX file.
    pub(crate) vmx: &'static str,
    /// `vmw:osType` of an OVF envelope.
    pub(crate) vsphere: &'static str,
    /// `ovf:id` of an OperatingSystemSection; 1 is "other".
    pub(crate) cim: u16,
}

pub(crate) const fn guest(vmx: &'static str, vsphere: &'static str, cim: u16) -> GuestId {
    GuestId { vmx, vsphere, cim }
}

/// VMware's identifiers for `machine`: no more exact than ESXi 6.5 knows them. They choose defaults of the hypervisor, no
/// hardware that a definition names itself.
pub(crate) fn guest_id(machine: &Machine) -> GuestId {
    let wide = machine.architecture != Architecture::I386;
    let (family, words) = described(machine);
    match (family, wide) {
        (OsFamily::Linux, true) if words.contains("ubuntu") => guest("ubuntu-64", "ubuntu64Guest", 94),
        (OsFamily::Linux, true) if words.contains("debian") => guest("debian10-64", "debian10_64Guest", 96),
        (OsFamily::Linux, true) => guest("other3xlinux-64", "other3xLinux64Guest", 101),
        (OsFamily::Linux, false) if words.contains("ubuntu") => guest("ubuntu", "ubuntuGuest", 93),
        (OsFamily::Linux, false) if words.contains("debian") => guest("debian10", "debian10Guest", 95),
        (OsFamily::Linux, false) => guest("other3xlinux", "other3xLinuxGuest", 36),
        (OsFamily::Windows, wide) => windows::release_or_usual(machine).vmware(wide),
        (OsFamily::Other, true) => guest("other-64", "otherGuest64", 102),
        (OsFamily::Other, false) => guest("other", "otherGuest", 1),
    }
}

/// VirtualBox's types for `machine`, the most exact first: the first that the installed version knows fits best.
pub(crate) fn virtualbox_types(machine: &Machine) -> Vec<String> {
    let wide = machine.architecture != Architecture::I386;
    let (family, words) = described(machine);
    let name = match family {
        OsFamily::Windows => return windows::release_or_usual(machine).virtualbox(wide),
        OsFamily::Linux if words.contains("ubuntu") => "Ubuntu",
        OsFamily::Linux if words.contains("debian") => "Debian",
        OsFamily::Linux => "Linux26",
        OsFamily::Other => "Other",
    };
    vec![if wide { format!("{name}_64") } else { name.to_owned() }]
}

/// Family and description in lower case.
fn described(machine: &Machine) -> (OsFamily, String) {
    match &machine.os {
        Some(os) => (os.family, os.description.to_ascii_lowercase()),
        None => (OsFamily::Other, String::new()),
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
