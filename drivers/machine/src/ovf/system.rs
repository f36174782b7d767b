//! What the machine is: name, firmware, processors, memory, operating system.

use super::envelope::config;
use super::{Findings, Source, units};
use crate::error::shown;
use crate::validate::{name_fault, plain_text_fault};
use crate::xml::{child, local_attribute, text};
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, MachineError, OsFamily, OsHint, Topology, Tpm,
    guest_ids,
};

/// Resource types of DSP0243 and CIM_ResourceAllocationSettingData.
const PROCESSOR: u32 = 3;
const MEMORY: u32 = 4;
const GUESSED_MIB: u64 = 1024;

fn fault(reason: String) -> MachineError {
    MachineError::Dialect { dialect: "ovf", reason }
}

pub(super) fn name(source: &Source<'_, '_>, notes: &mut Findings) -> String {
    let id = local_attribute(source.system, "id");
    for (from, stated) in [("Name", text(source.system, &["Name"])), ("id of the VirtualSystem", id)] {
        let Some(stated) = stated else { continue };
        match name_fault(stated) {
            None => {
                notes.known("name", from);
                return stated.to_owned();
            }
            Some(fault) => notes.warn("ovf-name", format!("the {from} {fault}")),
        }
    }
    notes.warn("ovf-name", "the VirtualSystem has no name; the machine is called machine");
    "machine".into()
}

/// VirtualBox gives the guest the UUID of the hardware, else that of the machine.
pub(super) fn uuid(source: &Source<'_, '_>, notes: &mut Findings) -> Option<uuid::Uuid> {
    let machine = source.vbox?;
    let hardware = child(machine, "Hardware").and_then(|hardware| local_attribute(hardware, "uuid"));
    let stated = hardware.or_else(|| local_attribute(machine, "uuid"))?;
    let uuid = uuid::Uuid::try_parse(stated.trim_matches(['{', '}'])).ok();
    match uuid {
        Some(_) => notes.known("uuid", "uuid of VirtualBox's section"),
        None => notes.warn("ovf-uuid", format!("{} is no UUID: the machine gets none", shown(stated))),
    }
    uuid
}

pub(super) fn firmware(source: &Source<'_, '_>, notes: &mut Findings) -> Result<Firmware, MachineError> {
    let vbox = source.vbox.and_then(|machine| child(machine, "Hardware"));
    let vbox =
        vbox.and_then(|hardware| child(hardware, "Firmware")).and_then(|node| local_attribute(node, "type"));
    let stated = config(source.hardware, "firmware").or(vbox);
    let word = stated.unwrap_or("bios").to_ascii_lowercase();
    let kind = match word.as_str() {
        "bios" => FirmwareKind::Bios,
        "efi" | "efi32" | "efi64" | "efidual" | "uefi" => FirmwareKind::Uefi,
        _ => return Err(fault(format!("firmware is {}, possible are bios and efi", shown(&word)))),
    };
    let system = child(source.hardware, "System").and_then(|node| text(node, &["VirtualSystemType"]));
    let flavour = system.is_some_and(|word| word.contains("vmx-") || word.contains("virtualbox-"));
    match stated {
        Some(word) => notes.known("firmware", format!("firmware is {word}")),
        None => notes.known("firmware", "no firmware recorded, the default of VMware and VirtualBox is BIOS"),
    }
    if stated.is_none() && !flavour {
        notes.warn(
            "ovf-firmware-guessed",
            "the envelope does not say how the machine starts; BIOS is assumed",
        );
    }
    let secure = config(source.hardware, "bootOptions.efiSecureBootEnabled")
        .or_else(|| config(source.hardware, "uefi.secureBoot.enabled"))
        .map(|value| value.eq_ignore_ascii_case("true"));
    Ok(Firmware { kind, secure_boot: if kind == FirmwareKind::Uefi { secure } else { None } })
}

pub(super) fn cpu(source: &Source<'_, '_>, notes: &mut Findings) -> Result<Cpu, MachineError> {
    let Some(item) = source.items.iter().find(|item| item.kind == PROCESSOR) else {
        notes.warn("ovf-cpu-guessed", "the envelope names no processors, one is assumed");
        return Ok(Cpu { count: 1, topology: None });
    };
    let stated = item.field("VirtualQuantity").unwrap_or_default();
    let count: u32 = stated
        .parse()
        .map_err(|_| fault(format!("VirtualQuantity of the processors is {}", shown(stated))))?;
    notes.known("cpu", "item of type 3");
    let cores =
        item.field("CoresPerSocket").and_then(|text| text.parse::<u32>().ok()).filter(|cores| *cores > 0);
    let Some(cores) = cores else { return Ok(Cpu { count, topology: None }) };
    if count == 0 || !count.is_multiple_of(cores) {
        let message = format!("{count} processors cannot be divided into sockets of {cores} cores");
        notes.warn("ovf-topology", message);
        return Ok(Cpu { count, topology: None });
    }
    Ok(Cpu { count, topology: Some(Topology { sockets: count / cores, cores, threads: 1 }) })
}

