//! Clouds as targets: bash scripts for their command lines, which upload the disks and make the machine.
//!
//! | | disks | makes |
//! |---|---|---|
//! | [`azure`] | fixed VHD of whole MiB | managed disks, network interfaces, a virtual machine |
//! | [`gcp`] | raw | images from tar files, disks, an instance |
//! | [`ec2`] | raw, VMDK, VHD | snapshots and an image (AMI); or the containers of `import-image` |
//!
//! Names of the bucket, the group and the networks are not the machine's: each script has variables for them at its
//! top, and checks them before its first action. Controllers and adapters are the cloud's own, so
//! [`crate::DefinitionOptions::disk_bus`] and `nic_model` say nothing here.

pub mod azure;
pub mod ec2;
pub mod gcp;

use crate::{DefinitionOptions, DiskFile, FirmwareKind, Machine, MachineError, Warning};

/// What becomes of a TPM.
pub(crate) const TPM_NEW: &str =
    "the TPM is a new one: what is sealed to the keys of the old one needs its recovery key";

/// Whether the machine gets a TPM: of version 2.0, and with UEFI only.
fn has_tpm(machine: &Machine, options: &DefinitionOptions) -> bool {
    machine.tpm.is_some() && options.firmware == FirmwareKind::Uefi
}

/// `text` with only ASCII letters, digits and dashes, beginning and ending with a letter or digit, at most `most`
/// characters; `machine` when nothing is left.
fn plain_name(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(most);
    let trimmed = out.trim_end_matches('-');
    if trimmed.is_empty() { "machine".into() } else { trimmed.to_owned() }
}

/// [`plain_name`] in lower case that begins with a letter (RFC 1035).
fn label(text: &str, most: usize) -> String {
    let lower = plain_name(text, most).to_ascii_lowercase();
    if lower.starts_with(|c: char| c.is_ascii_digit()) {
        plain_name(&format!("m{lower}"), most)
    } else {
        lower
    }
}

/// Refuses images of another format than `format`.
fn check_format(files: &[DiskFile], formats: &[&str], what: &'static str) -> Result<(), MachineError> {
    match files.iter().find(|file| !formats.contains(&file.format)) {
        Some(file) => Err(MachineError::Unsupported {
            what,
            reason: format!(
                "disk {} is a {} image, possible are: {}",
                crate::error::shown(&file.id),
                file.format,
                formats.join(", ")
            ),
        }),
        None => Ok(()),
    }
}

/// Codes of the losses that every cloud has.
struct Codes {
    mac: &'static str,
    uuid: &'static str,
    size: &'static str,
    tpm: &'static str,
}

fn losses(machine: &Machine, codes: &Codes, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    if machine.nics.iter().any(|nic| nic.mac.is_some()) {
        warn(codes.mac, "hardware addresses change: the cloud gives its own".into());
    }
    if machine.uuid.is_some() {
        warn(codes.uuid, "the SMBIOS UUID of the source is not kept: the cloud makes a new one".into());
    }
    if machine.tpm.is_some() {
        let message = format!("{TPM_NEW}; there is one with UEFI only");
        warn(codes.tpm, message);
    }
    warn(
        codes.size,
        format!(
            "the cloud has sizes of machines only: choose one with at least {} processors and {} MiB of memory",
            machine.cpu.count, machine.memory_mib
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_clouds_take() {
        for (text, plain, lower) in [
            ("web-1", "web-1", "web-1"),
            ("Web Server (prod)", "Web-Server-prod", "web-server-prod"),
            ("../../'; rm -rf $HOME", "rm-rf-HOME", "rm-rf-home"),
            ("9lives", "9lives", "m9lives"),
            ("名前", "machine", "machine"),
            ("@/etc/passwd", "etc-passwd", "etc-passwd"),
        ] {
            assert_eq!((plain_name(text, 60).as_str(), label(text, 60).as_str()), (plain, lower), "{text}");
        }
        assert_eq!(plain_name(&"ab-".repeat(30), 12), "ab-ab-ab-ab");
    }
}
