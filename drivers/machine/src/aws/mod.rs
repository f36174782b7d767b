//! Amazon EC2 as a source: saved output of the AWS command line.
//!
//! Wanted are `aws ec2 describe-instances`, `describe-volumes`, `describe-images` and, optionally,
//! `describe-instance-types`, all with `--output json`: as files of their own, in any order, or merged into one object
//! with the keys `Reservations`, `Volumes`, `Images`, `InstanceTypes`.
//!
//! | machine | from |
//! |---|---|
//! | name | tag `Name`, else the instance id |
//! | firmware | `CurrentInstanceBootMode`, else `BootMode` of instance or image, else the default of the architecture |
//! | cpu | `CpuOptions`, else `InstanceTypes`, else a table of known types |
//! | memory | `InstanceTypes`, else the table |
//! | disks | `BlockDeviceMappings`, the one of `RootDeviceName` first; sizes from `Volumes` |
//! | nics | `NetworkInterfaces` by device index; the subnet is the network |
//! | os | `PlatformDetails`, name of the image |
//!
//! Each guess is a [`Warning`], and [`Machine::provenance`] says where every value came from.

mod describe;
mod devices;
mod losses;
mod sizes;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::shown;
use crate::findings::Findings;
use crate::validate::{name_fault, plain_text_fault};
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, OsFamily, OsHint, SchemaVersion,
    Topology, Tpm, Warning,
};
use describe::{Document, Image, Instance, InstanceType, Volume};

/// The top-level keys by which a document is recognised.
pub(crate) const KEYS: [&str; 4] = ["Reservations", "Volumes", "Images", "InstanceTypes"];

/// GiB per vCPU of the general purpose families: the guess for an unknown type.
const GUESSED_MIB_PER_VCPU: u64 = 4096;
const GUESSED_VCPUS: u32 = 2;

/// One instance and everything in the documents that belongs to it.
struct Source<'a> {
    instance: &'a Instance,
    image: Option<&'a Image>,
    instance_type: Option<&'a InstanceType>,
    volumes: BTreeMap<&'a str, &'a Volume>,
}

/// Makes the machine of one EC2 instance from saved describe output.
///
/// `docs` are the parsed files in any order; lists under the same key are joined. `instance` is an instance id, needed
/// only when the documents hold several instances that are not terminated.
///
/// # Errors
/// Kind `Invalid` when a document has not the documented shape, when the choice of the instance is not clear (the
/// error lists the ids) or when an instance has no EBS volume; kind `Unsupported` for a root on instance store.
pub fn machine_from_describe(
    docs: &[Value],
    instance: Option<&str>,
) -> Result<(Machine, Vec<Warning>), MachineError> {
    let document = merge(docs)?;
    let instance = choose(&document, instance)?;
    let source = Source {
        instance,
        image: document.images.iter().find(|image| Some(&image.image_id) == instance.image_id.as_ref()),
        instance_type: document
            .instance_types
            .iter()
            .find(|entry| Some(&entry.instance_type) == instance.instance_type.as_ref()),
        volumes: document.volumes.iter().map(|volume| (volume.volume_id.as_str(), volume)).collect(),
    };
    let mut notes = Findings::default();
    if document.next_token.is_some() {
        notes.warn(
            "aws-incomplete",
            "a document ends with NextToken: it was saved with --max-items and is not whole",
        );
    }
    let machine = machine_of(&source, &mut notes)?;
    losses::collect(&source, &mut notes);
    let machine = Machine { provenance: notes.provenance, ..machine };
    machine.validate()?;
    Ok((machine, notes.warnings))
}

fn machine_of(source: &Source<'_>, notes: &mut Findings) -> Result<Machine, MachineError> {
    notes.known("machine", format!("describe-instances, {}", source.instance.instance_id));
    let architecture = architecture(source.instance)?;
    let firmware = firmware(source, architecture, notes);
    let (cpu, memory_mib) = capacity(source, notes);
    Ok(Machine {
        rehome_machine: SchemaVersion,
        name: name(source.instance, notes),
        uuid: None,
        architecture,
        firmware,
        cpu,
        memory_mib,
        // EC2 sets RealTimeIsUniversal in its Windows images; every guest there sees a UTC clock.
        clock: Clock::Utc,
        tpm: tpm(source),
        disks: devices::disks(source, notes)?,
        nics: devices::nics(source, notes),
        os: os_hint(source),
        tags: tags(source.instance, notes),
        notes: Some(format!("EC2 instance {}", source.instance.instance_id)),
        provenance: BTreeMap::new(),
    })
}

