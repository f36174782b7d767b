//! What is known of how a Windows starts, and where it can.

use driver_core::{FileKind, Guest, GuestTree, TableKind, VolumeId, WindowsFacts};
use format_core::Result;

/// Certificates that sign Windows' own loaders, and that Hyper-V's template "Microsoft Windows" trusts (Microsoft,
/// "Windows Secure Boot certificate expiration and CA updates"). Certificates name their issuer in plain text.
const WINDOWS_AUTHORITIES: [&[u8]; 2] = [b"Microsoft Windows Production PCA 2011", b"Windows UEFI CA 2023"];

/// Why this Windows can be started by BIOS; `None` when it cannot.
///
/// The code in sector 0 of the first disk starts the active partition, whose boot sector loads `bootmgr` of the same
/// partition, which reads `\Boot\BCD` there (Windows Internals, "The BIOS boot process"); before Vista it loads
/// `ntldr`. Windows does not start from a GPT so. GRUB in sector 0 starts what its menu says, and no partition needs
/// to be active. The active partition's own boot sector is not looked at.
///
/// # Errors
/// When the guest cannot be read.
pub fn starts_by_bios(tree: &GuestTree, guest: &Guest) -> Result<Option<String>> {
    let Some(disk) = guest.disks.first().filter(|disk| disk.table == TableKind::Mbr) else { return Ok(None) };
    let Some(code) = disk.boot_code.as_deref() else { return Ok(None) };
    if code == "GRUB" {
        return Ok(Some("sector 0 of disk 0 holds GRUB boot code".into()));
    }
    let Some(active) = disk.partitions.iter().find(|partition| partition.bootable) else { return Ok(None) };
    let number = active.number;
    let place = VolumeId::Partition { disk: 0, partition: number };
    let Some(mount) = guest.mounts.iter().find(|mount| mount.place == place) else { return Ok(None) };
    let root = mount.point.trim_end_matches('/');
    let has = |name: &str| -> Result<bool> {
        Ok(tree.metadata(&format!("{root}/{name}"))?.is_some_and(|meta| meta.kind == FileKind::File))
    };
    let loader = match (has("bootmgr")? && has("Boot/BCD")?, has("ntldr")?) {
        (true, _) => "bootmgr",
        (false, true) => "ntldr",
        (false, false) => return Ok(None),
    };
    Ok(Some(format!("sector 0 of disk 0 holds boot code, and its active partition {number} has {loader}")))
}

/// Whether a loader of UEFI is signed as Windows' own are: for Hyper-V's Secure Boot template "Microsoft Windows",
/// not for "Microsoft UEFI Certificate Authority".
#[must_use]
pub fn loader_is_windows(content: &[u8]) -> bool {
    WINDOWS_AUTHORITIES.iter().any(|name| content.windows(name.len()).any(|window| window == *name))
}

/// Whether Hyper-V runs it in a machine of generation 2: a 64-bit Windows 8, Server 2012 or later (Microsoft, "Should
/// I create a generation 1 or 2 virtual machine in Hyper-V?"). Earlier ones start by UEFI only where the firmware
/// emulates a VGA BIOS, which no Secure Boot allows. `arch` is that of [`driver_core::OsFacts`].
#[must_use]
pub fn supports_generation_2(windows: &WindowsFacts, arch: Option<&str>) -> bool {
    windows.version >= (6, 2) && matches!(arch, Some("x86_64" | "aarch64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BOOT_VOLUME;
    use driver_core::{DiskFacts, MemFs, MountFacts, PartitionFacts};

    fn started(table: TableKind, code: Option<&str>, active: Option<u32>, files: &[&str]) -> Option<String> {
        let partition =
            |number| PartitionFacts { number, bootable: active == Some(number), ..Default::default() };
        let disk = DiskFacts {
            table,
            boot_code: code.map(str::to_owned),
            partitions: vec![partition(1), partition(2)],
            ..DiskFacts::default()
        };
        let mount = |point: &str, partition| MountFacts {
            point: point.into(),
            device: String::new(),
            place: VolumeId::Partition { disk: 0, partition },
            kind: "ntfs".into(),
        };
        let mounts = vec![mount("/", 2), mount(BOOT_VOLUME, 1)];
        let guest = Guest { disks: vec![disk], mounts, ..Guest::default() };
        let files = files.iter().fold(MemFs::new(), |fs, path| fs.with_file(path, "x"));
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new()));
        tree.mount(BOOT_VOLUME, Box::new(files));
        starts_by_bios(&tree, &guest).unwrap()
    }

    #[test]
    fn bios_needs_boot_code_and_an_active_partition_with_the_boot_manager_and_its_store() {
        use TableKind::{Gpt, Mbr};
        let files = ["/bootmgr", "/Boot/BCD"];
        let reason = started(Mbr, Some("unknown"), Some(1), &files).unwrap();
        assert_eq!(reason, "sector 0 of disk 0 holds boot code, and its active partition 1 has bootmgr");
        assert!(started(Mbr, Some("unknown"), Some(1), &["/ntldr"]).is_some());
        assert!(started(Mbr, Some("GRUB"), None, &[]).is_some());
        assert_eq!(started(Mbr, Some("unknown"), None, &files), None);
        assert_eq!(started(Mbr, Some("unknown"), Some(2), &files), None);
        assert_eq!(started(Mbr, Some("unknown"), Some(1), &["/bootmgr"]), None);
        assert_eq!(started(Mbr, Some("unknown"), Some(1), &["/Boot/BCD"]), None);
        assert_eq!(started(Mbr, None, Some(1), &files), None);
        assert_eq!(started(Gpt, Some("unknown"), Some(1), &files), None);
        assert_eq!(starts_by_bios(&GuestTree::new(), &Guest::default()).unwrap(), None);
    }

    #[test]
    fn loaders_and_generations_are_told_apart() {
        assert!(loader_is_windows(b"MZ..Microsoft Windows Production PCA 2011.."));
        assert!(loader_is_windows(b"MZ..Windows UEFI CA 2023"));
        assert!(!loader_is_windows(b"MZ..Microsoft Corporation UEFI CA 2011"));
        let of = |version| WindowsFacts { version, ..WindowsFacts::default() };
        for (version, arch, supported) in [
            ((6, 1), "x86_64", false),
            ((6, 2), "x86_64", true),
            ((10, 0), "x86_64", true),
            ((10, 0), "i686", false),
        ] {
            assert_eq!(supports_generation_2(&of(version), Some(arch)), supported, "{version:?} {arch}");
        }
        assert!(!supports_generation_2(&of((10, 0)), None));
    }
}
