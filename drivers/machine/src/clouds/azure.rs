//! Azure: a bash script for its command line that uploads fixed VHDs and makes the virtual machine.
//!
//! Facts: "Prepare a Windows VHD" and "Upload a VHD to Azure" of Microsoft's documentation: fixed VHD, a whole number of
//! MiB before the footer, operating system disks up to 4,095 GiB, data disks up to 32 TiB; and the reference of `az`.

use super::{Codes, check_format, has_tpm, losses, plain_name};
use crate::bash::Data;
use crate::definition::definition_file;
use crate::error::shown;
use crate::windows::is_windows;
use crate::{
    Architecture, Definition, DefinitionOptions, Disk, DiskFile, FirmwareKind, Machine, MachineError,
    OsFamily, Warning, adapters, writing,
};

const HEAD: &str = include_str!("azure.head.sh");
const BODY: &str = include_str!("azure.body.sh");
const WHAT: &str = "azure";
const MIB: u64 = 1 << 20;
const MAX_OS_DISK: u64 = 4095 << 30;
const MAX_DISK: u64 = 32767 << 30;
const MAX_DISKS: usize = 65;
const MAX_NICS: usize = 8;
/// The footer of a fixed VHD.
const FOOTER: u64 = 512;

const CODES: writing::Codes = writing::Codes {
    firmware: "azure-firmware-differs",
    secure_boot: "azure-secure-boot-off",
    boot_disk: "azure-boot-disk-large",
    tags: "azure-tags",
    name: "azure-name-changed",
    clock: "azure-clock",
    tpm: "azure-tpm-none",
};

/// Writes the script for `machine`. Disks must be fixed VHDs.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what Azure cannot take: other images, a size that is no whole number of MiB, too many or too
/// large parts, an arm64 guest that starts by BIOS.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check(machine, options, &disks)?;
    adapters::check(&options.adapters, WHAT, |name| {
        // The command line reads a file where a value begins with @.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._()-".contains(c);
        let id = name.starts_with('/') && name.chars().all(plain);
        (!id).then_some("is no resource id of a subnet such as /subscriptions/ID/…/subnets/NAME")
    })?;
    let name = plain_name(&machine.name, 60);
    let mut data = Data::default();
    data.text("MACHINE", &name);
    data.text("PROCESSORS", &machine.cpu.count.to_string());
    data.text("MEMORY_MIB", &machine.memory_mib.to_string());
    data.text("GENERATION", if options.firmware == FirmwareKind::Uefi { "V2" } else { "V1" });
    data.text("FIRMWARE_REASON", &options.firmware_reason);
    data.text("SECURE_BOOT", if options.secure_boot { "on" } else { "off" });
    data.text("OS_TYPE", if is_windows(machine) { "Windows" } else { "Linux" });
    data.text("TPM", if has_tpm(machine, options) { "on" } else { "off" });
    data.text("ARCHITECTURE", if machine.architecture == Architecture::Arm64 { "Arm64" } else { "x64" });
    data.disks(&disks, |file| file.size_bytes.checked_add(FOOTER));
    data.list(
        "DISK_NAMES",
        (0..disks.len()).map(|index| match index {
            0 => format!("{name}-os"),
            data => format!("{name}-data-{data}"),
        }),
    );
    // Azure makes no machine without an adapter.
    let nics = machine.nics.len().max(1);
    data.list("NICS", (1..=nics).map(|number| format!("{name}-nic-{number}")));
    data.list("SOURCE_NETWORKS", machine.nics.iter().map(|nic| nic.network.as_deref().unwrap_or_default()));
    let mut subnets = adapters::networks(machine, &options.adapters);
    subnets.resize(nics, "");
    data.list("CHOSEN_SUBNETS", subnets);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &name, &CODES, &mut warnings);
    let codes = Codes { mac: "azure-mac", uuid: "azure-uuid", size: "azure-size", tpm: "azure-tpm-new" };
    losses(machine, &codes, &mut warnings);
    own_losses(machine, &mut warnings);
    let file_name = definition_file(machine, ".azure.sh");
    Ok(Definition { text: data.script(HEAD, BODY), file_name, machine_name: name, warnings })
}

fn check(
    machine: &Machine,
    options: &DefinitionOptions,
    disks: &[(&Disk, &DiskFile)],
) -> Result<(), MachineError> {
    let refuse = |reason: String| Err(MachineError::Unsupported { what: WHAT, reason });
    check_format(&options.disks, &["vhd"], WHAT)?;
    if machine.architecture == Architecture::Arm64 && options.firmware == FirmwareKind::Bios {
        return refuse("an arm64 guest needs generation 2, which starts by UEFI".into());
    }
    if disks.len() > MAX_DISKS || machine.nics.len() > MAX_NICS {
        let (disks, nics) = (disks.len(), machine.nics.len());
        let reason =
            format!("{disks} disks and {nics} adapters, at most {MAX_DISKS} and {MAX_NICS} are possible");
        return refuse(reason);
    }
    for (index, (disk, file)) in disks.iter().enumerate() {
        let id = shown(&disk.id);
        if file.size_bytes % MIB != 0 {
            let reason = format!("disk {id} has {} bytes, no whole number of MiB", file.size_bytes);
            return refuse(reason);
        }
        let most = if index == 0 { MAX_OS_DISK } else { MAX_DISK };
        if file.size_bytes > most {
            return refuse(format!("disk {id} is larger than {} GiB", most >> 30));
        }
    }
    Ok(())
}

fn own_losses(machine: &Machine, warnings: &mut Vec<Warning>) {
    if machine.nics.is_empty() {
        let message = "the machine had no network adapter, Azure makes none without: it gets one";
        warnings.push(Warning::new("azure-nic-added", message));
    }
    let family = machine.os.as_ref().map(|os| os.family);
    if !matches!(family, Some(OsFamily::Linux | OsFamily::Windows)) {
        let message = "the operating system is not known, the disk is marked as Linux";
        warnings.push(Warning::new("azure-os-guessed", message));
    }
    if machine.architecture == Architecture::I386 {
        warnings.push(Warning::new(
            "azure-32-bit",
            "Azure does not support 32-bit guests: it may run all the same",
        ));
    }
    if machine.notes.is_some() {
        warnings.push(Warning::new("azure-notes", "the notes have no place in Azure"));
    }
}