fn merge(docs: &[Value]) -> Result<Document, MachineError> {
    let mut all = Document::default();
    for (index, value) in docs.iter().enumerate() {
        let name = format!("document {}", index + 1);
        let bad = |reason: String| MachineError::Json { document: name.clone(), reason };
        let Value::Object(map) = value else {
            return Err(bad("is no JSON object; save the whole output, without --query".into()));
        };
        if !KEYS.iter().any(|key| map.contains_key(*key)) {
            return Err(bad(format!("has none of the keys {}", KEYS.join(", "))));
        }
        let part = Document::deserialize(value).map_err(|error| {
            bad(error.to_string().chars().flat_map(char::escape_debug).take(400).collect())
        })?;
        all.reservations.extend(part.reservations);
        all.volumes.extend(part.volumes);
        all.images.extend(part.images);
        all.instance_types.extend(part.instance_types);
        all.next_token = all.next_token.or(part.next_token);
    }
    Ok(all)
}

fn choose<'a>(document: &'a Document, wanted: Option<&str>) -> Result<&'a Instance, MachineError> {
    let all: Vec<&Instance> = document.reservations.iter().flat_map(|entry| &entry.instances).collect();
    let candidates: Vec<&Instance> = match wanted {
        Some(id) => all.iter().copied().filter(|instance| instance.instance_id == id).collect(),
        None => {
            all.iter().copied().filter(|instance| losses::state(instance) != Some("terminated")).collect()
        }
    };
    let reason = match (candidates.as_slice(), wanted) {
        ([only], _) => return check_id(only),
        ([], Some(id)) => format!("there is no instance {}", shown(id)),
        ([], None) => "there is no instance that is not terminated".into(),
        (_, Some(id)) => format!("instance {} is there {} times", shown(id), candidates.len()),
        (_, None) => format!("there are {} instances, name one of them", candidates.len()),
    };
    let mut ids: Vec<String> = all.iter().take(20).map(|entry| shown(&entry.instance_id)).collect();
    if all.len() > ids.len() {
        ids.push(format!("and {} more", all.len() - ids.len()));
    }
    let ids = if ids.is_empty() { "none".into() } else { ids.join(", ") };
    Err(MachineError::Instance { reason, ids })
}

/// The id goes into names and notes, so it has to be one: `i-` and hexadecimal digits.
fn check_id(instance: &Instance) -> Result<&Instance, MachineError> {
    let digits = instance.instance_id.strip_prefix("i-").unwrap_or_default();
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let reason =
            format!("InstanceId is {}, expected `i-` and hexadecimal digits", shown(&instance.instance_id));
        return Err(MachineError::field("Reservations[].Instances[]", reason));
    }
    Ok(instance)
}

fn name(instance: &Instance, notes: &mut Findings) -> String {
    let Some(tag) = instance.tags.iter().find(|tag| tag.key == "Name") else {
        notes.known("name", "instance id, there is no tag Name");
        return instance.instance_id.clone();
    };
    if let Some(fault) = name_fault(&tag.value) {
        notes.warn("aws-name", format!("the tag Name {fault}; the machine is named by its instance id"));
        notes.known("name", "instance id, the tag Name cannot be used");
        return instance.instance_id.clone();
    }
    notes.known("name", "tag Name");
    tag.value.clone()
}

fn tags(instance: &Instance, notes: &mut Findings) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for tag in instance.tags.iter().filter(|tag| tag.key != "Name") {
        if let Some(fault) = plain_text_fault(&tag.key).or_else(|| plain_text_fault(&tag.value)) {
            notes.warn("aws-tag", format!("the tag {} is left out: {fault}", shown(&tag.key)));
        } else if tags.len() < 256 {
            tags.insert(tag.key.clone(), tag.value.clone());
        }
    }
    tags
}

fn architecture(instance: &Instance) -> Result<Architecture, MachineError> {
    match instance.architecture.as_deref() {
        Some("x86_64") | None => Ok(Architecture::X86_64),
        Some("i386") => Ok(Architecture::I386),
        Some("arm64") => Ok(Architecture::Arm64),
        Some(other) => Err(MachineError::Unsupported {
            what: "aws",
            reason: format!("architecture {}, possible are x86_64, i386 and arm64", shown(other)),
        }),
    }
}

