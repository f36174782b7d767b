//! The machine around the disks: read from the operator's files, or made from what the guest says.

use crate::choose::Choice;
use driver_core::{Firmware, Guest};
use driver_machine::hyperv::{self, HypervDisk, HypervOptions, SecureBoot};
use driver_machine::{
    Architecture, Bus, Clock, Cpu, Disk, DiskSource, FirmwareKind, Machine, MachineErrorKind, Nic, Warning,
};
use format_core::{Error, ErrorKind, Result};
use std::path::Path;

/// A small server, for guests that come without a description.
const DEFAULT_CPUS: u32 = 2;
const DEFAULT_MEMORY_MIB: u64 = 4096;

/// Reads the machine from `files`; `None` when there are none.
///
/// # Errors
/// `Corrupt` or `Unsupported` for what the files say; `SourceMissing` when one is missing; `Usage` when the machine
/// does not have as many disks as images were given.
pub(crate) fn described(
    files: &[std::path::PathBuf],
    instance: Option<&str>,
    images: usize,
) -> Result<Option<(Machine, Vec<Warning>)>> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut documents = Vec::new();
    for path in files {
        let bytes =
            std::fs::read(path).map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
        documents.push(bytes);
    }
    let documents: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    let (machine, warnings) = driver_machine::read_documents(&documents, instance).map_err(convert_error)?;
    if machine.disks.len() != images {
        let ids: Vec<_> = machine.disks_in_boot_order().iter().map(|disk| disk.id.as_str()).collect();
        let disks = machine.disks.len();
        return Err(Error::usage(format!(
            "the machine has {disks} disks ({}), {images} images were given",
            ids.join(", ")
        ))
        .hint("name one image for each disk, the boot disk first"));
    }
    Ok(Some((machine, warnings)))
}

/// A plain machine for `guest`.
pub(crate) fn plain(guest: &Guest, sources: &[std::path::PathBuf]) -> (Machine, Vec<Warning>) {
    (plain_machine(guest, sources), vec![default_warning()])
}

/// The machine's errors with this program's kinds.
pub(crate) fn convert_error(error: driver_machine::MachineError) -> Error {
    let kind = match error.kind() {
        MachineErrorKind::Invalid => ErrorKind::Corrupt,
        MachineErrorKind::Unsupported => ErrorKind::Unsupported,
        MachineErrorKind::Choice => {
            return Error::usage(error.to_string()).hint("name the one you mean with --instance ID");
        }
    };
    Error::new(kind, error.to_string())
}

fn default_warning() -> Warning {
    Warning {
        code: "machine-default",
        message: format!(
            "no machine description was given: the machine gets {DEFAULT_CPUS} CPUs, {DEFAULT_MEMORY_MIB} MiB of memory \
             and one network adapter"
        ),
    }
}

