//! How the machine can be started: by BIOS, by UEFI, and whether Secure Boot would allow it.

use driver_core::{
    DiskFacts, FileKind, GroupFacts, GroupKind, Guest, GuestFs, GuestTree, PartitionId, PartitionRole,
    TableKind, VolumeId,
};
use format_core::{ErrorKind, Result};
use std::collections::BTreeMap;

/// A loader is a few MiB; a larger file is something else.
const LOADER_LIMIT: u64 = 16 << 20;
/// Likewise for a kernel.
const KERNEL_LIMIT: u64 = 128 << 20;

/// Where UEFI looks without a boot entry.
const FALLBACKS: [&str; 2] = ["/EFI/BOOT/BOOTX64.EFI", "/EFI/BOOT/BOOTAA64.EFI"];

/// Menus that loaders of a Xen host look for (pygrub, GRUB for PV and PVH).
const HOST_MENUS: &[&str] = &[
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/boot/extlinux/extlinux.conf",
];

/// What the certificates are called that Hyper-V's template "Microsoft UEFI Certificate Authority" trusts.
const AUTHORITIES: [&[u8]; 2] = [b"Microsoft Corporation UEFI CA 2011", b"Microsoft UEFI CA 2023"];

/// Fills in [`Guest::boot`] from the tables, the boot code and the EFI system partition.
pub(crate) fn firmware_facts(guest: &mut Guest, opened: &BTreeMap<VolumeId, Box<dyn GuestFs>>) -> Result<()> {
    guest.boot.bios = bios(guest);
    for (disk, facts) in guest.disks.iter().enumerate() {
        for partition in facts.partitions.iter().filter(|partition| partition.role == PartitionRole::Esp) {
            let id = content_of(guest, (disk, partition.number).into());
            let Some(fs) = opened.get(&id) else { continue };
            for path in FALLBACKS {
                if fs.metadata(path)?.is_some_and(|meta| meta.kind == FileKind::File) {
                    let number = partition.number;
                    guest.boot.uefi = Some(format!("{path} is on disk {disk}, partition {number}"));
                    let loader = fs.read_file(path, LOADER_LIMIT)?;
                    guest.boot.secure_boot = Some(is_signed_by_microsoft(&loader));
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Without a fallback loader: whether one can be copied from the distribution's folder.
pub(crate) fn fallback_facts(guest: &mut Guest, tree: &GuestTree) -> Result<()> {
    let arch = guest.os.as_ref().and_then(|os| os.arch.as_deref());
    let foreign = match arch {
        Some("aarch64") => FALLBACKS.first(),
        Some("x86_64" | "i686") => FALLBACKS.last(),
        _ => None,
    };
    // Another processor's loader starts nothing here.
    if foreign.is_some_and(|name| guest.boot.uefi.as_ref().is_some_and(|found| found.starts_with(name))) {
        (guest.boot.uefi, guest.boot.secure_boot) = (None, None);
    }
    if guest.boot.uefi.is_some() {
        return Ok(());
    }
    let Some((partition, loader)) = missing_fallback(guest, tree)? else { return Ok(()) };
    let (disk, number) = partition;
    let what =
        format!("{loader} is on disk {disk}, partition {number}: after the loader was copied to \\EFI\\BOOT");
    let content = match tree.read_file(&loader, LOADER_LIMIT) {
        Ok(content) => content.unwrap_or_default(),
        Err(e) if e.kind() == ErrorKind::Limit => return Ok(()),
        Err(e) => return Err(e.context(format!("read {loader}"))),
    };
    guest.boot.uefi = Some(what);
    guest.boot.secure_boot = Some(is_signed(guest, &content));
    guest.boot.uefi_copy = Some(loader);
    Ok(())
}

/// The loader that can be copied to where the firmware looks, and its partition.
fn missing_fallback(guest: &Guest, tree: &GuestTree) -> Result<Option<(PartitionId, String)>> {
    if guest.windows.is_some() {
        return Ok(driver_windows::missing_fallback(tree, guest)?.map(|copy| (copy.partition, copy.loader)));
    }
    Ok(driver_linux::missing_fallback(tree, guest)?.map(|copy| (copy.partition, copy.loader)))
}

/// Whether the firmware that trusts Microsoft for such a guest trusts the loader.
fn is_signed(guest: &Guest, loader: &[u8]) -> bool {
    if guest.windows.is_some() {
        driver_windows::loader_is_windows(loader)
    } else {
        is_signed_by_microsoft(loader)
    }
}

/// How Windows can be started: its BIOS loader is on its active partition, and its loader for UEFI has signatures of its own.
pub(crate) fn windows_facts(guest: &mut Guest, tree: &GuestTree) -> Result<()> {
    guest.boot.bios = driver_windows::starts_by_bios(tree, guest)?;
    for fallback in FALLBACKS {
        let path = format!("{}{fallback}", driver_windows::BOOT_VOLUME);
        if guest.boot.uefi.is_some() && tree.metadata(&path)?.is_some_and(|meta| meta.kind == FileKind::File)
        {
            let loader = tree.read_file(&path, LOADER_LIMIT)?.unwrap_or_default();
            guest.boot.secure_boot = Some(driver_windows::loader_is_windows(&loader));
        }
    }
    fallback_facts(guest, tree)
}

/// A guest without a boot loader of its own, but with a menu, was started by a loader of the host.
pub(crate) fn host_loader(guest: &mut Guest, tree: &GuestTree) -> Result<()> {
    if guest.boot.bios.is_some() || guest.boot.uefi.is_some() {
        return Ok(());
    }
    for path in HOST_MENUS {
        if tree.metadata(path)?.is_some_and(|meta| meta.kind == FileKind::File) {
            guest.boot.host_loader = Some((*path).into());
            break;
        }
    }
    Ok(())
}

/// Where the file system of a partition is opened: a mirrored one in its array. Firmware reads the halves by themselves,
/// which works with superblocks at the end.
fn content_of(guest: &Guest, partition: VolumeId) -> VolumeId {
    let has = |group: &GroupFacts| {
        group.kind == GroupKind::Md && group.parts.iter().any(|part| part.place == Some(partition))
    };
    let at_end = |group: &GroupFacts| {
        ["metadata 1.0", "metadata 0.90"].iter().any(|version| group.layout.ends_with(version))
    };
    let group = guest.groups.iter().position(|group| has(group) && at_end(group));
    let volume = group.and_then(|group| guest.volumes.iter().position(|volume| volume.group == group));
    volume.map_or(partition, |volume| VolumeId::Mapped { volume })
}

/// A signed loader starts signed kernels only: with a default kernel that is not signed, [`Guest::boot`] says so.
pub(crate) fn kernel_signature(guest: &mut Guest, tree: &GuestTree) -> Result<()> {
    let kernel = guest.kernels.first().and_then(|kernel| kernel.image.as_deref());
    let (Some(true), Some(path)) = (guest.boot.secure_boot, kernel) else { return Ok(()) };
    let image = match tree.read_file(path, KERNEL_LIMIT) {
        Ok(image) => image.unwrap_or_default(),
        Err(e) if e.kind() == ErrorKind::Limit => Vec::new(),
        Err(e) => return Err(e.context(format!("read {path}"))),
    };
    guest.boot.secure_boot = Some(has_certificates(&image));
    Ok(())
}

/// Whether a PE file has an attribute certificate table (PE format, "Optional Header Data Directories": the fifth).
fn has_certificates(image: &[u8]) -> bool {
    let number = |at: usize| Some(u32::from_le_bytes(image.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let size = || {
        let header = usize::try_from(number(0x3c)?).ok()?;
        let optional = header.checked_add(24)?;
        let pe = image.get(header..)?.starts_with(b"PE\0\0");
        let wide = image.get(optional..)?.starts_with(&0x20b_u16.to_le_bytes());
        number(optional.checked_add(if wide { 112 } else { 96 } + 4 * 8 + 4)?).filter(|_| pe)
    };
    image.starts_with(b"MZ") && size().is_some_and(|size| size > 0)
}

/// A boot loader in sector 0 of the first disk, and with GPT the partition that GRUB's core image needs.
fn bios(guest: &Guest) -> Option<String> {
    let disk = guest.disks.first()?;
    let code = disk.boot_code.as_deref()?;
    match disk.table {
        // A boot sector within the file system, as extlinux makes it.
        TableKind::None => matches!(code, "syslinux" | "GRUB")
            .then(|| format!("the first sector of disk 0 holds {code} boot code")),
        TableKind::Mbr => Some(format!("sector 0 of disk 0 holds {code} boot code")),
        TableKind::Gpt => {
            let core = disk.partitions.iter().find(|partition| partition.role == PartitionRole::BiosBoot);
            let core = core.map(|partition| {
                format!("sector 0 of disk 0 holds {code} boot code, partition {} its core", partition.number)
            });
            core.or_else(|| active_entry(disk, code))
        }
    }
}

/// In a hybrid MBR, boot code other than GRUB's, which needs its core, starts what lies in the active entry.
fn active_entry(disk: &DiskFacts, code: &str) -> Option<String> {
    let active = disk.hybrid.iter().find(|entry| entry.bootable && entry.partition.is_some());
    let (entry, partition) = active.and_then(|entry| Some((entry.number, entry.partition?)))?;
    (code != "GRUB").then(|| {
        format!("sector 0 of disk 0 holds {code} boot code, entry {entry} of its hybrid MBR starts partition {partition}")
    })
}

/// Whether the loader carries a signature of the authority: its certificates name their issuer in plain text.
fn is_signed_by_microsoft(loader: &[u8]) -> bool {
    AUTHORITIES.iter().any(|name| loader.windows(name.len()).any(|window| window == *name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{HybridEntry, KernelFacts, MemFs, PartitionFacts};

    fn kernel(certificates: u32) -> Vec<u8> {
        let mut image = vec![0; 0x200];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c] = 0x40;
        image[0x40..0x44].copy_from_slice(b"PE\0\0");
        image[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        image[0x58 + 148..0x58 + 152].copy_from_slice(&certificates.to_le_bytes());
        image
    }

    #[test]
    fn a_hybrid_mbr_starts_by_its_active_entry_and_grub_by_its_core() {
        let entry =
            |bootable, partition| HybridEntry { number: 2, bootable, partition, ..Default::default() };
        for (code, hybrid, role, starts) in [
            ("syslinux", vec![entry(true, Some(3))], PartitionRole::Data, true),
            ("syslinux", vec![entry(false, Some(3))], PartitionRole::Data, false),
            ("syslinux", vec![entry(true, None)], PartitionRole::Data, false),
            ("syslinux", Vec::new(), PartitionRole::Data, false),
            ("GRUB", vec![entry(true, Some(3))], PartitionRole::Data, false),
            ("GRUB", vec![entry(true, Some(3))], PartitionRole::BiosBoot, true),
        ] {
            let partitions = vec![PartitionFacts { number: 3, role, ..Default::default() }];
            let (table, boot_code) = (TableKind::Gpt, Some(code.to_owned()));
            let disk = DiskFacts { table, boot_code, partitions, hybrid, ..DiskFacts::default() };
            let guest = Guest { disks: vec![disk], ..Guest::default() };
            assert_eq!(bios(&guest).is_some(), starts, "{guest:?}");
        }
    }

    #[test]
    fn secure_boot_needs_a_signed_kernel_too() {
        for (image, signed) in [
            (kernel(1480), true),
            (kernel(0), false),
            (b"MZ".to_vec(), false),
            (vec![0xff; 0x60], false),
            (Vec::new(), false),
        ] {
            let mut tree = GuestTree::new();
            tree.mount("/", Box::new(MemFs::new().with_file("/boot/vmlinuz-1", image)));
            let mut guest = Guest::default();
            guest.boot.secure_boot = Some(true);
            let image = Some("/boot/vmlinuz-1".to_owned());
            guest.kernels = vec![KernelFacts { image, ..KernelFacts::default() }];
            kernel_signature(&mut guest, &tree).unwrap();
            assert_eq!(guest.boot.secure_boot, Some(signed));
        }
    }
}
