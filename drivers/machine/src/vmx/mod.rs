//! VMware's VMX files, of ESXi and of the desktop products: read and written.
//!
//! | machine | from |
//! |---|---|
//! | name, notes | `displayName`, `annotation` |
//! | uuid | `uuid.bios`, read in the order of its digits, as vCenter shows it |
//! | architecture, os | `guestOS` |
//! | firmware | `firmware`, `uefi.secureBoot.enabled` |
//! | cpu, memory | `numvcpus`, `cpuid.coresPerSocket`, `memSize` |
//! | TPM | `vtpm.present`, `managedvm.autoAddVTPM`; its keys stay behind |
//! | clock | `rtc.diffFromUTC`, else local time for Windows |
//! | disks | `scsiX:Y`, `sataX:Y`, `nvmeX:Y`, `ideX:Y`; those of `bios.hddOrder` first |
//! | nics | `ethernetN` |
//!
//! What is written is virtual hardware version 13, for ESXi 6.5 and Workstation 14 or later. The disks lie beside the
//! file. ESXi runs no stream-optimized VMDK: import such disks with `vmkfstools -i`, or write an OVF envelope.

mod devices;
mod dictionary;
mod losses;
mod write;

pub(crate) use dictionary::is_vmx;
pub use write::definition;

use std::collections::BTreeMap;

use crate::error::shown;
use crate::findings::Findings;
use crate::validate::{name_fault, plain_text_fault};
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, OsFamily, OsHint, SchemaVersion,
    Topology, Tpm, Warning, guest_ids,
};
use dictionary::Dictionary;

/// Makes the machine of a VMX file, at most 1 MiB, in any character set that its `.encoding` line names.
///
/// # Errors
/// Kind `Invalid` for a line that is no entry, a contradiction, a missing size of the memory, or a machine without
/// disks; kind `Unsupported` for an encrypted machine.
pub fn machine_from_vmx(bytes: &[u8]) -> Result<(Machine, Vec<Warning>), MachineError> {
    let file = Dictionary::from_bytes(bytes)?;
    if file.get("encryption.data").is_some() {
        return Err(MachineError::Unsupported {
            what: "vmx",
            reason: "the machine is encrypted and its devices are not readable; remove the encryption in VMware first"
                .into(),
        });
    }
    let mut notes = Findings::default();
    let os = os(&file, &mut notes);
    let machine = Machine {
        rehome_machine: SchemaVersion,
        name: name(&file, &mut notes),
        uuid: uuid(&file, &mut notes)?,
        architecture: architecture(&file, &mut notes),
        firmware: firmware(&file, &mut notes)?,
        cpu: cpu(&file, &mut notes)?,
        memory_mib: memory(&file, &mut notes)?,
        clock: clock(&file, os.as_ref(), &mut notes),
        tpm: tpm(&file),
        disks: devices::disks(&file, &mut notes)?,
        nics: devices::nics(&file, &mut notes)?,
        os,
        tags: BTreeMap::new(),
        notes: file.get("annotation").and_then(|text| notes.one_line("vmx-annotation-cut", text)),
        provenance: BTreeMap::new(),
    };
    losses::collect(&file, &mut notes);
    let machine = Machine { provenance: notes.provenance, ..machine };
    machine.validate()?;
    Ok((machine, notes.warnings))
}

fn name(file: &Dictionary, notes: &mut Findings) -> String {
    let stated = file.get("displayname").unwrap_or_default();
    match name_fault(stated) {
        None => {
            notes.known("name", "displayName");
            stated.to_owned()
        }
        Some(fault) => {
            notes.warn("vmx-name", format!("displayName {fault}; the machine is called machine"));
            "machine".into()
        }
    }
}

