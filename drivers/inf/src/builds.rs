//! Which Windows a folder's name stands for, and how near that is to a guest.
//!
//! The INF files of virtio-win say only the processor (`NTamd64`): which of its dozen builds is for which Windows is
//! told by folders alone. Names: virtio-win's image as its users quote them (`viostor/2k19/amd64`), and those of older
//! images that virt-v2v and virtio-win's packaging know (`amd64/Win2012R2`, `Wlh/amd64`). Numbers: "Operating System
//! Version" and the release information of Microsoft.

use crate::target::{Arch, WindowsVersion};

/// Name in lower case, version, and whether it is a server.
const BUILDS: [(&str, u32, u32, u32, bool); 36] = [
    ("xp", 5, 1, 2600, false),
    ("wxp", 5, 1, 2600, false),
    ("winxp", 5, 1, 2600, false),
    ("2k3", 5, 2, 3790, true),
    ("wnet", 5, 2, 3790, true),
    ("win2003", 5, 2, 3790, true),
    ("vista", 6, 0, 6000, false),
    ("2k8", 6, 0, 6001, true),
    ("wlh", 6, 0, 6001, true),
    ("win2008", 6, 0, 6001, true),
    ("w7", 6, 1, 7600, false),
    ("win7", 6, 1, 7600, false),
    ("2k8r2", 6, 1, 7600, true),
    ("win2008r2", 6, 1, 7600, true),
    ("w8", 6, 2, 9200, false),
    ("win8", 6, 2, 9200, false),
    ("2k12", 6, 2, 9200, true),
    ("win2012", 6, 2, 9200, true),
    ("w8.1", 6, 3, 9600, false),
    ("win8.1", 6, 3, 9600, false),
    ("2k12r2", 6, 3, 9600, true),
    ("win2012r2", 6, 3, 9600, true),
    ("w10", 10, 0, 10240, false),
    ("win10", 10, 0, 10240, false),
    ("2k16", 10, 0, 14393, true),
    ("win2016", 10, 0, 14393, true),
    ("2k19", 10, 0, 17763, true),
    ("win2019", 10, 0, 17763, true),
    ("2k22", 10, 0, 20348, true),
    ("win2022", 10, 0, 20348, true),
    ("w11", 10, 0, 22000, false),
    ("win11", 10, 0, 22000, false),
    ("2k25", 10, 0, 26100, true),
    ("win2025", 10, 0, 26100, true),
    ("windows10", 10, 0, 10240, false),
    ("windows11", 10, 0, 22000, false),
];

/// Names of processors that folders have.
const PROCESSORS: [(&str, Option<Arch>); 9] = [
    ("x86", Some(Arch::X86)),
    ("i386", Some(Arch::X86)),
    ("amd64", Some(Arch::Amd64)),
    ("x64", Some(Arch::Amd64)),
    ("x86_64", Some(Arch::Amd64)),
    ("arm64", Some(Arch::Arm64)),
    ("aarch64", Some(Arch::Arm64)),
    ("ia64", None),
    ("arm", None),
];

/// How near a folder is to the guest: the nearest version first, then its own kind (workstations and servers of one
/// version have the same kernel), then the newest build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nearness {
    /// Zeros where the path does not say.
    version: (u32, u32),
    is_own_kind: bool,
    build: u32,
}

/// How near a package in `folder` is. `None`: it is for another processor, or for a later Windows, whose drivers may
/// need what this one lacks.
pub(crate) fn nearness(folder: &str, guest: &WindowsVersion, arch: Arch) -> Option<Nearness> {
    let mut nearness = Nearness::default();
    for part in folder.split('/').map(str::to_ascii_lowercase) {
        if let Some((_, of)) = PROCESSORS.iter().find(|(name, _)| *name == part)
            && *of != Some(arch)
        {
            return None;
        }
        if let Some((_, major, minor, build, is_server)) = BUILDS.iter().find(|(name, ..)| *name == part) {
            let is_own_kind = *is_server == guest.is_server;
            nearness = Nearness { version: (*major, *minor), is_own_kind, build: *build };
        }
    }
    let is_older = (nearness.version, nearness.build) <= ((guest.major, guest.minor), guest.build);
    is_older.then_some(nearness)
}

