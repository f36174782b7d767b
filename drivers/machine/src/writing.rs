//! Losses that every definition can have, whatever its dialect.

use crate::{Clock, DefinitionOptions, FirmwareKind, Machine, Warning, windows};

/// Codes of the warnings, a set for each dialect.
pub(crate) struct Codes {
    pub(crate) firmware: &'static str,
    pub(crate) secure_boot: &'static str,
    pub(crate) boot_disk: &'static str,
    pub(crate) tags: &'static str,
    pub(crate) name: &'static str,
    pub(crate) clock: &'static str,
    pub(crate) tpm: &'static str,
}

/// What Windows 11 misses without a TPM.
pub(crate) const NO_TPM: &str = "Windows 11 asks for a TPM, and neither the source nor this machine has one: it starts without, but upgrades and \
     BitLocker may refuse";

/// Warnings about firmware, Secure Boot, the size of a BIOS boot disk, the clock, a missing TPM, tags and a changed name.
pub(crate) fn losses(
    machine: &Machine,
    options: &DefinitionOptions,
    name: &str,
    codes: &Codes,
    warnings: &mut Vec<Warning>,
) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    match (machine.firmware.kind, options.firmware) {
        (FirmwareKind::Bios, FirmwareKind::Uefi) => warn(
            codes.firmware,
            "the source started by BIOS, this machine starts by UEFI: the disk needs a UEFI loader".into(),
        ),
        (FirmwareKind::Uefi, FirmwareKind::Bios) => warn(
            codes.firmware,
            "the source started by UEFI, this machine starts by BIOS: the disk needs a BIOS loader".into(),
        ),
        _ => {}
    }
    if machine.firmware.secure_boot == Some(true) && !options.secure_boot {
        warn(codes.secure_boot, "secure boot was on at the source and is off now".into());
    }
    let boot = machine.disks_in_boot_order().first().map(|disk| disk.id.as_str());
    let boot_size =
        options.disks.iter().find(|file| Some(file.id.as_str()) == boot).map(|file| file.size_bytes);
    if options.firmware == FirmwareKind::Bios && boot_size.is_some_and(|size| size > 2 << 40) {
        let message = "a BIOS reads the first 2 TiB only: the loader and the kernel have to lie there";
        warn(codes.boot_disk, message.into());
    }
    match options.fixed_clock {
        Some(Clock::Utc) if machine.clock == Clock::Local => warn(
            codes.clock,
            "the guest expects local time, the clock of such a machine is UTC: the time is right once a time server or the \
             platform's tools have set it"
                .into(),
        ),
        Some(Clock::Local) if machine.clock == Clock::Utc => warn(
            codes.clock,
            "the guest expects UTC, the clock of such a machine is the host's local time: the time is right once a time \
             server or the platform's tools have set it"
                .into(),
        ),
        _ => {}
    }
    if machine.tpm.is_none() && windows::wants_tpm(machine) {
        warn(codes.tpm, NO_TPM.into());
    }
    if !machine.tags.is_empty() {
        warn(codes.tags, format!("{} tags have no place in this definition", machine.tags.len()));
    }
    if name != machine.name {
        let (from, to) = (crate::error::shown(&machine.name), crate::error::shown(name));
        warn(codes.name, format!("the name {from} is not possible there, the machine is called {to}"));
    }
}
