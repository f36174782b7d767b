//! Google Cloud: a bash script for gcloud that packs and uploads raw disks and makes the instance.
//!
//! Facts: "Manually import boot disks" of the Compute Engine documentation: a tar file of the format oldgnu, packed with
//! gzip, that holds `disk.raw` of a whole number of GiB; guest OS features; and the reference of `gcloud`.

use super::{Codes, check_format, has_tpm, label, losses};
use crate::bash::Data;
use crate::definition::definition_file;
use crate::error::shown;
use crate::windows::is_windows;
use crate::{
    Architecture, Definition, DefinitionOptions, Disk, DiskFile, FirmwareKind, Machine, MachineError,
    Warning, adapters, writing,
};

const HEAD: &str = include_str!("gcp.head.sh");
const BODY: &str = include_str!("gcp.body.sh");
const WHAT: &str = "gcp";
const GIB: u64 = 1 << 30;
/// 64 TiB: largest persistent disk.
const MAX_DISK: u64 = 64 << 40;
const MAX_DISKS: usize = 128;
const MAX_NICS: usize = 8;

const CODES: writing::Codes = writing::Codes {
    firmware: "gcp-firmware-differs",
    secure_boot: "gcp-secure-boot-off",
    boot_disk: "gcp-boot-disk-large",
    tags: "gcp-tags",
    name: "gcp-name-changed",
    clock: "gcp-clock",
    tpm: "gcp-tpm-none",
};

/// Writes the script for `machine`. Disks must be raw images.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what Google Cloud cannot take: other images, too many or too large parts, a 32-bit guest, an
/// arm64 guest that starts by BIOS.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check(machine, options, &disks)?;
    adapters::check(&options.adapters, WHAT, |name| {
        // A comma would begin another setting of the adapter.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._:-".contains(c);
        let named = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain);
        (!named).then_some("is no name of a subnetwork")
    })?;
    // The longest name made of it ends in `-disk-127`.
    let name = label(&machine.name, 50);
    let rounded: Vec<u64> = disks.iter().map(|(_, file)| file.size_bytes.next_multiple_of(GIB)).collect();
    let mut data = Data::default();
    data.text("MACHINE", &name);
    data.text("NOTES", &format!("rehome: {}", machine.notes.as_deref().unwrap_or("migrated machine")));
    data.text("PROCESSORS", &machine.cpu.count.to_string());
    data.text("MEMORY_MIB", &machine.memory_mib.to_string());
    data.text("FIRMWARE", if options.firmware == FirmwareKind::Uefi { "UEFI" } else { "BIOS" });
    data.text("FIRMWARE_REASON", &options.firmware_reason);
    data.text("SECURE_BOOT", if options.secure_boot { "on" } else { "off" });
    data.text("TPM", if has_tpm(machine, options) { "on" } else { "off" });
    data.text("ARCHITECTURE", if machine.architecture == Architecture::Arm64 { "ARM64" } else { "X86_64" });
    data.text("FEATURES", &features(machine, options));
    data.disks(&disks, |file| Some(file.size_bytes));
    data.list("DISK_ROUNDED", rounded.iter().map(u64::to_string));
    data.list("DISK_NAMES", (0..disks.len()).map(|index| format!("{name}-disk-{index}")));
    // There is no instance without an adapter.
    let mut networks: Vec<&str> =
        machine.nics.iter().map(|nic| nic.network.as_deref().unwrap_or_default()).collect();
    if networks.is_empty() {
        networks.push("");
    }
    let mut subnetworks = adapters::networks(machine, &options.adapters);
    subnetworks.resize(networks.len(), "");
    data.list("SOURCE_NETWORKS", networks);
    data.list("CHOSEN_SUBNETWORKS", subnetworks);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &name, &CODES, &mut warnings);
    let codes = Codes { mac: "gcp-mac", uuid: "gcp-uuid", size: "gcp-size", tpm: "gcp-tpm-new" };
    losses(machine, &codes, &mut warnings);
    own_losses(machine, &disks, &rounded, &mut warnings);
    let file_name = definition_file(machine, ".gcp.sh");
    Ok(Definition { text: data.script(HEAD, BODY), file_name, machine_name: name, warnings })
}

/// What the image says its guest can do. Without `UEFI_COMPATIBLE` the instance starts by BIOS.
fn features(machine: &Machine, options: &DefinitionOptions) -> String {
    let mut features = Vec::new();
    if options.firmware == FirmwareKind::Uefi {
        features.push("UEFI_COMPATIBLE");
    }
    if is_windows(machine) {
        features.push("WINDOWS");
    }
    features.join(",")
}

fn check(
    machine: &Machine,
    options: &DefinitionOptions,
    disks: &[(&Disk, &DiskFile)],
) -> Result<(), MachineError> {
    let refuse = |reason: String| Err(MachineError::Unsupported { what: WHAT, reason });
    check_format(&options.disks, &["raw"], WHAT)?;
    match machine.architecture {
        Architecture::I386 => return refuse("a 32-bit guest, images are of x86-64 or arm64".into()),
        Architecture::Arm64 if options.firmware == FirmwareKind::Bios => {
            return refuse("an arm64 guest starts by UEFI only".into());
        }
        _ => {}
    }
    if disks.len() > MAX_DISKS || machine.nics.len() > MAX_NICS {
        let (disks, nics) = (disks.len(), machine.nics.len());
        let reason =
            format!("{disks} disks and {nics} adapters, at most {MAX_DISKS} and {MAX_NICS} are possible");
        return refuse(reason);
    }
    match disks.iter().find(|(_, file)| file.size_bytes > MAX_DISK) {
        Some((disk, _)) => refuse(format!("disk {} is larger than 64 TiB", shown(&disk.id))),
        None => Ok(()),
    }
}

fn own_losses(machine: &Machine, disks: &[(&Disk, &DiskFile)], rounded: &[u64], warnings: &mut Vec<Warning>) {
    if disks.iter().zip(rounded).any(|((_, file), rounded)| file.size_bytes != *rounded) {
        warnings.push(Warning::new(
            "gcp-disk-rounded",
            "disks grow by zeros at their end to a whole number of GiB: the second partition table of a GPT disk no \
             longer lies at its end, which sgdisk -e mends",
        ));
    }
    if machine.nics.is_empty() {
        let message = "the machine had no network adapter, Google Cloud makes none without: it gets one";
        warnings.push(Warning::new("gcp-nic-added", message));
    }
    if machine.nics.len() > 1 {
        let message = "each network adapter has to be in a network of its own";
        warnings.push(Warning::new("gcp-networks", message));
    }
    if is_windows(machine) {
        let message =
            "the licence of Windows is not part of this image: bring your own, or use gcloud's import";
        warnings.push(Warning::new("gcp-licence", message));
    }
}
