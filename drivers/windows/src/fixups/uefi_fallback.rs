//! UEFI's fallback loader: `\EFI\BOOT\BOOTX64.EFI` is there, because a new machine's NVRAM has no boot entry.
//!
//! Facts: firmware without a boot entry that works starts that path from the EFI system partition (UEFI
//! specification, "Removable Media Boot Behavior"; `BOOTAA64.EFI` on 64-bit ARM). Windows Setup and bcdboot write the
//! boot manager there, too (Microsoft, "BCDBoot Command-Line Options"); wherever it is started from, it reads
//! `\EFI\Microsoft\Boot\BCD` of that partition. virt-v2v copies it when it is missing or different, and removes what
//! lies beside it. Here a fallback that is there is never replaced.
//!
//! A 32-bit Windows needs 32-bit firmware, which no target has.

use crate::BOOT_VOLUME;
use crate::start::loader_is_windows;
use driver_core::{
    Applies, Context, Draft, FileKind, Firmware, Fixup, Guest, GuestTree, Ownership, PartitionId,
    PartitionRole, VolumeId,
};
use format_core::{Error, ErrorKind, Result};

/// A loader is a few MiB; a larger file is something else.
const LOADER_LIMIT: u64 = 16 << 20;

/// The boot manager on the EFI system partition.
const BOOT_MANAGER: &str = "EFI/Microsoft/Boot/bootmgfw.efi";

const BY_HAND: &str = "start a recovery environment and run bcdboot C:\\Windows /s S: /f UEFI (S: being the EFI system partition)";

/// The boot manager, which has to be copied before the machine starts by UEFI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackCopy {
    /// The EFI system partition.
    pub partition: PartitionId,
    /// The loader that becomes the fallback, in the guest's tree.
    pub loader: String,
    /// Where it is copied to, in the guest's tree.
    pub fallback: String,
}

pub(super) struct UefiFallback;

impl Fixup for UefiFallback {
    fn id(&self) -> &'static str {
        "windows-uefi-fallback"
    }

    fn title(&self) -> &'static str {
        "the boot manager is where UEFI looks without a boot entry"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.firmware != Firmware::Uefi {
            return Ok(Applies::no(format!("{} starts by BIOS", context.target.name)));
        }
        let there = system_partition(context.guest).zip(fallback_path(context.guest));
        Ok(match there {
            None => Applies::no("there is no EFI system partition that this Windows could start from"),
            Some((_, fallback)) if is_file(draft.tree(), &fallback)? => Applies::Yes,
            Some(_) if missing_fallback(draft.tree(), context.guest)?.is_some() => Applies::Yes,
            Some(_) => Applies::no(format!("there is no {BOOT_VOLUME}/{BOOT_MANAGER} to copy")),
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(fallback) = fallback_path(context.guest) else { return Ok(()) };
        let Some(found) = missing_fallback(draft.tree(), context.guest)? else {
            let loader = read(draft, &fallback)?.unwrap_or_default();
            let own = format!("{BOOT_VOLUME}/{BOOT_MANAGER}");
            // What Windows 7 is signed by is used for more than loaders.
            if !loader_is_windows(&loader) && read(draft, &own)?.as_ref() != Some(&loader) {
                draft.note(format!(
                    "{fallback} is not the boot manager of Windows: UEFI starts it all the same"
                ));
            }
            return Ok(());
        };
        let loader = read(draft, &found.loader)?.unwrap_or_default();
        if !loader.starts_with(b"MZ") {
            return Err(Error::needs_person(format!("{} is no program of UEFI", found.loader)).hint(BY_HAND));
        }
        let reason = format!("{} has no boot entry: UEFI looks here", context.target.name);
        draft.create(&found.fallback, loader, Ownership::ROOT_FILE, &reason)
    }
}

/// A loader; `None` when there is none.
fn read(draft: &Draft<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    match draft.read(path, LOADER_LIMIT) {
        Err(e) if e.kind() == ErrorKind::Limit => {
            Err(Error::needs_person(format!("{path} is larger than any boot loader")).hint(BY_HAND))
        }
        read => read.map_err(|e| e.context(format!("read {path}"))),
    }
}

/// What has to be copied so that the guest starts by UEFI without a boot entry; `None` when there is a fallback
/// loader, or no boot manager of Windows on an EFI system partition.
///
/// # Errors
/// When the guest cannot be read.
pub fn missing_fallback(tree: &GuestTree, guest: &Guest) -> Result<Option<FallbackCopy>> {
    let Some((partition, fallback)) = system_partition(guest).zip(fallback_path(guest)) else {
        return Ok(None);
    };
    let loader = format!("{BOOT_VOLUME}/{BOOT_MANAGER}");
    if is_file(tree, &fallback)? || !is_file(tree, &loader)? {
        return Ok(None);
    }
    Ok(Some(FallbackCopy { partition, loader, fallback }))
}

