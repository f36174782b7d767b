//! Hyper-V as a target: a script for Windows PowerShell 5.1 that makes the virtual machine.
//!
//! Hyper-V's own configuration files are binary and undocumented, so the definition is a script that the
//! administrator can read, try with `-WhatIf` and run. Its program text is constant (`head.ps1`, `body.ps1`); only a
//! block of data between the two differs, in which every value is a number or a single-quoted literal.
//!
//! | | generation 1 | generation 2 |
//! |---|---|---|
//! | starts from | IDE 0:0 | SCSI 0:0, as first boot device |
//! | further disks | IDE 0:1, then SCSI from 0:0 | SCSI |
//! | Secure Boot | none | template by who signed the loader, or off |
//! | TPM | none | a new one where the source had one, its key protected by this host |
//!
//! Facts: Microsoft's reference of the Hyper-V PowerShell module and "Should I create a generation 1 or 2 virtual
//! machine in Hyper-V".

mod literal;
mod losses;
mod place;

pub use literal::windows_name;

use crate::error::shown;
use crate::validate::plain_text_fault;
use crate::{AdapterChoice, Architecture, Clock, Machine, MachineError, Nic, Warning, adapters};
use literal::literal;
use place::Placed;

const WHAT: &str = "hyper-v";
const HEAD: &str = include_str!("head.ps1");
const BODY: &str = include_str!("body.ps1");

/// Generation of a Hyper-V virtual machine. It cannot be changed after creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// BIOS, starts from IDE.
    One,
    /// UEFI, starts from SCSI.
    Two,
}

/// Secure Boot of a generation 2 machine. Must be [`SecureBoot::Off`] for generation 1, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBoot {
    /// Off: the loader is signed by neither authority, or nobody knows.
    Off,
    /// On for loaders signed by the Microsoft UEFI Certificate Authority: shim of the Linux distributions.
    MicrosoftUefiCa,
    /// On for loaders of Windows.
    MicrosoftWindows,
}

/// What the caller decided about the target machine.
#[derive(Debug, Clone)]
pub struct HypervOptions {
    /// Generation.
    pub generation: Generation,
    /// Why this generation, one line for people.
    pub generation_reason: String,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// Why so, one line for people.
    pub secure_boot_reason: String,
    /// One entry for each disk of the machine, in any order.
    pub disks: Vec<HypervDisk>,
    /// What was decided about the network adapters, in the machine's order: a network is a virtual switch, and an address
    /// that was chosen is static.
    pub adapters: Vec<AdapterChoice>,
    /// The clock that the host gives every machine: local time.
    pub fixed_clock: Option<Clock>,
}

/// The converted file of one disk.
#[derive(Debug, Clone)]
pub struct HypervDisk {
    /// [`crate::Disk::id`] of the disk.
    pub id: String,
    /// Name of the VHDX file, beside the script.
    pub file: String,
    /// Name of its digest manifest, beside the script.
    pub manifest: String,
    /// Virtual size in bytes as found in the image, where that is known; goes before [`crate::Disk::size_bytes`].
    pub size_bytes: Option<u64>,
}

/// A finished script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The text as it belongs into the `.ps1` file: UTF-8 with byte order mark and CRLF line ends. Windows PowerShell
    /// 5.1 reads a file without the mark in the code page of the host.
    pub text: String,
    /// Name of the virtual machine, which differs from the machine's where Windows cannot take that.
    pub vm_name: String,
    /// What Hyper-V cannot say about this machine.
    pub warnings: Vec<Warning>,
}

/// Writes the script that makes `machine` on Hyper-V.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule, when its disks and the files do not match one to one, or when a file
/// name is no plain name; kind `Unsupported` when Hyper-V cannot run such a machine.
pub fn script(machine: &Machine, options: &HypervOptions) -> Result<Script, MachineError> {
    machine.validate()?;
    for (what, text) in
        [("generation", &options.generation_reason), ("secure boot", &options.secure_boot_reason)]
    {
        if let Some(fault) = plain_text_fault(text) {
            return Err(MachineError::Files { reason: format!("the reason for {what} {fault}") });
        }
    }
    let placed = place::place(machine, options)?;
    adapters::check(&options.adapters, WHAT, |_| None)?;
    let mut warnings = Vec::new();
    check_limits(machine, options, &mut warnings)?;
    losses::collect(machine, options, &placed, &mut warnings);
    let vm_name = windows_name(&machine.name);
    if vm_name != machine.name {
        warnings.push(Warning::new(
            "hyperv-name-changed",
            format!(
                "the name {} cannot be the name of a folder in Windows, the virtual machine is called {}",
                shown(&machine.name),
                shown(&vm_name)
            ),
        ));
    }
    let data = data_block(machine, options, &vm_name, &placed)?;
    let text = [HEAD, &data, BODY].concat().replace("\r\n", "\n").replace('\n', "\r\n");
    Ok(Script { text: format!("\u{feff}{text}"), vm_name, warnings })
}

fn unsupported(reason: String) -> MachineError {
    MachineError::Unsupported { what: WHAT, reason }
}

