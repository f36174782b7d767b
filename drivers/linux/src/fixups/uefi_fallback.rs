//! UEFI's fallback loader: `\EFI\BOOT\BOOTX64.EFI` is there, because a new machine's NVRAM has no boot entry.
//!
//! Facts: firmware without a boot entry that works starts that path from the EFI system partition (UEFI specification,
//! "Removable Media Boot Behavior"; `BOOTAA64.EFI` on 64-bit ARM).
//!
//! shim loads `grubx64.efi` (SUSE's: `grub.efi`) and `mmx64.efi` from the folder it was itself started from (rhboot/shim,
//! README and `DEFAULT_LOADER`). The distributions' signed GRUB has its prefix built in (`/EFI/debian`, `/EFI/redhat`) and
//! reads its configuration there, wherever it was started from (tried: OVMF with an image of grub-mkimage -p
//! /EFI/debian); an unsigned one has the file system's UUID built in. SUSE's reads the `grub.cfg` that lies beside it
//! (shim-install(8) writes one there; not tried), so that stub is copied, too. Copying shim and GRUB is what Debian's
//! `grub-install --force-extra-removable` and SUSE's `shim-install --removable` are for.
//!
//! `fbx64.efi` is never added: where it lies beside shim in `\EFI\BOOT`, shim starts it instead of GRUB; it writes a boot
//! entry for every `BOOTX64.CSV` and resets machines with a TPM, for ever where NVRAM does not keep the entry
//! (rhboot/shim, issues 128, 429 and 545). Where the distribution has put it there, it is left, and works by the CSV file;
//! without such a file it would find nothing to start, and nothing is copied.
//!
//! systemd-boot finds `\loader` wherever it was started from; bootctl(1) puts it into `\EFI\BOOT` itself.

use crate::config_file::exists;
use crate::inspect::kind_of;
use driver_core::{
    Applies, Context, Draft, FileKind, Firmware, Fixup, Guest, GuestTree, Ownership, PartitionId,
    PartitionRole, VolumeId,
};
use format_core::{Error, ErrorKind, Result};

/// A loader is a few MiB; a larger file is something else.
const LOADER_LIMIT: u64 = 16 << 20;

/// ID of os-release, and the folder in `\EFI` that its distribution uses.
const VENDORS: [(&str, &str); 17] = [
    ("debian", "debian"),
    ("ubuntu", "ubuntu"),
    ("linuxmint", "ubuntu"),
    ("kali", "kali"),
    ("fedora", "fedora"),
    ("rhel", "redhat"),
    ("ol", "redhat"),
    ("centos", "centos"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("amzn", "amzn"),
    ("sles", "sles"),
    ("sled", "sles"),
    ("sles_sap", "sles"),
    ("opensuse-leap", "opensuse"),
    ("opensuse-tumbleweed", "opensuse"),
    ("opensuse", "opensuse"),
];

/// A loader that has to be copied before the machine starts by UEFI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackCopy {
    /// The EFI system partition.
    pub partition: PartitionId,
    /// The loader that becomes the fallback, in the guest's tree.
    pub loader: String,
    /// What is copied: from, to.
    copies: Vec<(String, String)>,
}

pub(super) struct UefiFallback;

impl Fixup for UefiFallback {
    fn id(&self) -> &'static str {
        "linux-uefi-fallback"
    }

    fn title(&self) -> &'static str {
        "the boot loader is where UEFI looks without a boot entry"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.firmware != Firmware::Uefi {
            return Ok(Applies::no(format!("{} starts by BIOS", context.target.name)));
        }
        Ok(match missing_fallback(draft.tree(), context.guest)? {
            Some(_) => Applies::Yes,
            None => {
                Applies::no("no EFI system partition lacks a loader that it could get from another folder")
            }
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(found) = missing_fallback(draft.tree(), context.guest)? else { return Ok(()) };
        let reason = format!("{} has no boot entry: UEFI looks here", context.target.name);
        for (from, to) in &found.copies {
            if exists(draft, to)? {
                continue;
            }
            let content = match draft.read(from, LOADER_LIMIT) {
                Ok(content) => content.unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Limit => {
                    return Err(Error::needs_person(format!("{from} is larger than any boot loader"))
                        .hint("run grub-install --force-extra-removable (or bootctl install) in the guest"));
                }
                Err(e) => return Err(e.context(format!("read {from}"))),
            };
            draft.create(to, content, Ownership::ROOT_FILE, &reason)?;
        }
        Ok(())
    }
}

