//! From domain XML to a machine.

use roxmltree::Node;

use super::{DIALECT, FOREIGN_TYPES, devices, losses};
use crate::error::shown;
use crate::findings::Findings;
use crate::xml::{at, attribute, child, children, parse, text};
use crate::{
    Architecture, Clock, Cpu, Firmware, FirmwareKind, Machine, MachineError, OsFamily, OsHint, SchemaVersion,
    Topology, Tpm, Warning,
};

/// Reads the machine from a domain of libvirt.
///
/// # Errors
/// Kind `Invalid` when the text is no XML, holds no domain or several, or lacks what a machine needs; kind
/// `Unsupported` for containers and for architectures other than x86 and 64-bit Arm.
pub fn machine_from_xml(text: &str) -> Result<(Machine, Vec<Warning>), MachineError> {
    let document = parse(DIALECT, text)?;
    let domain = domain_of(document.root_element())?;
    let mut findings = Findings::default();
    let machine = machine_of(domain, &mut findings)?;
    losses::collect(domain, &mut findings);
    let machine = Machine { provenance: findings.provenance, ..machine };
    machine.validate()?;
    Ok((machine, findings.warnings))
}

pub(super) fn invalid(reason: impl Into<String>) -> MachineError {
    MachineError::Dialect { dialect: DIALECT, reason: reason.into() }
}

/// The domain may be wrapped, as in a snapshot's or a saved machine's file.
fn domain_of<'a, 'i>(root: Node<'a, 'i>) -> Result<Node<'a, 'i>, MachineError> {
    if root.tag_name().name() == "domain" {
        return Ok(root);
    }
    let mut found = children(root, "domain");
    match (found.next(), found.next()) {
        (Some(domain), None) => Ok(domain),
        (None, _) => Err(invalid(format!("the element {} holds no domain", shown(root.tag_name().name())))),
        (Some(_), Some(_)) => Err(invalid("the document holds several domains, give one at a time")),
    }
}

fn machine_of(domain: Node<'_, '_>, findings: &mut Findings) -> Result<Machine, MachineError> {
    if let Some(kind) = domain.attribute("type").filter(|kind| FOREIGN_TYPES.contains(kind)) {
        let reason = format!("a domain of type {} is no machine with disks", shown(kind));
        return Err(MachineError::Unsupported { what: DIALECT, reason });
    }
    findings.known("machine", "libvirt domain xml");
    let uuid = match text(domain, &["uuid"]).map(uuid::Uuid::parse_str) {
        Some(Ok(uuid)) => Some(uuid),
        Some(Err(_)) => {
            findings.warn("libvirt-uuid", "the uuid of the domain is none, the target makes a new one");
            None
        }
        None => None,
    };
    let cpu = cpu(domain, findings)?;
    let disks = devices::disks(domain, findings)?;
    let notes = text(domain, &["description"]).or_else(|| text(domain, &["title"]));
    let name = text(domain, &["name"]).filter(|name| !name.is_empty());
    Ok(Machine {
        rehome_machine: SchemaVersion,
        name: findings.name("libvirt-name", name, "domain"),
        uuid,
        architecture: architecture(domain)?,
        firmware: firmware(domain, findings),
        cpu,
        memory_mib: memory(domain, findings)?,
        clock: clock(domain, findings),
        tpm: tpm(domain, findings),
        disks,
        nics: devices::nics(domain, findings),
        os: os_hint(domain),
        tags: std::collections::BTreeMap::new(),
        notes: notes.and_then(|notes| one_line(notes, findings)),
        provenance: std::collections::BTreeMap::new(),
    })
}

/// A description may have several lines, a machine's notes have one.
fn one_line(text: &str, findings: &mut Findings) -> Option<String> {
    let joined = text.split(['\n', '\r', '\t']).map(str::trim).filter(|line| !line.is_empty());
    let joined = joined.collect::<Vec<_>>().join(" ");
    findings.text("libvirt-text", "the description", Some(&joined))
}