/// `56 4d 96 af e6 46 bd 86-5c 4d 65 4e 77 36 ef 31`: sixteen octets.
fn uuid(file: &Dictionary, notes: &mut Findings) -> Result<Option<uuid::Uuid>, MachineError> {
    let Some(text) = file.get("uuid.bios") else { return Ok(None) };
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let parsed = (digits.len() == 32).then(|| uuid::Uuid::try_parse(&digits).ok()).flatten();
    notes.known("uuid", "uuid.bios");
    parsed.map(Some).ok_or_else(|| file.fault("uuid.bios", "expected 32 hexadecimal digits"))
}

fn architecture(file: &Dictionary, notes: &mut Findings) -> Architecture {
    match file.get("guestos") {
        Some(id) => {
            notes.known("architecture", format!("guestOS is {id}"));
            guest_ids::architecture_of(id)
        }
        None => Architecture::X86_64,
    }
}

fn os(file: &Dictionary, notes: &mut Findings) -> Option<OsHint> {
    let id = file.get("guestos")?;
    if let Some(fault) = plain_text_fault(id) {
        notes.warn("vmx-guest-os", format!("guestOS {fault}"));
        return None;
    }
    Some(OsHint { family: guest_ids::family_of(id), description: id.to_owned() })
}

fn firmware(file: &Dictionary, notes: &mut Findings) -> Result<Firmware, MachineError> {
    let kind = match file.get("firmware") {
        None => FirmwareKind::Bios,
        Some(word) if word.eq_ignore_ascii_case("bios") => FirmwareKind::Bios,
        Some(word) if word.eq_ignore_ascii_case("efi") => FirmwareKind::Uefi,
        Some(_) => return Err(file.fault("firmware", "possible are bios and efi")),
    };
    notes.known("firmware", format!("firmware is {}", file.get("firmware").unwrap_or("not set: bios")));
    let secure_boot = (kind == FirmwareKind::Uefi).then(|| file.is_true("uefi.secureboot.enabled"));
    Ok(Firmware { kind, secure_boot })
}

fn cpu(file: &Dictionary, notes: &mut Findings) -> Result<Cpu, MachineError> {
    notes.known("cpu", "numvcpus, cpuid.coresPerSocket");
    let stated = file.number("numvcpus")?.unwrap_or(1);
    let count = u32::try_from(stated).map_err(|_| file.fault("numvcpus", "that many are not possible"))?;
    // 0 leaves the arrangement to the host.
    let cores = file.number("cpuid.corespersocket")?.filter(|cores| *cores > 0);
    let cores = cores.and_then(|cores| u32::try_from(cores).ok());
    let Some(cores) = cores else { return Ok(Cpu { count, topology: None }) };
    if count == 0 || count % cores != 0 {
        let message = format!("{count} processors cannot be divided into sockets of {cores} cores");
        notes.warn("vmx-topology", message);
        return Ok(Cpu { count, topology: None });
    }
    Ok(Cpu { count, topology: Some(Topology { sockets: count / cores, cores, threads: 1 }) })
}

fn memory(file: &Dictionary, notes: &mut Findings) -> Result<u64, MachineError> {
    notes.known("memory_mib", "memSize");
    file.number("memsize")?.ok_or_else(|| file.fault("memsize", "expected the memory in MiB"))
}

/// VMware's TPM is of version 2.0.
fn tpm(file: &Dictionary) -> Option<Tpm> {
    let has = file.is_true("vtpm.present") || file.get("managedvm.autoaddvtpm").is_some();
    has.then_some(Tpm::V2_0)
}

fn clock(file: &Dictionary, os: Option<&OsHint>, notes: &mut Findings) -> Clock {
    if let Some(shift) = file.get("rtc.difffromutc") {
        notes.known("clock", format!("rtc.diffFromUTC is {shift}"));
        if shift.trim() != "0" {
            let message = format!("the clock runs {} seconds from UTC, local time is assumed", shown(shift));
            notes.warn("vmx-clock-shifted", message);
        }
        return if shift.trim() == "0" { Clock::Utc } else { Clock::Local };
    }
    let windows = os.is_some_and(|os| os.family == OsFamily::Windows);
    notes.known("clock", "the custom of the guest operating system");
    if windows { Clock::Local } else { Clock::Utc }
}