pub(super) fn memory(source: &Source<'_, '_>, notes: &mut Findings) -> Result<u64, MachineError> {
    let Some(item) = source.items.iter().find(|item| item.kind == MEMORY) else {
        notes.warn(
            "ovf-memory-guessed",
            format!("the envelope names no memory, {GUESSED_MIB} MiB are assumed"),
        );
        return Ok(GUESSED_MIB);
    };
    let unit = item.field("AllocationUnits").unwrap_or_else(|| {
        notes.warn("ovf-memory-units-guessed", "the memory has no unit, MiB are assumed");
        "byte * 2^20"
    });
    let factor = units::bytes_in(unit).ok_or_else(|| {
        fault(format!("AllocationUnits of the memory is {}, which is not known", shown(unit)))
    })?;
    let stated = item.field("VirtualQuantity").unwrap_or_default();
    let bytes = stated.parse::<u64>().ok().and_then(|quantity| quantity.checked_mul(factor));
    let bytes = bytes.ok_or_else(|| fault(format!("VirtualQuantity of the memory is {}", shown(stated))))?;
    notes.known("memory_mib", "item of type 4");
    if bytes % (1 << 20) != 0 {
        notes.warn("ovf-memory-rounded", format!("{bytes} bytes of memory are rounded up to whole MiB"));
    }
    Ok(bytes.div_ceil(1 << 20))
}

/// The identifiers of the operating system: VMware's, VirtualBox's, and the description.
fn identifiers<'a>(source: &Source<'a, '_>) -> [Option<&'a str>; 4] {
    let section = child(source.system, "OperatingSystemSection");
    [
        section.and_then(|node| local_attribute(node, "osType")),
        section.and_then(|node| text(node, &["OSType"])),
        source.vbox.and_then(|machine| local_attribute(machine, "OSType")),
        section.and_then(|node| text(node, &["Description"])),
    ]
}

pub(super) fn architecture(source: &Source<'_, '_>, notes: &mut Findings) -> Architecture {
    let [vmware, listed, machine, _] = identifiers(source);
    match vmware.or(listed).or(machine) {
        Some(id) => {
            notes.known("architecture", format!("guest operating system {id}"));
            guest_ids::architecture_of(id)
        }
        None => Architecture::X86_64,
    }
}

pub(super) fn os(source: &Source<'_, '_>, notes: &mut Findings) -> Option<OsHint> {
    let ids = identifiers(source);
    let stated = ids.iter().flatten();
    let family = stated.map(|id| guest_ids::family_of(id)).find(|family| *family != OsFamily::Other);
    let [vmware, listed, machine, description] = ids;
    let description = description.or(vmware).or(listed).or(machine)?;
    if let Some(fault) = plain_text_fault(description) {
        notes.warn("ovf-guest-os", format!("the operating system {fault}"));
        return None;
    }
    Some(OsHint { family: family.unwrap_or(OsFamily::Other), description: description.to_owned() })
}

pub(super) fn clock(source: &Source<'_, '_>, os: Option<&OsHint>, notes: &mut Findings) -> Clock {
    let hardware = source.vbox.and_then(|machine| child(machine, "Hardware"));
    let stated =
        hardware.and_then(|node| child(node, "RTC")).and_then(|rtc| local_attribute(rtc, "localOrUTC"));
    match stated {
        Some(word) => notes.known("clock", format!("localOrUTC is {word}")),
        None => notes.known("clock", "the custom of the guest operating system"),
    }
    match stated {
        Some(word) if word.eq_ignore_ascii_case("utc") => Clock::Utc,
        Some(_) => Clock::Local,
        None if os.is_some_and(|os| os.family == OsFamily::Windows) => Clock::Local,
        None => Clock::Utc,
    }
}

/// The TPM that VMware lists as an item and VirtualBox in its own section.
pub(super) fn tpm(source: &Source<'_, '_>) -> Option<Tpm> {
    if source.items.iter().any(|item| item.sub_type().contains("vtpm")) {
        return Some(Tpm::V2_0);
    }
    let hardware = source.vbox.and_then(|machine| child(machine, "Hardware"))?;
    let kind = child(hardware, "TrustedPlatformModule").and_then(|node| local_attribute(node, "type"))?;
    match kind.to_ascii_lowercase().as_str() {
        "none" => None,
        "v1_2" => Some(Tpm::V1_2),
        _ => Some(Tpm::V2_0),
    }
}

pub(super) fn annotation(source: &Source<'_, '_>, notes: &mut Findings) -> Option<String> {
    let stated =
        child(source.system, "AnnotationSection").and_then(|section| text(section, &["Annotation"]))?;
    notes.one_line("ovf-annotation-cut", stated)
}
