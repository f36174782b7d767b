//! Which of a platform's machines a guest fits.

use crate::wrap::lone_file_system;
use driver_core::{DefinitionKind, Firmware, Guest, Platform, Target};
use format_core::{Error, Result, codes};
use serde::Serialize;

/// What the operator asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The platform to go to.
    pub platform: Platform,
    /// The firmware; `None` is whatever the guest can start on, UEFI where it can do both.
    pub firmware: Option<Firmware>,
    /// The disks' controller; `None` is what is usual there.
    pub disk_bus: Option<String>,
    /// The kind of definition; `None` is what is usual there.
    pub definition: Option<String>,
    /// Whether a boot disk that is one file system gets a partition table around it.
    pub wrap: bool,
}

/// The chosen target and why.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// The target.
    #[serde(rename = "target")]
    pub target: &'static Target,
    /// How it is described to the platform.
    pub definition: &'static DefinitionKind,
    /// Why this one, for people.
    pub reason: String,
    /// Whether Secure Boot can be on.
    pub secure_boot: bool,
    /// Why, for people.
    pub secure_boot_reason: String,
    /// The driver of the machine's network adapters.
    pub network_module: &'static str,
    /// The guest is Windows, whose loader has keys of its own.
    #[serde(skip)]
    pub is_windows: bool,
}

