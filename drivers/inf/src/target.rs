//! Which Windows a section is for: decorations of models sections, install sections and directives.
//!
//! Source: "INF Manufacturer Section" and "INF DDInstall Section" of Microsoft's driver documentation. The suite of a
//! guest (small business, data center …) is not known here: a section for one suite alone is never chosen. Whether a
//! server is a domain controller is not known either: it counts as a plain server.

use crate::text::number;

/// A version of Windows, as its kernel says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowsVersion {
    /// 10 since Windows 10 and Server 2016.
    pub major: u32,
    /// 0 since Windows 10 and Server 2016.
    pub minor: u32,
    /// Such as 17763 for Server 2019.
    pub build: u32,
    /// A server rather than a workstation.
    pub is_server: bool,
}

/// A processor that Windows runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 32 bits.
    X86,
    /// 64 bits.
    Amd64,
    /// 64 bits, ARM.
    Arm64,
}

impl Arch {
    /// What decorations and virtio-win's folders call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// How well a section fits: version and build first, then the kind of product, then how exact the processor is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    version: (u32, u32),
    build: u32,
    names_product: bool,
    platform: u8,
}

const NT_SERVER: u32 = 3;
const NT_WORKSTATION: u32 = 1;

/// How well a section without a decoration fits. Only 32-bit Windows takes one.
pub(crate) fn undecorated(arch: Arch) -> Option<Fit> {
    (arch == Arch::X86).then(Fit::default)
}

/// How well `decoration` (such as `NTamd64.10.0...14393`) fits; `None` when it does not, or means nothing to us.
pub(crate) fn fit(decoration: &str, guest: &WindowsVersion, arch: Arch) -> Option<Fit> {
    let mut parts = decoration.trim().split('.');
    let platform = parts.next()?.to_ascii_lowercase();
    let platform = match platform.strip_prefix("nt")? {
        "" if arch == Arch::X86 => 1,
        name if name == arch.name() => 2,
        _ => return None,
    };
    let mut numbers = [None; 5];
    for slot in &mut numbers {
        *slot = match parts.next().unwrap_or_default() {
            "" => None,
            text => Some(number(text)?),
        };
    }
    if parts.next().is_some() {
        return None;
    }
    let [major, minor, product, suite, build] = numbers;
    let version = (major.unwrap_or(0), minor.unwrap_or(0));
    let own = (guest.major, guest.minor);
    // The build counts only within its own version.
    let is_new_enough = version < own || (version == own && build.unwrap_or(0) <= guest.build);
    let kind = if guest.is_server { NT_SERVER } else { NT_WORKSTATION };
    let is_kind = product.is_none_or(|product| product == kind);
    let any_suite = suite.is_none_or(|suite| suite == 0);
    (is_new_enough && is_kind && any_suite).then_some(Fit {
        version,
        build: build.unwrap_or(0),
        names_product: product.is_some(),
        platform,
    })
}

/// Names that `name` has with the platform's extensions, most exact first.
pub(crate) fn decorated(name: &str, arch: Arch) -> [String; 3] {
    [format!("{name}.nt{}", arch.name()), format!("{name}.nt"), name.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_2019: WindowsVersion = WindowsVersion { major: 10, minor: 0, build: 17763, is_server: true };
    const XP: WindowsVersion = WindowsVersion { major: 5, minor: 1, build: 2600, is_server: false };

    #[test]
    fn decorations_fit_as_documented() {
        for (decoration, on_2019, on_xp) in [
            ("NTamd64", true, false),
            ("ntAMD64.6.1", true, false),
            ("NTamd64.10.0", true, false),
            ("NTamd64.10.0...17763", true, false),
            ("NTamd64.10.0...17764", false, false),
            // A later build of an earlier version.
            ("NTamd64.6.3...99999", true, false),
            ("NTamd64.10.1", false, false),
            ("NTamd64.11", false, false),
            ("NTamd64...3", true, false),
            ("NTamd64...0x3", true, false),
            ("NTamd64...1", false, false),
            ("NTamd64.6.0.1", false, false),
            ("NTamd64....0x80", false, false),
            ("NTarm64", false, false),
            ("NTia64", false, false),
            ("NTx86", false, true),
            ("NTx86.5.1", false, true),
            ("NTx86.5.2", false, false),
            ("NT", false, true),
            ("NT.5", false, true),
            ("NT.5.5", false, false),
            ("NTamd64.x", false, false),
            ("NTamd64.10.0....", false, false),
            ("Windows", false, false),
            ("", false, false),
        ] {
            assert_eq!(fit(decoration, &SERVER_2019, Arch::Amd64).is_some(), on_2019, "{decoration}");
            assert_eq!(fit(decoration, &XP, Arch::X86).is_some(), on_xp, "{decoration}");
        }
        assert!(undecorated(Arch::X86).is_some() && undecorated(Arch::Amd64).is_none());
    }

    #[test]
    fn the_more_exact_one_fits_better() {
        let ascending = ["NT", "NTx86", "NTx86...1", "NT.5", "NTx86.5", "NTx86.5.0.1", "NT.5.1", "NTx86.5.1"];
        let fits: Vec<_> = ascending.iter().map(|decoration| fit(decoration, &XP, Arch::X86)).collect();
        assert!(undecorated(Arch::X86) < fits[0]);
        assert!(fits.is_sorted() && fits.iter().all(Option::is_some), "{fits:?}");
        let build = |text| fit(text, &SERVER_2019, Arch::Amd64);
        assert!(build("NTamd64.10.0...14393") > build("NTamd64.10.0"));
        assert!(build("NTamd64.10.0...17763") > build("NTamd64.10.0...14393"));
    }
}