fn architecture(domain: Node<'_, '_>) -> Result<Architecture, MachineError> {
    match attribute(domain, &["os", "type"], "arch") {
        Some("x86_64") | None => Ok(Architecture::X86_64),
        Some("i686" | "i386") => Ok(Architecture::I386),
        Some("aarch64") => Ok(Architecture::Arm64),
        Some(other) => Err(MachineError::Unsupported {
            what: DIALECT,
            reason: format!("architecture {}, possible are x86_64, i686 and aarch64", shown(other)),
        }),
    }
}

fn firmware(domain: Node<'_, '_>, findings: &mut Findings) -> Firmware {
    let loader = at(domain, &["os", "loader"]);
    let path = loader.and_then(|loader| loader.text()).unwrap_or_default();
    let pflash = loader.is_some_and(|loader| loader.attribute("type") == Some("pflash"));
    let named = ["OVMF", "AAVMF", "edk2"].iter().any(|name| path.contains(name));
    let arm = attribute(domain, &["os", "type"], "arch") == Some("aarch64");
    let (kind, from) = match attribute(domain, &["os"], "firmware") {
        Some("efi") => (FirmwareKind::Uefi, "os/@firmware is efi"),
        Some("bios") => (FirmwareKind::Bios, "os/@firmware is bios"),
        _ if pflash || named => (FirmwareKind::Uefi, "os/loader is a UEFI image"),
        _ if arm => (FirmwareKind::Uefi, "the architecture has no BIOS"),
        _ => (FirmwareKind::Bios, "neither os/@firmware nor os/loader names UEFI"),
    };
    findings.known("firmware", from);
    let feature = |name: &str| {
        at(domain, &["os", "firmware"])
            .into_iter()
            .flat_map(|firmware| children(firmware, "feature"))
            .find(|feature| feature.attribute("name") == Some(name))
            .and_then(|feature| feature.attribute("enabled"))
    };
    let secure = loader.and_then(|loader| loader.attribute("secure"));
    let secure_boot = match (kind, feature("secure-boot"), feature("enrolled-keys")) {
        (FirmwareKind::Bios, ..) => None,
        (_, Some("no"), _) | (_, _, Some("no")) => Some(false),
        (_, Some("yes"), Some("yes")) => Some(true),
        _ if secure == Some("no") => Some(false),
        _ => {
            if secure == Some("yes") || feature("secure-boot") == Some("yes") {
                findings.warn(
                    "libvirt-secure-boot-unknown",
                    "the firmware can do secure boot; whether it was on stands in its variables, which are not read",
                );
            }
            None
        }
    };
    Firmware { kind, secure_boot }
}

fn memory(domain: Node<'_, '_>, findings: &mut Findings) -> Result<u64, MachineError> {
    let amount = |name: &str| {
        let node = child(domain, name)?;
        let bytes = bytes_of(node.text().unwrap_or_default(), node.attribute("unit").unwrap_or("KiB"));
        Some(bytes.ok_or_else(|| invalid(format!("the amount of {name} is not understood"))))
    };
    let total = amount("memory").ok_or_else(|| invalid("the domain has no memory element"))??;
    if let Some(Ok(current)) = amount("currentMemory")
        && current < total
    {
        findings.warn(
            "libvirt-balloon",
            format!(
                "the guest was given {} of {} MiB by its balloon; it gets all",
                current >> 20,
                total >> 20
            ),
        );
    }
    let mib = total.div_ceil(1 << 20);
    if total % (1 << 20) != 0 {
        findings.warn("libvirt-memory-rounded", format!("{total} bytes of memory become {mib} MiB"));
    }
    findings.known("memory_mib", "memory");
    Ok(mib)
}

