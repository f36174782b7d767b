//! Which generation of Hyper-V machine a guest fits.

use driver_core::{Guest, Target};
use driver_targets::{GENERATION_1, GENERATION_2};
use format_core::{Error, Result};
use serde::Serialize;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Whatever the guest can start on; UEFI where it can do both.
    #[default]
    Auto,
    /// BIOS.
    One,
    /// UEFI.
    Two,
}

/// The chosen target and why.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// The target.
    #[serde(rename = "target")]
    pub target: &'static Target,
    /// Why this one, for people.
    pub reason: String,
    /// Whether Secure Boot can be on.
    pub secure_boot: bool,
    /// Why, for people.
    pub secure_boot_reason: String,
}

/// Chooses by what can start the guest.
///
/// # Errors
/// `NeedsPerson` when the guest cannot start on what was asked for, or on anything.
pub(crate) fn choose(guest: &Guest, wanted: Generation) -> Result<Choice> {
    let boot = &guest.boot;
    // What starts as it is goes before what a fixup has to mend.
    let mended = boot.uefi_copy.is_some() && boot.bios.is_some() && wanted == Generation::Auto;
    let (target, reason) = match (wanted, boot.uefi.as_ref().filter(|_| !mended), &boot.bios) {
        (Generation::Auto | Generation::Two, Some(how), _) => {
            (&GENERATION_2, format!("starts by UEFI: {how}"))
        }
        (Generation::Auto | Generation::One, _, Some(how)) => {
            (&GENERATION_1, format!("starts by BIOS: {how}"))
        }
        (Generation::Two, None, _) => {
            return Err(Error::needs_person(
                "generation 2 starts by UEFI, and no disk has \\EFI\\BOOT\\BOOTX64.EFI or a loader that could be copied there",
            )
            .hint("use --generation 1, or install a UEFI boot loader in the guest first"));
        }
        (Generation::One, _, None) => {
            return Err(Error::needs_person(
                "generation 1 starts by BIOS, and the first disk has no boot code for it",
            )
            .hint("use --generation 2, or install a BIOS boot loader in the guest first"));
        }
        (Generation::Auto, None, None) => {
            return Err(Error::needs_person("no disk has a BIOS boot loader or \\EFI\\BOOT\\BOOTX64.EFI")
                .hint(
                    "choose the boot disk as the first source, or repair the boot loader in the guest first",
                ));
        }
    };
    let (secure_boot, why) = secure_boot(guest, target);
    Ok(Choice { target, reason, secure_boot, secure_boot_reason: why.into() })
}

fn secure_boot(guest: &Guest, target: &Target) -> (bool, &'static str) {
    if target.firmware == driver_core::Firmware::Bios {
        return (false, "generation 1 has no Secure Boot");
    }
    let amazon = guest.os.as_ref().is_some_and(|os| os.id == "amzn");
    match guest.boot.secure_boot {
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

    #[test]
    fn the_generation_follows_what_can_start_the_guest() {
        for (bios, uefi, wanted, expected) in [
            (true, false, Generation::Auto, Some("hyperv-gen1")),
            (true, true, Generation::Auto, Some("hyperv-gen2")),
            (true, true, Generation::One, Some("hyperv-gen1")),
            (false, true, Generation::One, None),
            (true, false, Generation::Two, None),
            (false, false, Generation::Auto, None),
        ] {
            let found = choose(&guest(bios, uefi), wanted);
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
    fn a_loader_that_has_to_be_copied_comes_last() {
        for (bios, wanted, expected) in [
            (true, Generation::Auto, "hyperv-gen1"),
            (true, Generation::Two, "hyperv-gen2"),
            (false, Generation::Auto, "hyperv-gen2"),
        ] {
            let mut guest = guest(bios, true);
            guest.boot.uefi_copy = Some("/boot/efi/EFI/debian/shimx64.efi".into());
            assert_eq!(choose(&guest, wanted).unwrap().target.id, expected);
        }
    }

    #[test]
    fn secure_boot_is_only_on_for_what_is_known_to_be_signed() {
        let mut guest = guest(false, true);
        assert!(!choose(&guest, Generation::Two).unwrap().secure_boot);
        guest.boot.secure_boot = Some(true);
        assert!(choose(&guest, Generation::Two).unwrap().secure_boot);
        guest.os = Some(driver_core::OsFacts { id: "amzn".into(), ..Default::default() });
        assert!(!choose(&guest, Generation::Two).unwrap().secure_boot);
    }
}
