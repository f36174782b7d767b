//! How the machine can be started: by BIOS, by UEFI, and whether Secure Boot would allow it.

use driver_core::{FileKind, Guest, GuestFs, PartitionId, PartitionRole, TableKind};
use format_core::Result;
use std::collections::BTreeMap;

/// A loader is a few MiB; a larger file is something else.
const LOADER_LIMIT: u64 = 16 << 20;

/// What the certificates are called that Hyper-V's template "Microsoft UEFI Certificate Authority" trusts.
const AUTHORITIES: [&[u8]; 2] = [b"Microsoft Corporation UEFI CA 2011", b"Microsoft UEFI CA 2023"];

/// Fills in [`Guest::boot`] from the tables, the boot code and the EFI system partition.
pub(crate) fn firmware_facts(
    guest: &mut Guest,
    opened: &BTreeMap<PartitionId, Box<dyn GuestFs>>,
) -> Result<()> {
    guest.boot.bios = bios(guest);
    for (disk, facts) in guest.disks.iter().enumerate() {
        for partition in facts.partitions.iter().filter(|partition| partition.role == PartitionRole::Esp) {
            let Some(fs) = opened.get(&(disk, partition.number)) else { continue };
            let path = "/EFI/BOOT/BOOTX64.EFI";
            if fs.metadata(path)?.is_some_and(|meta| meta.kind == FileKind::File) {
                let number = partition.number;
                guest.boot.uefi = Some(format!("{path} is on disk {disk}, partition {number}"));
                let loader = fs.read_file(path, LOADER_LIMIT)?;
                guest.boot.secure_boot = Some(is_signed_by_microsoft(&loader));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A boot loader in sector 0 of the first disk, and with GPT the partition that GRUB's core image needs.
fn bios(guest: &Guest) -> Option<String> {
    let disk = guest.disks.first()?;
    let code = disk.boot_code.as_deref()?;
    match disk.table {
        TableKind::None => None,
        TableKind::Mbr => Some(format!("sector 0 of disk 0 holds {code} boot code")),
        TableKind::Gpt => disk
            .partitions
            .iter()
            .find(|partition| partition.role == PartitionRole::BiosBoot)
            .map(|partition| {
                format!("sector 0 of disk 0 holds {code} boot code, partition {} its core", partition.number)
            }),
    }
}

/// Whether the loader carries a signature of the authority: its certificates name their issuer in plain text.
fn is_signed_by_microsoft(loader: &[u8]) -> bool {
    AUTHORITIES.iter().any(|name| loader.windows(name.len()).any(|window| window == *name))
}