impl Nearness {
    /// Whether the folder is the guest's own; `true` also where the path does not say.
    pub(crate) fn is_exact(self, guest: &WindowsVersion) -> bool {
        let own = BUILDS.iter().filter(|(.., is_server)| *is_server == guest.is_server);
        let own = own.map(|(_, major, minor, build, _)| ((*major, *minor), *build));
        let own = own.filter(|version| *version <= ((guest.major, guest.minor), guest.build)).max();
        self == Self::default() || (self.is_own_kind && Some((self.version, self.build)) == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(major: u32, minor: u32, build: u32, is_server: bool) -> WindowsVersion {
        WindowsVersion { major, minor, build, is_server }
    }

    fn best<'a>(folders: &[&'a str], guest: WindowsVersion) -> Option<(&'a str, bool)> {
        let near = folders.iter().filter_map(|name| Some((nearness(name, &guest, Arch::Amd64)?, *name)));
        near.max_by_key(|(near, _)| *near).map(|(near, name)| (name, near.is_exact(&guest)))
    }

    #[test]
    fn every_windows_finds_its_folder() {
        let all = [
            "xp", "2k3", "2k8", "2k8R2", "w7", "w8", "w8.1", "2k12", "2k12R2", "w10", "2k16", "2k19", "2k22",
            "2k25", "w11",
        ];
        let paths: Vec<String> = all.iter().map(|name| format!("viostor/{name}/amd64")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        for (guest, name, is_exact) in [
            (windows(5, 2, 3790, true), "2k3", true),
            (windows(6, 0, 6002, true), "2k8", true),
            // Vista's drivers were those of Server 2008.
            (windows(6, 0, 6002, false), "2k8", false),
            (windows(5, 1, 2600, false), "xp", true),
            // XP of 64 bits is Server 2003 inside.
            (windows(5, 2, 3790, false), "2k3", false),
            (windows(6, 1, 7601, true), "2k8R2", true),
            (windows(6, 1, 7601, false), "w7", true),
            (windows(6, 2, 9200, true), "2k12", true),
            (windows(6, 3, 9600, true), "2k12R2", true),
            (windows(6, 3, 9600, false), "w8.1", true),
            (windows(10, 0, 14393, true), "2k16", true),
            (windows(10, 0, 17134, true), "2k16", true),
            (windows(10, 0, 17763, true), "2k19", true),
            (windows(10, 0, 20348, true), "2k22", true),
            (windows(10, 0, 26100, true), "2k25", true),
            (windows(10, 0, 19045, false), "w10", true),
            (windows(10, 0, 22631, false), "w11", true),
            (windows(10, 0, 26100, false), "w11", true),
        ] {
            let found = best(&paths, guest);
            assert_eq!(found, Some((format!("viostor/{name}/amd64").as_str(), is_exact)), "{guest:?}");
        }
    }

    #[test]
    fn older_ones_of_the_same_kind_come_before_the_other_kind_and_newer_ones_never() {
        let server_2022 = windows(10, 0, 20348, true);
        assert_eq!(best(&["a/2k19", "a/w10", "a/2k16", "a/2k25"], server_2022), Some(("a/2k19", false)));
        assert_eq!(best(&["a/w10", "a/w11", "a/2k12R2"], server_2022), Some(("a/w10", false)));
        assert_eq!(best(&["a/w11", "a/2k25"], server_2022), None);
        // The older layout, and folders that say nothing.
        assert_eq!(
            best(&["ARM64/2k22", "x86/2k22", "amd64/Win2012R2"], server_2022),
            Some(("amd64/Win2012R2", false))
        );
        assert_eq!(best(&["drivers", "i386"], server_2022), Some(("drivers", true)));
        assert_eq!(best(&["drivers", "w10"], server_2022), Some(("w10", false)));
    }
}