/// Which of a platform's controllers, the usual one first, a guest can start from; `None` where any will do.
pub(crate) type Startable<'a> = &'a dyn Fn(Platform, &[&'static str]) -> Result<Option<&'static str>>;

/// Chooses by what can start the guest.
///
/// # Errors
/// `NeedsPerson` when the guest cannot start on what was asked for, or on anything; `Usage` when the platform has no
/// such controller or definition.
pub(crate) fn choose(guest: &Guest, wish: &Wish, startable: Startable<'_>) -> Result<Choice> {
    let (firmware, reason) = if wish.wrap {
        wrapped_firmware(wish.firmware)?
    } else {
        firmware_for(guest, wish.firmware).map_err(|error| unwrapped_hint(guest, wish.platform, error))?
    };
    let bus = match wish.disk_bus.as_deref() {
        Some(bus) => Some(bus),
        None => startable(wish.platform, &buses(wish.platform, firmware))?,
    };
    let target =
        driver_targets::target(wish.platform, firmware, bus).ok_or_else(|| no_target(wish, firmware))?;
    if let Some(reason) = unsupported(guest, target) {
        return Err(Error::needs_person(reason).hint("use --firmware bios, or choose another platform"));
    }
    let definition = definition_of(target, wish.definition.as_deref())?;
    let (secure_boot, why) = secure_boot(guest, target);
    let is_windows = guest.windows.is_some();
    Ok(Choice {
        target,
        definition,
        reason,
        secure_boot,
        secure_boot_reason: why.into(),
        network_module: target.network_module,
        is_windows,
    })
}

/// Why the platform does not run this guest on such a machine.
pub(crate) fn unsupported(guest: &Guest, target: &Target) -> Option<String> {
    let windows = guest.windows.as_ref()?;
    let generation_2 =
        matches!(target.platform, Platform::HyperV | Platform::Azure) && target.firmware == Firmware::Uefi;
    let arch = guest.os.as_ref().and_then(|os| os.arch.as_deref());
    (generation_2 && !driver_windows::supports_generation_2(windows, arch))
        .then(|| format!("{} runs only a 64-bit Windows 8, Server 2012 or later", target.name))
}

/// The platform's controllers, the usual one first.
pub(crate) fn buses(platform: Platform, firmware: Firmware) -> Vec<&'static str> {
    let there = |target: &&Target| target.platform == platform && target.firmware == firmware;
    let mut found: Vec<&Target> = driver_targets::targets().filter(there).collect();
    found.sort_by_key(|target| !target.is_default);
    found.into_iter().map(|target| target.disk_bus).collect()
}

fn firmware_for(guest: &Guest, wanted: Option<Firmware>) -> Result<(Firmware, String)> {
    let boot = &guest.boot;
    // What starts as it is goes before what a fixup has to mend.
    let mended = boot.uefi_copy.is_some() && boot.bios.is_some() && wanted.is_none();
    match (wanted, boot.uefi.as_ref().filter(|_| !mended), &boot.bios) {
        (Some(Firmware::Host), _, _) if guest.windows.is_some() => {
            Err(Error::needs_person("Windows does not run as a PVH guest").hint("leave --xen-type out"))
        }
        (Some(Firmware::Host), _, _) => {
            Ok((Firmware::Host, "is started by GRUB of the host, which reads the menu on its disk".into()))
        }
        (None | Some(Firmware::Uefi), Some(how), _) => Ok((Firmware::Uefi, format!("starts by UEFI: {how}"))),
        (None | Some(Firmware::Bios), _, Some(how)) => Ok((Firmware::Bios, format!("starts by BIOS: {how}"))),
        (Some(Firmware::Uefi), None, _) => Err(Error::needs_person(
            "it shall start by UEFI (on Hyper-V: generation 2), and no disk has \\EFI\\BOOT\\BOOTX64.EFI or a \
             loader that could be copied there",
        )
        .hint("use --firmware bios, or install a UEFI boot loader in the guest first")),
        (Some(Firmware::Bios), _, None) => Err(Error::needs_person(
            "it shall start by BIOS (on Hyper-V: generation 1), and the first disk has no boot code for it",
        )
        .hint("use --firmware uefi, or install a BIOS boot loader in the guest first")),
        (None, None, None) => {
            Err(Error::needs_person("no disk has a BIOS boot loader or \\EFI\\BOOT\\BOOTX64.EFI").with_code(&codes::GUEST_UNKNOWN).hint(
                "choose the boot disk as the first source, or repair the boot loader in the guest first",
            ))
        }
    }
}

fn definition_of(target: &'static Target, wanted: Option<&str>) -> Result<&'static DefinitionKind> {
    let found = match wanted {
        None => target.definitions.first(),
        Some(id) => target.definitions.iter().find(|kind| kind.id == id),
    };
    found.ok_or_else(|| {
        let wanted = wanted.unwrap_or_default();
        let ids: Vec<&str> = target.definitions.iter().map(|kind| kind.id).collect();
        Error::usage(format!("{} is not described by {wanted:?}", target.platform.name()))
            .hint(format!("possible: {}", ids.join(", ")))
    })
}

fn wrapped_firmware(wanted: Option<Firmware>) -> Result<(Firmware, String)> {
    if wanted == Some(Firmware::Host) {
        return Err(Error::usage("a PVH guest is started from the disk as it is").hint("leave --wrap out"));
    }
    if wanted == Some(Firmware::Uefi) {
        return Err(Error::usage("a disk that --wrap makes has no EFI system partition")
            .hint("leave --firmware out: it becomes a machine with BIOS"));
    }
    Ok((Firmware::Bios, "will start by BIOS, once a boot loader was installed on its wrapped disk".into()))
}

/// What can be done with a disk that only a loader of the host starts.
fn unwrapped_hint(guest: &Guest, platform: Platform, error: Error) -> Error {
    if lone_file_system(guest).is_none() {
        return error;
    }
    let wrap = "the boot disk is one file system without a partition table: with --wrap it gets one, and the next step says \
                how it gets a boot loader";
    match &guest.boot.host_loader {
        Some(menu) if platform == Platform::Xen => error.hint(format!(
            "as a PV or PVH guest it may start as it is, from {menu}: copy it with 'rehome convert -O raw' and let the \
             configuration say bootloader = \"pygrub\", or type = \"pvh\" with GRUB for PVH as kernel; for HVM, {wrap}"
        )),
        _ => error.hint(wrap),
    }
}

fn no_target(wish: &Wish, firmware: Firmware) -> Error {
    let buses = buses(wish.platform, firmware);
    let wanted = wish.disk_bus.as_deref().unwrap_or("any controller");
    Error::usage(format!("such a machine has no {wanted}")).hint(format!("it has {}", buses.join(", ")))
}

fn secure_boot(guest: &Guest, target: &Target) -> (bool, &'static str) {
    match target.firmware {
        Firmware::Bios => return (false, "a machine that starts by BIOS has no Secure Boot"),
        Firmware::Host => return (false, "a machine without firmware has no Secure Boot"),
        Firmware::Uefi => {}
    }
    let amazon = guest.os.as_ref().is_some_and(|os| os.id == "amzn");
    match guest.boot.secure_boot {
        Some(true) if guest.windows.is_some() => (true, "the loader is signed by Microsoft for Windows"),
        Some(false) if guest.windows.is_some() => (false, "the loader is not signed by Microsoft"),
        // Amazon signs its loaders with its own key.
        _ if amazon => (false, "Amazon Linux is not signed by the Microsoft UEFI Certificate Authority"),
        Some(true) => (true, "the loader is signed by the Microsoft UEFI Certificate Authority"),
        Some(false) => (
            false,
            "the loader is not signed by the Microsoft UEFI Certificate Authority, or the kernel by nobody",
        ),
        None => (false, "it is not known who signed the loader"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::BootFacts;
    use format_core::ErrorKind;

    fn guest(bios: bool, uefi: bool) -> Guest {
        let how = |yes: bool| yes.then(|| "test".to_owned());
        Guest {
            boot: BootFacts { bios: how(bios), uefi: how(uefi), ..BootFacts::default() },
            ..Guest::default()
        }
    }

    fn choose(guest: &Guest, wish: &Wish) -> Result<Choice> {
        super::choose(guest, wish, &|_, _| Ok(None))
    }

    fn wish(platform: Platform, firmware: Option<Firmware>) -> Wish {
        Wish { platform, firmware, disk_bus: None, definition: None, wrap: false }
    }

    #[test]
    fn the_firmware_follows_what_can_start_the_guest() {
        let (one, two) = (Some(Firmware::Bios), Some(Firmware::Uefi));
        for (bios, uefi, wanted, expected) in [
            (true, false, None, Some("hyperv-gen1")),
            (true, true, None, Some("hyperv-gen2")),
            (true, true, one, Some("hyperv-gen1")),
            (false, true, one, None),
            (true, false, two, None),
            (false, false, None, None),
        ] {
            let found = choose(&guest(bios, uefi), &wish(Platform::HyperV, wanted));
            assert_eq!(
                found.as_ref().ok().map(|choice| choice.target.id),
                expected,
                "{bios} {uefi} {wanted:?}"
            );
            if let Err(error) = found {
                assert_eq!(error.kind(), ErrorKind::NeedsPerson);
            }
        }
    }

    #[test]
    fn a_controller_is_one_that_the_platform_has() {
        let asked =
            |bus: &str| Wish { disk_bus: Some(bus.into()), ..wish(Platform::Kvm, Some(Firmware::Bios)) };
        let found = choose(&guest(true, false), &asked("virtio-scsi")).unwrap();
        assert_eq!(found.target.id, "kvm-bios-virtio-scsi");
        let error = choose(&guest(true, false), &asked("pvscsi")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.hint_text(), Some("it has virtio-blk, virtio-scsi, sata, ide"));
    }

    #[test]
    fn a_guest_that_lacks_drivers_gets_a_controller_that_it_starts_from() {
        let wish = wish(Platform::Kvm, Some(Firmware::Bios));
        let sata = |_, buses: &[&'static str]| Ok(buses.iter().find(|bus| **bus == "sata").copied());
        let found = super::choose(&guest(true, false), &wish, &sata).unwrap();
        assert_eq!(found.target.id, "kvm-bios-sata");
        let none = super::choose(&guest(true, false), &wish, &|_, _| Ok(None)).unwrap();
        assert_eq!(none.target.id, "kvm-bios");
    }

    #[test]
    fn a_definition_is_one_that_the_platform_takes() {
        let asked = |id: &str| Wish { definition: Some(id.into()), ..wish(Platform::Vmware, None) };
        assert_eq!(choose(&guest(true, false), &asked("vmx")).unwrap().definition.id, "vmx");
        assert_eq!(choose(&guest(true, false), &wish(Platform::Vmware, None)).unwrap().definition.id, "ovf");
        let error = choose(&guest(true, false), &asked("xl")).unwrap_err();
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Usage, Some("possible: ovf, ova, vmx")));
    }

    #[test]
    fn a_guest_without_firmware_needs_no_loader_on_its_disk() {
        let found = choose(&guest(false, false), &wish(Platform::Xen, Some(Firmware::Host))).unwrap();
        assert_eq!((found.target.id, found.secure_boot), ("xen-pvh", false));
    }

    #[test]
    fn a_loader_that_has_to_be_copied_comes_last() {
        for (bios, wanted, expected) in [
            (true, None, "hyperv-gen1"),
            (true, Some(Firmware::Uefi), "hyperv-gen2"),
            (false, None, "hyperv-gen2"),
        ] {
            let mut guest = guest(bios, true);
            guest.boot.uefi_copy = Some("/boot/efi/EFI/debian/shimx64.efi".into());
            let found = choose(&guest, &wish(Platform::HyperV, wanted)).unwrap();
            assert_eq!(found.target.id, expected);
        }
    }

    #[test]
    fn secure_boot_is_only_on_for_what_is_known_to_be_signed() {
        let mut guest = guest(false, true);
        let wish = wish(Platform::HyperV, None);
        assert!(!choose(&guest, &wish).unwrap().secure_boot);
        guest.boot.secure_boot = Some(true);
        assert!(choose(&guest, &wish).unwrap().secure_boot);
        guest.os = Some(driver_core::OsFacts { id: "amzn".into(), ..Default::default() });
        assert!(!choose(&guest, &wish).unwrap().secure_boot);
    }
}
