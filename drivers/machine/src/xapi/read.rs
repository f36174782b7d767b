//! The machine of an export.

use super::objects::{Object, Objects, Value};
use super::{DIALECT, devices, losses};
use crate::error::shown;
use crate::findings::Findings;
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, OsFamily, OsHint, SchemaVersion,
    Topology, Tpm, Warning,
};

/// Reads the machine from the `ova.xml` of an export of XenServer or XCP-ng.
///
/// # Errors
/// Kind `Invalid` when it is no such description, or has no machine, memory or disk.
pub fn machine_from_ova(text: &str) -> Result<(Machine, Vec<Warning>), MachineError> {
    let objects = Objects::parse(text)?;
    let mut findings = Findings::default();
    // Snapshots are machines, too.
    let is_it = |vm: &&Object| !vm.members.is("is_a_snapshot") && !vm.members.is("is_control_domain");
    let vm = objects.of("VM").find(is_it).or_else(|| objects.of("VM").next());
    let vm = vm.ok_or_else(|| invalid("there is no machine in it, only disks"))?;
    let machine = machine_of(&objects, vm, &mut findings)?;
    losses::collect(&objects, vm, &mut findings);
    let machine = Machine { provenance: findings.provenance, ..machine };
    machine.validate()?;
    Ok((machine, findings.warnings))
}

pub(super) fn invalid(reason: impl Into<String>) -> MachineError {
    MachineError::Dialect { dialect: DIALECT, reason: reason.into() }
}

/// Whether a guest is started by a boot loader of the host and has no firmware.
pub(super) fn is_paravirtual(vm: &Value) -> bool {
    match vm.text("domain_type") {
        Some("hvm") => false,
        Some("pv" | "pv_in_pvh") => true,
        _ => vm.text("HVM_boot_policy").is_none(),
    }
}

fn machine_of(objects: &Objects, vm: &Object, findings: &mut Findings) -> Result<Machine, MachineError> {
    findings.known("machine", "ova.xml of an export of xapi");
    let uuid = match vm.members.text("uuid").map(uuid::Uuid::parse_str) {
        Some(Ok(uuid)) => Some(uuid),
        Some(Err(_)) => {
            findings.warn("xapi-uuid", "the uuid is none, the target makes a new one");
            None
        }
        None => None,
    };
    let metrics = objects.named("VM_guest_metrics", vm.members.text("guest_metrics"));
    let metrics = metrics.map(|object| &object.members);
    let vm_members = &vm.members;
    Ok(Machine {
        rehome_machine: SchemaVersion,
        name: findings.name("xapi-name", vm_members.text("name_label"), "machine"),
        uuid,
        architecture: Architecture::X86_64,
        firmware: firmware(vm_members, findings),
        cpu: cpu(vm_members, findings)?,
        memory_mib: memory(vm_members, findings)?,
        clock: clock(vm_members, findings),
        tpm: tpm(vm_members, findings),
        disks: devices::disks(objects, vm, findings)?,
        nics: devices::nics(objects, vm, metrics, findings),
        os: metrics.and_then(|metrics| os(metrics, findings)),
        tags: std::collections::BTreeMap::new(),
        notes: findings.one_line("xapi-notes", vm_members.text("name_description").unwrap_or_default()),
        provenance: std::collections::BTreeMap::new(),
    })
}

fn firmware(vm: &Value, findings: &mut Findings) -> Firmware {
    let bios = Firmware { kind: FirmwareKind::Bios, secure_boot: None };
    if is_paravirtual(vm) {
        findings.known("firmware", "none: a paravirtual guest");
        return bios;
    }
    let stated = vm.at("HVM_boot_params", "firmware");
    findings.known("firmware", stated.map_or("no firmware: the default", |_| "HVM_boot_params/firmware"));
    match stated {
        Some("uefi") => {
            let secure_boot = match vm.at("platform", "secureboot") {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            };
            Firmware { kind: FirmwareKind::Uefi, secure_boot }
        }
        None | Some("bios") => bios,
        Some(other) => {
            findings.warn("xapi-firmware", format!("the firmware {} is taken for a BIOS", shown(other)));
            bios
        }
    }
}

/// A number of a member, where it has one.
pub(super) fn number(vm: &Value, name: &str) -> Result<Option<u64>, MachineError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| invalid(format!("{name} is {}, expected a number", shown(text))))
    };
    vm.text(name).map(parse).transpose()
}

fn cpu(vm: &Value, findings: &mut Findings) -> Result<Cpu, MachineError> {
    let (now, most) = (number(vm, "VCPUs_at_startup")?, number(vm, "VCPUs_max")?);
    let count = now.or(most).ok_or_else(|| invalid("there is no number of processors"))?;
    if let Some(most) = most.filter(|most| *most > count) {
        let text = format!("{count} of at most {most} processors are plugged in; the target has {count}");
        findings.warn("xapi-vcpu-hotplug", text);
    }
    findings.known("cpu", "VCPUs_at_startup");
    let count = u32::try_from(count).map_err(|_| invalid(format!("VCPUs_at_startup is {count}")))?;
    let cores = vm.at("platform", "cores-per-socket").and_then(|cores| cores.parse::<u32>().ok());
    let cores = cores.filter(|cores| *cores > 0 && count.is_multiple_of(*cores));
    Ok(Cpu { count, topology: cores.map(|cores| Topology { sockets: count / cores, cores, threads: 1 }) })
}

fn memory(vm: &Value, findings: &mut Findings) -> Result<u64, MachineError> {
    let most = number(vm, "memory_static_max")?;
    let now = number(vm, "memory_dynamic_max")?;
    let bytes = most.or(now).ok_or_else(|| invalid("there is no memory"))?;
    if let Some(now) = now.filter(|now| *now < bytes) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let text = format!("the guest was given {} of {} MiB; it gets all", mib(now), mib(bytes));
        findings.warn("xapi-balloon", text);
    }
    findings.known("memory_mib", "memory_static_max");
    Ok(bytes.div_ceil(1 << 20))
}

fn clock(vm: &Value, findings: &mut Findings) -> Clock {
    let is_windows = vm.at("platform", "viridian") == Some("true");
    findings.known("clock", "platform/viridian");
    if vm.at("platform", "timeoffset").is_some_and(|offset| offset != "0") && !is_windows {
        findings.warn("xapi-clock", "the clock's offset is not kept");
    }
    if is_windows { Clock::Local } else { Clock::Utc }
}

fn tpm(vm: &Value, findings: &mut Findings) -> Option<Tpm> {
    let has_one = vm.get("VTPMs").is_some_and(|list| list.len() > 0);
    if has_one {
        findings.known("tpm", "VTPMs");
    }
    has_one.then_some(Tpm::V2_0)
}

fn os(metrics: &Value, findings: &mut Findings) -> Option<OsHint> {
    let version = metrics.get("os_version")?;
    let description = version.text("name").or_else(|| version.text("distro"));
    let description = findings.text("xapi-text", "the name of the system", description)?;
    let family = match version.text("distro") {
        Some("windows") => OsFamily::Windows,
        _ if description.contains("Windows") => OsFamily::Windows,
        Some(_) => OsFamily::Linux,
        None => OsFamily::Other,
    };
    findings.known("os", "os_version of VM_guest_metrics");
    Some(OsHint { family, description })
}
