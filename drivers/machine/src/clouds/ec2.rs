//! Amazon EC2: a bash script for the AWS command line that imports snapshots and registers an image, or the containers
//! of `aws ec2 import-image`.
//!
//! The script keeps the disks as they are. `import-image` lets Amazon change the guest (drivers, fstab, network), takes
//! VHDX as well, and is Amazon's way for Windows: the script for it goes that way. `register-image` is documented for
//! snapshots of Linux; an image of Windows needs the billing facts of its licence, which an imported snapshot has not.
//!
//! Facts: the VM Import/Export user guide, and the reference of `aws ec2` (`register-image`, `import-image`, whose
//! `--license-type` is AWS for Windows Server and BYOL for clients where it is not given). The command line reads a file where a value
//! begins with `file://`, so no value begins with foreign text.

use serde_json::json;

use super::{Codes, check_format, has_tpm, losses, plain_name};
use crate::bash::Data;
use crate::definition::definition_file;
use crate::error::shown;
use crate::windows::is_windows;
use crate::{
    Architecture, Definition, DefinitionOptions, Disk, DiskFile, FirmwareKind, Machine, MachineError,
    Warning, adapters, writing,
};

const HEAD: &str = include_str!("ec2.head.sh");
const BODY: &str = include_str!("ec2.body.sh");
const WINDOWS_HEAD: &str = include_str!("ec2.windows.head.sh");
const WINDOWS_BODY: &str = include_str!("ec2.windows.body.sh");
const WHAT: &str = "ec2";
/// 64 TiB: largest EBS volume.
const MAX_DISK: u64 = 64 << 40;
/// `/dev/sda1`, then `/dev/sdf` to `/dev/sdz`.
const DATA_DEVICES: std::ops::RangeInclusive<u8> = b'f'..=b'z';

const CODES: writing::Codes = writing::Codes {
    firmware: "ec2-firmware-differs",
    secure_boot: "ec2-secure-boot-off",
    boot_disk: "ec2-boot-disk-large",
    tags: "ec2-tags",
    name: "ec2-name-changed",
    clock: "ec2-clock",
    tpm: "ec2-tpm-none",
};

/// Where the disks lie for `import-image`: an S3 bucket, and a folder in it that may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    /// Name of the bucket.
    pub bucket: String,
    /// Folder, without a slash at its end.
    pub prefix: String,
}