fn plain_machine(guest: &Guest, sources: &[std::path::PathBuf]) -> Machine {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let hostname = guest.os.as_ref().and_then(|os| os.hostname.clone());
    let name = hostname.or_else(|| sources.first().map(|path| stem(path))).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let arm = guest.os.as_ref().and_then(|os| os.arch.as_deref()) == Some("aarch64");
    let kind = if guest.boot.uefi.is_some() { FirmwareKind::Uefi } else { FirmwareKind::Bios };
    let disk = |(order, (path, facts)): (u32, (&std::path::PathBuf, &driver_core::DiskFacts))| Disk {
        id: format!("disk{order}"),
        source: DiskSource::File(path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        bus: Bus::Other,
        order,
        boot: order == 0,
        size_bytes: Some(facts.size).filter(|size| size % 512 == 0),
        device_name: None,
    };
    Machine {
        rehome_machine: driver_machine::SchemaVersion,
        name: if name.trim().is_empty() { "rehomed".into() } else { name },
        uuid: None,
        architecture: if arm { Architecture::Arm64 } else { Architecture::X86_64 },
        firmware: driver_machine::Firmware { kind, secure_boot: None },
        cpu: Cpu { count: DEFAULT_CPUS, topology: None },
        memory_mib: DEFAULT_MEMORY_MIB,
        clock: Clock::Utc,
        tpm: None,
        disks: (0..).zip(sources.iter().zip(&guest.disks)).map(disk).collect(),
        nics: vec![Nic::default()],
        os: None,
        tags: Default::default(),
        notes: None,
        provenance: Default::default(),
    }
}

/// The target's definition of the machine.
pub(crate) struct Definition {
    /// The script's text.
    pub(crate) script: String,
    /// Name of the machine on the target; also the stem of all file names.
    pub(crate) name: String,
    /// File name of each disk's image, in the order of the sources.
    pub(crate) disk_files: Vec<String>,
    /// What the target cannot say about this machine.
    pub(crate) warnings: Vec<Warning>,
}

/// Writes the definition. Done before anything is copied, so that a machine the target cannot have is found early.
///
/// # Errors
/// `Corrupt` or `Unsupported` as the dialect says.
pub(crate) fn define(machine: &Machine, choice: &Choice, sizes: &[u64]) -> Result<Definition> {
    let stem = hyperv::windows_name(&machine.name);
    let ordered = machine.disks_in_boot_order();
    let disk_files: Vec<String> = match ordered.len() {
        1 => vec![format!("{stem}.vhdx")],
        count => (0..count).map(|i| format!("{stem}-disk{i}.vhdx")).collect(),
    };
    let disks = ordered
        .iter()
        .zip(disk_files.iter().zip(sizes))
        .map(|(disk, (file, size))| HypervDisk {
            id: disk.id.clone(),
            file: file.clone(),
            manifest: format!("{file}{}", convert_engine::MANIFEST_SUFFIX),
            size_bytes: Some(*size),
        })
        .collect();
    let options = HypervOptions {
        generation: match choice.target.firmware {
            Firmware::Bios => hyperv::Generation::One,
            Firmware::Uefi => hyperv::Generation::Two,
        },
        generation_reason: choice.reason.clone(),
        secure_boot: if choice.secure_boot { SecureBoot::MicrosoftUefiCa } else { SecureBoot::Off },
        secure_boot_reason: choice.secure_boot_reason.clone(),
        disks,
    };
    let script = hyperv::script(machine, &options).map_err(convert_error)?;
    let mut warnings = script.warnings;
    warnings.extend(ordered.iter().zip(sizes).filter_map(|(disk, size)| other_size(disk, *size)));
    Ok(Definition { script: script.text, name: stem, disk_files, warnings })
}

/// Images are matched with disks by their order alone: a wrong size shows that two were given the wrong way round.
fn other_size(disk: &Disk, size: u64) -> Option<Warning> {
    let expected = disk.size_bytes.filter(|expected| *expected != size)?;
    Some(Warning {
        code: "machine-disk-size",
        message: format!(
            "disk {} of the machine has {expected} bytes, its image has {size}: check that the images are given in the \
             order of the machine's disks",
            disk.id
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_size_is_noticed() {
        let (mut machine, _) = plain(&Guest::default(), &[]);
        machine.disks.push(Disk {
            id: "vol-1".into(),
            source: DiskSource::Volume("vol-1".into()),
            bus: Bus::Nvme,
            order: 0,
            boot: true,
            size_bytes: Some(8 << 30),
            device_name: None,
        });
        assert_eq!(other_size(&machine.disks[0], 8 << 30), None);
        let warning = other_size(&machine.disks[0], 9 << 30).unwrap();
        assert!(warning.message.starts_with("disk vol-1 of the machine has 8589934592 bytes"), "{warning:?}");
        machine.disks[0].size_bytes = None;
        assert_eq!(other_size(&machine.disks[0], 9 << 30), None);
    }
}