/// Limits of Windows Server 2016 to 2022; what only 2025 can do is a warning.
fn check_limits(
    machine: &Machine,
    options: &HypervOptions,
    warnings: &mut Vec<Warning>,
) -> Result<(), MachineError> {
    match (machine.architecture, options.generation) {
        (Architecture::X86_64, _) | (Architecture::I386, Generation::One) => {}
        (Architecture::Arm64, _) => {
            return Err(unsupported("an arm64 guest does not run on an x86-64 host".into()));
        }
        (Architecture::I386, Generation::Two) => {
            return Err(unsupported(
                "generation 2 runs 64-bit guests only, this one is i386; use generation 1".into(),
            ));
        }
    }
    if options.generation == Generation::One && options.secure_boot != SecureBoot::Off {
        return Err(MachineError::Files { reason: "secure boot is on, but generation 1 has none".into() });
    }
    let (max_cpus, max_mib) = match options.generation {
        Generation::One => (64, 1 << 20),
        Generation::Two => (2048, 240 << 20),
    };
    if machine.cpu.count > max_cpus {
        return Err(unsupported(format!(
            "{} processors, this generation has at most {max_cpus}",
            machine.cpu.count
        )));
    }
    if machine.memory_mib < 32 || machine.memory_mib > max_mib {
        let reason = format!("{} MiB of memory, this generation has 32 to {max_mib}", machine.memory_mib);
        return Err(unsupported(reason));
    }
    if machine.cpu.count > 240 || machine.memory_mib > 12 << 20 {
        warnings.push(Warning::new(
            "hyperv-needs-2025",
            "more than 240 processors or 12 TiB of memory need a host with Windows Server 2025",
        ));
    }
    Ok(())
}

/// Only generation 2 has a TPM, of version 2.0 (Microsoft, `Enable-VMTPM`).
fn has_tpm(machine: &Machine, options: &HypervOptions) -> bool {
    machine.tpm.is_some() && options.generation == Generation::Two
}

fn data_block(
    machine: &Machine,
    options: &HypervOptions,
    vm_name: &str,
    placed: &[Placed<'_>],
) -> Result<String, MachineError> {
    let even_mib = machine.memory_mib + machine.memory_mib % 2;
    let bytes = even_mib
        .checked_mul(1 << 20)
        .ok_or_else(|| unsupported(format!("{even_mib} MiB of memory are more than 64 bits of bytes")))?;
    let (generation, about_generation) = match options.generation {
        Generation::One => (1, "BIOS firmware, starts from IDE 0:0"),
        Generation::Two => (2, "UEFI firmware, starts from SCSI 0:0"),
    };
    let (state, template, about_secure_boot) = match (options.generation, options.secure_boot) {
        (Generation::One, _) => ("Off", "", "generation 1 has none"),
        (_, SecureBoot::Off) => {
            ("Off", "", "off, the loader is not known to be signed by an authority Hyper-V trusts")
        }
        (_, SecureBoot::MicrosoftUefiCa) => {
            ("On", "MicrosoftUEFICertificateAuthority", "on, for loaders that are not of Windows")
        }
        (_, SecureBoot::MicrosoftWindows) => ("On", "MicrosoftWindows", "on, for loaders of Windows"),
    };
    let notes = machine.notes.as_deref().unwrap_or("Migrated by rehome");
    let mut lines = vec![
        format!("$VMName = {}", literal(vm_name)),
        format!("# Generation {generation}: {about_generation}."),
        format!("$Generation = {generation}"),
        format!("$GenerationReason = {}", literal(&options.generation_reason)),
        format!("# Secure Boot: {about_secure_boot}."),
        format!("$SecureBoot = {}", literal(state)),
        format!("$SecureBootTemplate = {}", literal(template)),
        format!("$SecureBootReason = {}", literal(&options.secure_boot_reason)),
        "# Whether it gets a TPM, a new one.".into(),
        format!("$Tpm = {}", u8::from(has_tpm(machine, options))),
        format!("$MemoryBytes = {bytes}"),
        format!("$ProcessorCount = {}", machine.cpu.count),
        format!("$Notes = {}", literal(notes)),
        "# The first disk is the one the firmware starts.".into(),
        "$Disks = @(".into(),
    ];
    lines.extend(placed.iter().map(disk_line));
    lines.push(")".into());
    lines.push("# The network is that of the source, and so is a MAC that is not static; the switch was chosen for this machine.".into());
    lines.push("$Adapters = @(".into());
    lines.extend(machine.nics.iter().enumerate().map(|(index, nic)| adapter_line(options, index, nic)));
    lines.push(")".into());
    let mut text = lines.join("\n");
    text.push('\n');
    Ok(text)
}

fn disk_line(disk: &Placed<'_>) -> String {
    format!(
        "    @{{ File = {}; Manifest = {}; Controller = {}; Number = {}; Location = {} }}",
        literal(disk.file),
        literal(disk.manifest),
        literal(disk.controller),
        disk.number,
        disk.location
    )
}

fn adapter_line(options: &HypervOptions, index: usize, nic: &Nic) -> String {
    let fixed = nic.mac.is_some() && adapters::has_new_mac(&options.adapters, index);
    format!(
        "    @{{ Name = {}; Mac = {}; Static = {}; Network = {}; Switch = {} }}",
        literal(&format!("Network Adapter {}", index + 1)),
        literal(&nic.mac.map(crate::MacAddress::plain_upper).unwrap_or_default()),
        u8::from(fixed),
        literal(nic.network.as_deref().unwrap_or_default()),
        literal(adapters::network(&options.adapters, index).unwrap_or_default()),
    )
}