/// What has to be copied so that the guest starts by UEFI without a boot entry; `None` when its fallback loader is there,
/// or no mounted EFI system partition has a loader of its distribution.
///
/// # Errors
/// When the guest cannot be read.
pub fn missing_fallback(tree: &GuestTree, guest: &Guest) -> Result<Option<FallbackCopy>> {
    let arm = guest.os.as_ref().and_then(|os| os.arch.as_deref()) == Some("aarch64");
    let suffix = if arm { "aa64" } else { "x64" };
    let mut found = None;
    for mount in &guest.mounts {
        let VolumeId::Partition { disk, partition } = mount.place else { continue };
        let partition = (disk, partition);
        if guest.partition(partition).is_none_or(|facts| facts.role != PartitionRole::Esp) {
            continue;
        }
        let esp = Esp { tree, efi: format!("{}/EFI", mount.point.trim_end_matches('/')), suffix };
        if esp.has(&esp.fallback())? {
            return Ok(None);
        }
        if found.is_none() {
            let copy = esp.choose(guest)?;
            found = copy.map(|(loader, copies)| FallbackCopy { partition, loader, copies });
        }
    }
    Ok(found)
}

/// The loader, and what is copied.
type Copies = (String, Vec<(String, String)>);

/// One EFI system partition.
struct Esp<'a> {
    tree: &'a GuestTree,
    /// Its folder `\EFI` in the tree.
    efi: String,
    suffix: &'a str,
}

impl Esp<'_> {
    fn has(&self, path: &str) -> Result<bool> {
        Ok(kind_of(self.tree, path)? == Some(FileKind::File))
    }

    fn fallback(&self) -> String {
        format!("{}/BOOT/BOOT{}.EFI", self.efi, self.suffix.to_uppercase())
    }

    /// The loader that the guest uses: systemd-boot, or that of its distribution, or else the only one.
    fn choose(&self, guest: &Guest) -> Result<Option<Copies>> {
        if guest.boot.loader.as_deref() == Some("systemd-boot") {
            return self.systemd_boot();
        }
        let id = guest.os.as_ref().map(|os| os.id.as_str()).unwrap_or_default();
        if let Some((_, folder)) = VENDORS.iter().find(|(known, _)| *known == id)
            && let Some(copies) = self.of_vendor(folder)?
        {
            return Ok(Some(copies));
        }
        let mut folders: Vec<_> = VENDORS.iter().map(|(_, folder)| *folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let mut found = Vec::new();
        for folder in folders {
            found.extend(self.of_vendor(folder)?);
        }
        // Which of two systems would start is not for us to choose.
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    fn systemd_boot(&self) -> Result<Option<Copies>> {
        let loader = format!("{}/systemd/systemd-boot{}.efi", self.efi, self.suffix);
        Ok(self.has(&loader)?.then(|| (loader.clone(), vec![(loader, self.fallback())])))
    }

    fn of_vendor(&self, folder: &str) -> Result<Option<Copies>> {
        let suffix = self.suffix;
        let from = |name: &str| format!("{}/{folder}/{name}", self.efi);
        let to = |name: &str| format!("{}/BOOT/{name}", self.efi);
        let fallback_by = [format!("fb{suffix}.efi"), "fallback.efi".into()];
        let lists = [format!("BOOT{}.CSV", suffix.to_uppercase()), "boot.csv".into()];
        for (shim, grub, beside) in [
            (
                format!("shim{suffix}.efi"),
                format!("grub{suffix}.efi"),
                [format!("mm{suffix}.efi"), String::new()],
            ),
            ("shim.efi".into(), "grub.efi".into(), ["MokManager.efi".into(), "grub.cfg".into()]),
        ] {
            if !self.has(&from(&grub))? {
                continue;
            }
            if !self.has(&from(&shim))? {
                return Ok(Some((from(&grub), vec![(from(&grub), self.fallback())])));
            }
            let by_list = self.has_any(&fallback_by.each_ref().map(|name| to(name)))?;
            if by_list && !self.has_any(&lists.each_ref().map(|name| from(name)))? {
                return Ok(None);
            }
            let mut copies = vec![(from(&shim), self.fallback()), (from(&grub), to(&grub))];
            for name in beside.iter().filter(|name| !name.is_empty()) {
                if self.has(&from(name))? {
                    copies.push((from(name), to(name)));
                }
            }
            return Ok(Some((from(&shim), copies)));
        }
        Ok(None)
    }

    fn has_any(&self, paths: &[String]) -> Result<bool> {
        for path in paths {
            if self.has(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