fn firmware(source: &Source<'_>, architecture: Architecture, notes: &mut Findings) -> Firmware {
    let stated = [
        ("CurrentInstanceBootMode", source.instance.current_instance_boot_mode.as_deref()),
        ("BootMode of the instance", source.instance.boot_mode.as_deref()),
        ("BootMode of the image", source.image.and_then(|image| image.boot_mode.as_deref())),
    ];
    for (field, mode) in stated {
        let kind = match mode {
            Some("legacy-bios") => FirmwareKind::Bios,
            Some("uefi") => FirmwareKind::Uefi,
            Some("uefi-preferred") => {
                notes.warn("aws-firmware-guessed", format!(
                    "{field} is uefi-preferred: the guest can start by UEFI or BIOS, and which one it used is not \
                     recorded; UEFI is assumed"
                ));
                FirmwareKind::Uefi
            }
            Some(other) => {
                notes
                    .warn("aws-firmware-unknown", format!("{field} is {}, which is not known", shown(other)));
                continue;
            }
            None => continue,
        };
        notes.known("firmware", format!("{field} is {}", mode.unwrap_or_default()));
        return Firmware { kind, secure_boot: None };
    }
    let (kind, default) = match architecture {
        Architecture::Arm64 => (FirmwareKind::Uefi, "uefi"),
        _ => (FirmwareKind::Bios, "legacy-bios"),
    };
    notes
        .known("firmware", format!("no boot mode recorded, EC2's default for the architecture is {default}"));
    notes.warn(
        "aws-firmware-guessed",
        format!("the documents hold no boot mode; {default} is EC2's default for this architecture"),
    );
    Firmware { kind, secure_boot: None }
}

/// NitroTPM has version 2.0 only.
fn tpm(source: &Source<'_>) -> Option<Tpm> {
    let image = source.image.and_then(|image| image.tpm_support.as_deref());
    let stated = source.instance.tpm_support.as_deref().or(image)?;
    (stated == "v2.0").then_some(Tpm::V2_0)
}

fn capacity(source: &Source<'_>, notes: &mut Findings) -> (Cpu, u64) {
    let type_name = source.instance.instance_type.as_deref().unwrap_or_default();
    let table = sizes::size_of(type_name);
    let cpu = cpu(source, table, notes);
    let described = source
        .instance_type
        .and_then(|entry| entry.memory_info.as_ref())
        .and_then(|info| info.size_in_mib)
        .filter(|mib| *mib > 0);
    if let Some(mib) = described {
        notes.known("memory_mib", format!("InstanceTypes, {type_name}"));
        return (cpu, mib);
    }
    if let Some(size) = table {
        notes.known("memory_mib", format!("table of known instance types, {type_name}"));
        return (cpu, size.memory_mib);
    }
    let mib = u64::from(cpu.count).saturating_mul(GUESSED_MIB_PER_VCPU);
    notes.known("memory_mib", "guessed, 4 GiB for each vCPU");
    notes.warn("aws-memory-guessed", format!(
        "memory of instance type {} is not known, {mib} MiB is a guess; save describe-instance-types for this type",
        shown(type_name)
    ));
    (cpu, mib)
}

fn cpu(source: &Source<'_>, table: Option<sizes::Size>, notes: &mut Findings) -> Cpu {
    if let Some(options) = &source.instance.cpu_options
        && let (Some(cores), Some(threads)) = (options.core_count, options.threads_per_core)
        && let Some(count) = cores.checked_mul(threads).filter(|count| *count > 0)
    {
        notes.known("cpu", "CpuOptions");
        return Cpu { count, topology: Some(Topology { sockets: 1, cores, threads }) };
    }
    let described = source
        .instance_type
        .and_then(|entry| entry.v_cpu_info.as_ref())
        .and_then(|info| info.default_v_cpus)
        .filter(|count| *count > 0);
    if let Some(count) = described {
        notes.known("cpu", "InstanceTypes");
        return Cpu { count, topology: None };
    }
    if let Some(size) = table {
        notes.known("cpu", "table of known instance types");
        return Cpu { count: size.vcpus, topology: None };
    }
    notes.known("cpu", "guessed");
    notes.warn(
        "aws-vcpus-guessed",
        format!(
            "neither CpuOptions nor the instance type {} tells the vCPUs, {GUESSED_VCPUS} is a guess",
            shown(source.instance.instance_type.as_deref().unwrap_or_default())
        ),
    );
    Cpu { count: GUESSED_VCPUS, topology: None }
}

fn os_hint(source: &Source<'_>) -> Option<OsHint> {
    let details = source
        .instance
        .platform_details
        .as_deref()
        .or_else(|| source.image.and_then(|image| image.platform_details.as_deref()))
        .filter(|text| plain_text_fault(text).is_none());
    let windows =
        source.instance.platform.as_deref().is_some_and(|text| text.eq_ignore_ascii_case("windows"))
            || details.is_some_and(|text| text.contains("Windows"));
    let image = source
        .image
        .and_then(|image| image.name.as_deref())
        .filter(|text| plain_text_fault(text).is_none() && text.len() < 400);
    let family = if windows {
        OsFamily::Windows
    } else if details.is_some() {
        // Every other platform EC2 bills for is a Linux.
        OsFamily::Linux
    } else {
        OsFamily::Other
    };
    let description = match (details.filter(|text| text.len() < 400), image) {
        (Some(details), Some(image)) => format!("{details} ({image})"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) if windows => "Windows".into(),
        (None, None) => return None,
    };
    Some(OsHint { family, description })
}