/// Writes the script for `machine`. Disks must be raw images, stream-optimized VMDKs or VHDs.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what EC2 cannot take: other images, too many or too large disks, an arm64 guest that starts by
/// BIOS.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check(machine, options, &disks, &["raw", "vmdk", "vhd"])?;
    adapters::check(&options.adapters, WHAT, |name| {
        let id = name.strip_prefix("subnet-").is_some_and(|id| {
            (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        (!id).then_some("is no id of a subnet such as subnet-0123456789abcdef0")
    })?;
    let name = plain_name(&machine.name, 100);
    // An image's name has three characters at least.
    let name = if name.len() < 3 { format!("machine-{name}") } else { name };
    let mut data = Data::default();
    data.text("IMAGE_NAME", &name);
    data.text("DESCRIPTION", &description(machine));
    data.text("PROCESSORS", &machine.cpu.count.to_string());
    data.text("MEMORY_MIB", &machine.memory_mib.to_string());
    data.text("BOOT_MODE", if options.firmware == FirmwareKind::Uefi { "uefi" } else { "legacy-bios" });
    data.text("FIRMWARE_REASON", &options.firmware_reason);
    data.text("ARCHITECTURE", architecture(machine));
    data.disks(&disks, |file| (file.format == "raw").then_some(file.size_bytes));
    data.list("DISK_KEYS", keys(&name, &disks));
    data.list("DISK_FORMATS", disks.iter().map(|(_, file)| file.format.to_ascii_uppercase()));
    data.list("SOURCE_NETWORKS", machine.nics.iter().map(|nic| nic.network.as_deref().unwrap_or_default()));
    data.list("CHOSEN_SUBNETS", adapters::networks(machine, &options.adapters));
    let mut warnings = Vec::new();
    writing::losses(machine, options, &name, &CODES, &mut warnings);
    own_losses(machine, options, &mut warnings);
    let text = if is_windows(machine) {
        data.script(WINDOWS_HEAD, WINDOWS_BODY)
    } else {
        data.text("TPM", if has_tpm(machine, options) { "on" } else { "off" });
        data.list("DISK_DEVICES", devices().take(disks.len()));
        warnings.push(Warning::new(
            "ec2-ena-assumed",
            "the image is registered with ENA support: the guest needs the drivers ena and nvme",
        ));
        data.script(HEAD, BODY)
    };
    let file_name = definition_file(machine, ".ec2.sh");
    Ok(Definition { text, file_name, machine_name: name, warnings })
}

/// Names of the devices that the disks become.
fn devices() -> impl Iterator<Item = String> {
    let data = DATA_DEVICES.map(|letter| format!("/dev/sd{}", char::from(letter)));
    std::iter::once("/dev/sda1".to_owned()).chain(data)
}

/// Writes the list for `aws ec2 import-image --disk-containers file://…`: the disks have to be uploaded to `place`
/// first, under the names in it.
///
/// # Errors
/// As [`definition`], which takes no VHDX; and kind `Invalid` when `place` is no bucket and folder.
pub fn import_image(
    machine: &Machine,
    options: &DefinitionOptions,
    place: &S3Place,
) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check(machine, options, &disks, &["raw", "vmdk", "vhd", "vhdx"])?;
    check_place(place)?;
    let name = plain_name(&machine.name, 100);
    let folder = if place.prefix.is_empty() { String::new() } else { format!("{}/", place.prefix) };
    let containers: Vec<serde_json::Value> = disks
        .iter()
        .zip(keys(&name, &disks))
        .map(|((_, file), key)| {
            json!({
                "Description": key,
                "Format": file.format,
                "UserBucket": { "S3Bucket": place.bucket, "S3Key": format!("{folder}{key}") },
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&containers)
        .map_err(|error| MachineError::Dialect { dialect: WHAT, reason: error.to_string() })?;
    let mut warnings = Vec::new();
    writing::losses(machine, options, &name, &CODES, &mut warnings);
    own_losses(machine, options, &mut warnings);
    let file_name = definition_file(machine, ".import-image.json");
    Ok(Definition { text: format!("{text}\n"), file_name, machine_name: name, warnings })
}

fn check_place(place: &S3Place) -> Result<(), MachineError> {
    let bucket = place
        .bucket
        .bytes()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-'));
    if !bucket || !(3..=63).contains(&place.bucket.len()) {
        return Err(MachineError::field(
            "bucket",
            format!("{} is no name of a bucket", shown(&place.bucket)),
        ));
    }
    let prefix =
        place.prefix.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'/' | b'-'));
    if !prefix || place.prefix.len() > 200 || place.prefix.ends_with('/') {
        let reason = format!("{} is no folder of letters, digits and . _ / -", shown(&place.prefix));
        return Err(MachineError::field("prefix", reason));
    }
    Ok(())
}

/// Names of the uploads: the machine's name and the number of the disk.
fn keys(name: &str, disks: &[(&Disk, &DiskFile)]) -> Vec<String> {
    disks
        .iter()
        .enumerate()
        .map(|(index, (_, file))| format!("{name}-disk-{index}.{}", file.format))
        .collect()
}

/// 255 ASCII characters at most, and never a path: it begins with our own words.
fn description(machine: &Machine) -> String {
    let notes = machine.notes.as_deref().unwrap_or("migrated machine");
    let ascii = notes.chars().map(|c| if c.is_ascii() { c } else { '?' }).take(200);
    format!("rehome: {}", ascii.collect::<String>())
}

fn architecture(machine: &Machine) -> &'static str {
    match machine.architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::I386 => "i386",
        Architecture::Arm64 => "arm64",
    }
}

fn check(
    machine: &Machine,
    options: &DefinitionOptions,
    disks: &[(&Disk, &DiskFile)],
    formats: &[&str],
) -> Result<(), MachineError> {
    let refuse = |reason: String| Err(MachineError::Unsupported { what: WHAT, reason });
    check_format(&options.disks, formats, WHAT)?;
    match (machine.architecture, options.firmware) {
        (Architecture::Arm64, FirmwareKind::Bios) => {
            return refuse("an arm64 guest starts by UEFI only".into());
        }
        (Architecture::I386, FirmwareKind::Uefi) => {
            return refuse("a 32-bit guest starts by BIOS only".into());
        }
        _ => {}
    }
    let most = DATA_DEVICES.count() + 1;
    if disks.len() > most {
        return refuse(format!("{} disks, at most {most} are possible", disks.len()));
    }
    match disks.iter().find(|(_, file)| file.size_bytes > MAX_DISK) {
        Some((disk, _)) => refuse(format!("disk {} is larger than 64 TiB", shown(&disk.id))),
        None => Ok(()),
    }
}

fn own_losses(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    let codes = Codes { mac: "ec2-mac", uuid: "ec2-uuid", size: "ec2-size", tpm: "ec2-tpm-new" };
    losses(machine, &codes, warnings);
    if machine.nics.len() > 1 {
        let message =
            format!("{} network adapters: an image has none, add them to the instance", machine.nics.len());
        warnings.push(Warning::new("ec2-networks", message));
    }
    if options.secure_boot {
        let message =
            "secure boot is off in a new image: enrolling keys needs the UEFI data of a running instance";
        warnings.push(Warning::new("ec2-secure-boot", message));
    }
    if is_windows(machine) {
        let message =
            "Amazon imports Windows by import-image, which changes the guest (drivers, licence) in its copy";
        warnings.push(Warning::new("ec2-windows", message));
        if machine.tpm.is_some() {
            warnings.retain(|warning| warning.code != codes.tpm);
            let message =
                "an image that is imported has no TPM: what is sealed to the old one needs its recovery key";
            warnings.push(Warning::new(CODES.tpm, message));
        }
    }
}