/// Units of libvirt: those of two letters with `B` are decimal, all others binary.
pub(super) fn bytes_of(number: &str, unit: &str) -> Option<u64> {
    let factor: u64 = match unit {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

fn cpu(domain: Node<'_, '_>, findings: &mut Findings) -> Result<Cpu, MachineError> {
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u32>().ok());
    let topology = at(domain, &["cpu", "topology"]).and_then(|node| {
        let part = |name: &str| number(node.attribute(name));
        let groups = part("dies").unwrap_or(1).checked_mul(part("clusters").unwrap_or(1))?;
        let cores = part("cores")?.checked_mul(groups)?;
        if groups > 1 {
            findings.warn("libvirt-dies", "dies and clusters of the processor become cores of one socket");
        }
        Some(Topology { sockets: part("sockets")?, cores, threads: part("threads")? })
    });
    let product = topology
        .and_then(|at| at.sockets.checked_mul(at.cores).and_then(|part| part.checked_mul(at.threads)));
    let stated = match child(domain, "vcpu") {
        Some(node) => {
            let most = number(node.text()).ok_or_else(|| invalid("vcpu is no number"))?;
            let now = number(node.attribute("current")).unwrap_or(most);
            if now < most {
                let message =
                    format!("{now} of at most {most} processors are plugged in; the target has {now}");
                findings.warn("libvirt-vcpu-hotplug", message);
            }
            Some(now)
        }
        None => None,
    };
    let count = stated.or(product).unwrap_or(1);
    findings.known("cpu", if stated.is_some() { "vcpu" } else { "cpu/topology, else 1" });
    if topology.is_some() && product != Some(count) {
        findings
            .warn("libvirt-topology", format!("the topology is not of {count} processors and is left out"));
    }
    Ok(Cpu { count, topology: topology.filter(|_| product == Some(count)) })
}

fn clock(domain: Node<'_, '_>, findings: &mut Findings) -> Clock {
    let adjusted = attribute(domain, &["clock"], "adjustment").is_some_and(|adjustment| adjustment != "0");
    match attribute(domain, &["clock"], "offset") {
        Some("localtime") => Clock::Local,
        Some("timezone") => {
            findings.warn(
                "libvirt-clock",
                "the clock showed a time zone of its own, the target gives local time of its host",
            );
            Clock::Local
        }
        Some("variable") => {
            if adjusted {
                findings.warn("libvirt-clock", "the clock's adjustment is not kept");
            }
            match attribute(domain, &["clock"], "basis") {
                Some("localtime") => Clock::Local,
                _ => Clock::Utc,
            }
        }
        Some("absolute") => {
            findings.warn("libvirt-clock", "the clock started at a fixed time, the target gives UTC");
            Clock::Utc
        }
        _ => Clock::Utc,
    }
}

fn tpm(domain: Node<'_, '_>, findings: &mut Findings) -> Option<Tpm> {
    let node = at(domain, &["devices", "tpm"])?;
    let backend = child(node, "backend");
    findings.warn(
        "libvirt-tpm",
        "the keys in the TPM do not move: what is sealed to them (BitLocker, LUKS by TPM) needs its recovery key",
    );
    // `virsh dumpxml` prints the version of every emulated TPM.
    let stated = backend.and_then(|backend| backend.attribute("version"));
    Some(if stated == Some("1.2") { Tpm::V1_2 } else { Tpm::V2_0 })
}

fn os_hint(domain: Node<'_, '_>) -> Option<OsHint> {
    let id = attribute(domain, &["metadata", "libosinfo", "os"], "id")?;
    if crate::validate::plain_text_fault(id).is_some() || id.is_empty() {
        return None;
    }
    // Vendors of osinfo-db.
    const LINUX: &[&str] = &[
        "debian.org",
        "ubuntu.com",
        "redhat.com",
        "centos.org",
        "fedoraproject.org",
        "suse.com",
        "opensuse.org",
        "oracle.com",
        "almalinux.org",
        "rockylinux.org",
        "alpinelinux.org",
        "archlinux.org",
        "amazon.com",
        "gentoo.org",
        "libosinfo.org/linux",
    ];
    let family = if id.contains("microsoft.com") {
        OsFamily::Windows
    } else if LINUX.iter().any(|vendor| id.contains(vendor)) {
        OsFamily::Linux
    } else {
        OsFamily::Other
    };
    Some(OsHint { family, description: id.to_owned() })
}
