//! From a configuration to a machine.

use super::syntax::{Config, parse};
use super::{DIALECT, devices, losses};
use crate::error::shown;
use crate::findings::Findings;
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, SchemaVersion, Warning,
};

/// Reads the machine from a configuration of `xl`.
///
/// # Errors
/// Kind `Invalid` with the line of what is not of the language, or when there is no name, memory or disk.
pub fn machine_from_cfg(text: &str) -> Result<(Machine, Vec<Warning>), MachineError> {
    let config = parse(text)?;
    let mut findings = Findings::default();
    let machine = machine_of(&config, &mut findings)?;
    losses::collect(&config, &mut findings);
    let machine = Machine { provenance: findings.provenance, ..machine };
    machine.validate()?;
    Ok((machine, findings.warnings))
}

pub(super) fn invalid(reason: impl Into<String>) -> MachineError {
    MachineError::Dialect { dialect: DIALECT, reason: reason.into() }
}

/// How a guest is virtualised; xl's default is PV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hvm,
    Pvh,
    Pv,
}

pub(super) fn kind(config: &Config) -> Kind {
    match (config.text("type"), config.text("builder")) {
        (Some("hvm"), _) | (None, Some("hvm")) => Kind::Hvm,
        (Some("pvh"), _) => Kind::Pvh,
        _ => Kind::Pv,
    }
}

fn machine_of(config: &Config, findings: &mut Findings) -> Result<Machine, MachineError> {
    findings.known("machine", "xl configuration");
    let name = config.text("name").ok_or_else(|| invalid("there is no name"))?;
    let uuid = match config.text("uuid").map(uuid::Uuid::parse_str) {
        Some(Ok(uuid)) => Some(uuid),
        Some(Err(_)) => {
            findings.warn("xen-uuid", "the uuid is none, the target makes a new one");
            None
        }
        None => None,
    };
    Ok(Machine {
        rehome_machine: SchemaVersion,
        name: findings.name("xen-name", Some(name), "domain"),
        uuid,
        architecture: Architecture::X86_64,
        firmware: firmware(config, findings),
        cpu: cpu(config, findings)?,
        memory_mib: memory(config, findings)?,
        clock: clock(config, findings),
        // xl gives virtual TPMs to the domains of its own vTPM manager only; that is a warning.
        tpm: None,
        disks: devices::disks(config, findings)?,
        nics: devices::nics(config, findings)?,
        os: None,
        tags: std::collections::BTreeMap::new(),
        notes: None,
        provenance: std::collections::BTreeMap::new(),
    })
}

fn firmware(config: &Config, findings: &mut Findings) -> Firmware {
    let stated = config.text("bios").or_else(|| config.text("firmware"));
    let kind = match (kind(config), stated) {
        (Kind::Hvm, Some("ovmf" | "uefi")) => FirmwareKind::Uefi,
        (Kind::Hvm, None | Some("seabios" | "rombios" | "bios")) => FirmwareKind::Bios,
        (Kind::Hvm, Some(other)) => {
            findings.warn("xen-firmware", format!("the firmware {} is taken for a BIOS", shown(other)));
            FirmwareKind::Bios
        }
        // A boot loader of the host reads the disk's own configuration; there is no firmware.
        (Kind::Pvh | Kind::Pv, _) => FirmwareKind::Bios,
    };
    findings.known("firmware", stated.map_or("no bios: the default", |_| "bios or firmware"));
    Firmware { kind, secure_boot: None }
}

fn cpu(config: &Config, findings: &mut Findings) -> Result<Cpu, MachineError> {
    let now = config.number("vcpus").transpose()?;
    let most = config.number("maxvcpus").transpose()?;
    let count = now.or(most).unwrap_or(1);
    if let Some(most) = most.filter(|most| *most > count) {
        let message = format!("{count} of at most {most} processors are plugged in; the target has {count}");
        findings.warn("xen-vcpu-hotplug", message);
    }
    findings.known("cpu", "vcpus");
    let count = u32::try_from(count).map_err(|_| invalid(format!("vcpus is {count}")))?;
    Ok(Cpu { count, topology: None })
}

fn memory(config: &Config, findings: &mut Findings) -> Result<u64, MachineError> {
    let now = config.number("memory").transpose()?;
    let most = config.number("maxmem").transpose()?;
    if let (Some(now), Some(most)) = (now, most)
        && now < most
    {
        findings.warn("xen-balloon", format!("the guest was given {now} of {most} MiB; it gets all"));
    }
    findings.known("memory_mib", "maxmem, else memory");
    now.max(most).ok_or_else(|| invalid("there is no memory"))
}

fn clock(config: &Config, findings: &mut Findings) -> Clock {
    if config.text("rtc_timeoffset").is_some_and(|offset| offset != "0") {
        findings.warn("xen-clock", "the clock's offset is not kept");
    }
    if config.text("localtime").is_some_and(|text| text != "0") { Clock::Local } else { Clock::Utc }
}
