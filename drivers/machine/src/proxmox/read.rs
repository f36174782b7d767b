//! From a configuration to a machine.

use super::config::{Config, parse, properties, property};
use super::{DIALECT, devices, losses};
use crate::error::shown;
use crate::findings::Findings;
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, OsFamily, OsHint, SchemaVersion,
    Topology, Tpm, Warning,
};

/// What Proxmox gives a machine that does not say, in MiB.
const DEFAULT_MEMORY_MIB: u64 = 512;

/// Reads the machine from the current section of a `VMID.conf`.
///
/// # Errors
/// Kind `Invalid` with the line that cannot be read, or for a machine without a disk; kind `Unsupported` for an
/// architecture other than x86-64 and arm64.
pub fn machine_from_conf(text: &str) -> Result<(Machine, Vec<Warning>), MachineError> {
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

fn machine_of(config: &Config, findings: &mut Findings) -> Result<Machine, MachineError> {
    findings.known("machine", "Proxmox VE configuration");
    let disks = devices::disks(config, findings)?;
    let name = name(config, findings);
    let notes: String =
        config.description.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok(Machine {
        rehome_machine: SchemaVersion,
        name,
        uuid: uuid(config, findings),
        architecture: architecture(config)?,
        firmware: firmware(config, findings),
        cpu: cpu(config, findings)?,
        memory_mib: memory(config, findings)?,
        clock: clock(config),
        tpm: tpm(config, findings),
        disks,
        nics: devices::nics(config, findings),
        os: os_hint(config),
        tags: tags(config, findings),
        notes: findings.text("proxmox-text", "the description", Some(&notes)),
        provenance: std::collections::BTreeMap::new(),
    })
}

/// Without a name Proxmox shows `VM 100`; the number is found in the names of the volumes only.
fn name(config: &Config, findings: &mut Findings) -> String {
    let number = config.values.values().find_map(|value| {
        let rest = value.split_once("vm-")?.1;
        let number = rest.split('-').next()?;
        (!number.is_empty() && number.len() <= 9 && number.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| format!("VM {number}"))
    });
    let fallback = number.unwrap_or_else(|| "VM".into());
    match config.get("name") {
        Some(name) => findings.name("proxmox-name", Some(name), &fallback),
        None => fallback,
    }
}

fn uuid(config: &Config, findings: &mut Findings) -> Option<uuid::Uuid> {
    let parts = properties(config.get("smbios1")?, "uuid");
    if parts.iter().any(|(key, _)| !matches!(*key, "uuid" | "base64")) {
        findings.warn(
            "proxmox-smbios",
            "vendor, product and serial number of the SMBIOS are not kept: a licence may be bound to them",
        );
    }
    let uuid = property(&parts, "uuid").map(uuid::Uuid::parse_str);
    if let Some(Err(_)) = uuid {
        findings.warn("proxmox-uuid", "the uuid of smbios1 is none, the target makes a new one");
    }
    uuid?.ok()
}

fn architecture(config: &Config) -> Result<Architecture, MachineError> {
    match config.get("arch") {
        None | Some("x86_64") => Ok(Architecture::X86_64),
        Some("aarch64") => Ok(Architecture::Arm64),
        Some(other) => Err(MachineError::Unsupported {
            what: DIALECT,
            reason: format!("architecture {}, possible are x86_64 and aarch64", shown(other)),
        }),
    }
}

fn firmware(config: &Config, findings: &mut Findings) -> Firmware {
    let kind = match (config.get("bios"), config.get("arch")) {
        (Some("ovmf"), _) => FirmwareKind::Uefi,
        (None, Some("aarch64")) => FirmwareKind::Uefi,
        (None | Some("seabios"), _) => FirmwareKind::Bios,
        (Some(other), _) => {
            findings.warn("proxmox-firmware", format!("bios is {}, taken for seabios", shown(other)));
            FirmwareKind::Bios
        }
    };
    findings.known("firmware", config.get("bios").map_or("no bios: the default", |_| "bios"));
    if kind == FirmwareKind::Bios {
        return Firmware { kind, secure_boot: None };
    }
    findings.warn(
        "proxmox-efi-variables",
        "the variables of the UEFI firmware do not move: the disk is started by its fallback loader",
    );
    let secure_boot = config.get("efidisk0").map(|disk| {
        let parts = properties(disk, "file");
        property(&parts, "pre-enrolled-keys").is_some_and(flag)
    });
    Firmware { kind, secure_boot }
}

/// Proxmox's booleans.
pub(super) fn flag(text: &str) -> bool {
    matches!(text, "1" | "on" | "yes" | "true")
}

fn number(config: &Config, key: &str) -> Result<Option<u32>, MachineError> {
    config
        .get(key)
        .map(|text| text.parse().map_err(|_| invalid(format!("{key} is {}, expected a number", shown(text)))))
        .transpose()
}

fn cpu(config: &Config, findings: &mut Findings) -> Result<Cpu, MachineError> {
    let sockets = number(config, "sockets")?.unwrap_or(1);
    let cores = number(config, "cores")?.unwrap_or(1);
    let all = sockets.checked_mul(cores).ok_or_else(|| invalid("sockets × cores is too large"))?;
    findings.known("cpu", "sockets, cores, vcpus");
    match number(config, "vcpus")?.filter(|now| *now < all) {
        Some(now) => {
            let message = format!("{now} of at most {all} processors are plugged in; the target has {now}");
            findings.warn("proxmox-vcpu-hotplug", message);
            Ok(Cpu { count: now, topology: None })
        }
        None => Ok(Cpu { count: all, topology: Some(Topology { sockets, cores, threads: 1 }) }),
    }
}

fn memory(config: &Config, findings: &mut Findings) -> Result<u64, MachineError> {
    let Some(text) = config.get("memory") else {
        findings.known("memory_mib", "no memory: the default");
        return Ok(DEFAULT_MEMORY_MIB);
    };
    let parts = properties(text, "current");
    let current = property(&parts, "current").unwrap_or_default();
    let mib = current.parse().map_err(|_| invalid(format!("memory is {}, expected MiB", shown(text))))?;
    findings.known("memory_mib", "memory");
    if let Some(least) = config.get("balloon").and_then(|text| text.parse::<u64>().ok())
        && least > 0
        && least < mib
    {
        findings.warn(
            "proxmox-balloon",
            format!("the balloon could take memory down to {least} MiB; the guest gets all"),
        );
    }
    Ok(mib)
}

fn clock(config: &Config) -> Clock {
    let windows = config.get("ostype").is_some_and(|kind| kind.starts_with('w'));
    let local = config.get("localtime").map_or(windows, flag);
    if local { Clock::Local } else { Clock::Utc }
}

fn tpm(config: &Config, findings: &mut Findings) -> Option<Tpm> {
    let parts = properties(config.get("tpmstate0")?, "file");
    findings.warn(
        "proxmox-tpm",
        "the keys in the TPM do not move: what is sealed to them (BitLocker, LUKS by TPM) needs its recovery key",
    );
    Some(if property(&parts, "version") == Some("v2.0") { Tpm::V2_0 } else { Tpm::V1_2 })
}

fn os_hint(config: &Config) -> Option<OsHint> {
    let kind = config.get("ostype")?;
    let (family, description) = match kind {
        "l24" => (OsFamily::Linux, "Linux 2.4"),
        "l26" => (OsFamily::Linux, "Linux"),
        "solaris" => (OsFamily::Other, "Solaris"),
        "wxp" => (OsFamily::Windows, "Windows XP"),
        "w2k" => (OsFamily::Windows, "Windows 2000"),
        "w2k3" => (OsFamily::Windows, "Windows 2003"),
        "w2k8" => (OsFamily::Windows, "Windows 2008"),
        "wvista" => (OsFamily::Windows, "Windows Vista"),
        "win7" => (OsFamily::Windows, "Windows 7 or 2008 R2"),
        "win8" => (OsFamily::Windows, "Windows 8 or 2012"),
        "win10" => (OsFamily::Windows, "Windows 10, 2016 or 2019"),
        "win11" => (OsFamily::Windows, "Windows 11, 2022 or 2025"),
        _ => return None,
    };
    Some(OsHint { family, description: description.into() })
}

fn tags(config: &Config, findings: &mut Findings) -> std::collections::BTreeMap<String, String> {
    let names = config.get("tags").unwrap_or_default().split([';', ',', ' ']).filter(|name| !name.is_empty());
    names
        .take(256)
        .filter_map(|name| Some((findings.text("proxmox-text", "a tag", Some(name))?, String::new())))
        .collect()
}