fn is_file(tree: &GuestTree, path: &str) -> Result<bool> {
    Ok(tree.metadata(path)?.is_some_and(|meta| meta.kind == FileKind::File))
}

/// The partition that the firmware starts from, when it is an EFI system partition.
fn system_partition(guest: &Guest) -> Option<PartitionId> {
    let mount = guest.mounts.iter().find(|mount| mount.point == BOOT_VOLUME)?;
    let VolumeId::Partition { disk, partition } = mount.place else { return None };
    guest.partition((disk, partition)).filter(|facts| facts.role == PartitionRole::Esp)?;
    Some((disk, partition))
}

/// The fallback loader for the guest's processor, in the guest's tree.
fn fallback_path(guest: &Guest) -> Option<String> {
    let name = match guest.os.as_ref()?.arch.as_deref()? {
        "x86_64" => "BOOTX64.EFI",
        "aarch64" => "BOOTAA64.EFI",
        _ => return None,
    };
    Some(format!("{BOOT_VOLUME}/EFI/BOOT/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, plan};
    use driver_core::{DiskFacts, MountFacts, PartitionFacts, Status, Wishes, apply};

    const WINDOWS: &str = "MZ Windows UEFI CA 2023";

    fn guest(files: &[(&str, &str)], role: PartitionRole) -> (GuestTree, Guest) {
        let phony =
            files.iter().fold(Phony::windows_2016(), |phony, (path, text)| phony.boot_file(path, text));
        let (tree, mut guest) = phony.build();
        let partitions = vec![PartitionFacts { number: 1, role, ..Default::default() }];
        guest.disks = vec![DiskFacts { partitions, ..Default::default() }];
        guest.mounts = vec![MountFacts {
            point: BOOT_VOLUME.into(),
            device: String::new(),
            place: VolumeId::Partition { disk: 0, partition: 1 },
            kind: "vfat".into(),
        }];
        (tree, guest)
    }

    #[test]
    fn the_boot_manager_is_copied_once() {
        let (mut tree, mut guest) =
            guest(&[("/EFI/Microsoft/Boot/bootmgfw.efi", WINDOWS)], PartitionRole::Esp);
        let found = missing_fallback(&tree, &guest).unwrap().unwrap();
        assert_eq!(
            (found.partition, found.loader.as_str()),
            ((0, 1), "/boot:/EFI/Microsoft/Boot/bootmgfw.efi")
        );
        let planned = plan(&tree, &guest, "hyperv-gen2", &Wishes::NONE, &UefiFallback);
        let paths: Vec<_> = planned.edits.iter().map(|edit| edit.path.as_str()).collect();
        assert_eq!(paths.last(), Some(&"/boot:/EFI/BOOT/BOOTX64.EFI"), "{paths:?}");
        apply(&mut tree, &planned.edits).unwrap();
        assert_eq!(tree.read_file("/boot:/EFI/BOOT/BOOTX64.EFI", 99).unwrap().unwrap(), WINDOWS.as_bytes());
        let again = plan(&tree, &guest, "hyperv-gen2", &Wishes::NONE, &UefiFallback);
        assert!(again.edits.is_empty() && again.fixups[0].reason.is_none(), "{:?}", again.fixups);
        guest.os.as_mut().unwrap().arch = Some("aarch64".into());
        assert_eq!(
            missing_fallback(&tree, &guest).unwrap().unwrap().fallback,
            "/boot:/EFI/BOOT/BOOTAA64.EFI"
        );
    }

    #[test]
    fn another_fallback_is_left_and_said() {
        let own = ("/EFI/Microsoft/Boot/bootmgfw.efi", "MZ old");
        for (fallback, said) in [("MZ shim", true), (WINDOWS, false), ("MZ old", false)] {
            let (tree, guest) = guest(&[own, ("/EFI/BOOT/BOOTX64.EFI", fallback)], PartitionRole::Esp);
            let planned = plan(&tree, &guest, "hyperv-gen2", &Wishes::NONE, &UefiFallback);
            assert_eq!((planned.edits.len(), planned.fixups[0].reason.is_some()), (0, said), "{fallback}");
        }
    }

    #[test]
    fn nothing_is_copied_elsewhere_or_from_something_else() {
        let own = [("/EFI/Microsoft/Boot/bootmgfw.efi", "text")];
        for (target, role, status) in [
            ("hyperv-gen2", PartitionRole::Esp, Status::Cannot),
            ("hyperv-gen2", PartitionRole::Data, Status::NotApplicable),
            ("hyperv-gen1", PartitionRole::Esp, Status::NotApplicable),
        ] {
            let (tree, guest) = guest(&own, role);
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &UefiFallback);
            assert_eq!(planned.fixups[0].status, status, "{target} {role:?}");
            assert!(planned.edits.is_empty());
        }
    }
}
