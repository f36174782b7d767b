//! Disks and network adapters of a domain.

use roxmltree::Node;

use super::read::invalid;
use crate::error::shown;
use crate::findings::Findings;
use crate::validate::plain_text_fault;
use crate::xml::{at, attribute, child, children};
use crate::{Bus, Disk, DiskSource, MachineError, Nic};

/// As many as a machine can have.
const MOST_DISKS: usize = 256;

/// A disk before it has its place.
struct Found {
    target: String,
    bus: Bus,
    source: DiskSource,
    boot: Option<u64>,
}

/// The disks as libvirt sorts them: bus after bus, within a bus by the letters of the target's name.
pub(super) fn disks(domain: Node<'_, '_>, findings: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let mut found: Vec<Found> = Vec::new();
    let nodes = at(domain, &["devices"]).into_iter().flat_map(|devices| children(devices, "disk"));
    for node in nodes {
        let device = node.attribute("device").unwrap_or("disk");
        let target = attribute(node, &["target"], "dev").unwrap_or_default();
        if matches!(device, "cdrom" | "floppy") {
            let code = if device == "cdrom" { "libvirt-cdrom" } else { "libvirt-floppy" };
            let medium = source_of(node).map(|source| match source {
                DiskSource::File(name) | DiskSource::Volume(name) => format!(" with {}", shown(&name)),
            });
            let medium = medium.unwrap_or_default();
            findings.warn(code, format!("the {device} drive {}{medium} is left out", shown(target)));
            continue;
        }
        let source = source_of(node)
            .ok_or_else(|| invalid(format!("disk {} has no source that can be named", shown(target))))?;
        if plain_text_fault(target).is_some() || target.is_empty() {
            return Err(invalid(format!("the target {} is no name of a disk", shown(target))));
        }
        if found.len() >= MOST_DISKS {
            return Err(invalid(format!("the domain has more than {MOST_DISKS} disks")));
        }
        if found.iter().any(|other| other.target == target) {
            return Err(invalid(format!("target {} is used by two disks", shown(target))));
        }
        losses_of_disk(node, device, target, findings);
        let boot = attribute(node, &["boot"], "order").and_then(|order| order.parse().ok());
        found.push(Found { target: target.to_owned(), bus: bus_of(node, target), source, boot });
    }
    if found.is_empty() {
        return Err(invalid("the domain has no disk"));
    }
    let buses: Vec<Bus> = found.iter().map(|disk| disk.bus).collect();
    found.sort_by_key(|disk| {
        let bus = buses.iter().position(|bus| *bus == disk.bus);
        (bus, disk.target.len(), disk.target.clone())
    });
    let first = boot_disk(domain, &found, findings);
    findings.known("disks", "devices/disk by bus and target");
    let disk = |(order, found): (u32, Found)| Disk {
        device_name: Some(format!("/dev/{}", found.target)).filter(|name| plain_text_fault(name).is_none()),
        id: found.target,
        source: found.source,
        bus: found.bus,
        order,
        boot: first == Some(order),
        size_bytes: None,
    };
    Ok((0..).zip(found).map(disk).collect())
}

/// What the firmware starts first; a network or a CD before every disk is a warning.
fn boot_disk(domain: Node<'_, '_>, found: &[Found], findings: &mut Findings) -> Option<u32> {
    let ordered =
        (0_u32..).zip(found).filter_map(|(index, disk)| disk.boot.map(|order| (order, index))).min();
    let others = at(domain, &["devices"])
        .into_iter()
        .flat_map(|devices| devices.children())
        .filter(|node| {
            node.tag_name().name() != "disk" || node.attribute("device").is_some_and(|d| d != "disk")
        })
        .filter_map(|node| attribute(node, &["boot"], "order")?.parse::<u64>().ok())
        .min();
    if let Some(other) = others
        && ordered.is_none_or(|(order, _)| other < order)
    {
        findings.warn(
            "libvirt-boot-order",
            "another device than a disk is started first; the target starts the boot disk",
        );
    }
    if let Some((_, index)) = ordered {
        findings.known("disks.boot", "boot/@order of the disks");
        return Some(index);
    }
    let first = at(domain, &["os", "boot"]).and_then(|boot| boot.attribute("dev"));
    if let Some(device) = first.filter(|device| *device != "hd") {
        findings.warn(
            "libvirt-boot-order",
            format!("{} is started first; the target starts the boot disk", shown(device)),
        );
    }
    Some(0)
}

/// The image or volume of a disk; `None` for an empty drive.
fn source_of(node: Node<'_, '_>) -> Option<DiskSource> {
    let source = child(node, "source")?;
    let get = |name: &str| source.attribute(name).filter(|text| !text.trim().is_empty());
    let volume = |text: String| Some(DiskSource::Volume(text));
    let found = match node.attribute("type").unwrap_or("file") {
        "file" => {
            let path = get("file")?;
            let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some(DiskSource::File(name.to_owned()))
        }
        "block" => volume(get("dev")?.to_owned()),
        "network" => volume(format!("{}:{}", get("protocol")?, get("name").unwrap_or_default())),
        "volume" => volume(format!("{}/{}", get("pool")?, get("volume")?)),
        "dir" => volume(get("dir")?.to_owned()),
        "nvme" => volume(format!("nvme namespace {}", get("namespace")?)),
        "vhostuser" | "vhostvdpa" => volume(get("path").or_else(|| get("dev"))?.to_owned()),
        _ => None,
    };
    found.filter(|source| {
        let (DiskSource::File(text) | DiskSource::Volume(text)) = source;
        plain_text_fault(text).is_none()
    })
}

fn bus_of(node: Node<'_, '_>, target: &str) -> Bus {
    match attribute(node, &["target"], "bus") {
        Some("ide") => Bus::Ide,
        Some("sata") => Bus::Sata,
        Some("scsi") => Bus::Scsi,
        Some("virtio") => Bus::Virtio,
        Some("xen") => Bus::Xen,
        Some("usb") => Bus::Usb,
        Some("nvme") => Bus::Nvme,
        Some(_) => Bus::Other,
        // As libvirt itself does.
        None => match target.get(..2) {
            Some("hd") => Bus::Ide,
            Some("sd") => Bus::Scsi,
            Some("vd") => Bus::Virtio,
            Some("xv") => Bus::Xen,
            _ => Bus::Other,
        },
    }
}

/// Elements of a disk that no other platform takes over: name, code, what is lost.
const DISK_ELEMENTS: &[(&str, &str, &str)] = &[
    (
        "encryption",
        "libvirt-disk-encrypted",
        "is encrypted by libvirt: its image has to be opened with the key",
    ),
    ("iotune", "libvirt-disk-limits", "has limits of throughput, which are not kept"),
    ("mirror", "libvirt-disk-copy", "was being copied by a block job: stop the job before the disk is taken"),
    ("readonly", "libvirt-disk-read-only", "was read-only and becomes writable"),
    (
        "serial",
        "libvirt-disk-serial",
        "had a serial number the guest can see (/dev/disk/by-id), which is not kept",
    ),
    (
        "shareable",
        "libvirt-disk-shared",
        "was shared with other machines: take it only when all of them are off",
    ),
    ("transient", "libvirt-disk-transient", "forgot its changes at each shutdown and keeps them from now on"),
    ("wwn", "libvirt-disk-serial", "had a world wide name the guest can see, which is not kept"),
    ("throttlefilters", "libvirt-disk-limits", "has limits of throughput, which are not kept"),
];

fn losses_of_disk(node: Node<'_, '_>, device: &str, target: &str, findings: &mut Findings) {
    let which = shown(target);
    for (element, code, loss) in DISK_ELEMENTS {
        if child(node, element).is_some() || at(node, &["source", element]).is_some() {
            findings.warn(code, format!("disk {which} {loss}"));
        }
    }
    if device == "lun" {
        findings.warn(
            "libvirt-disk-lun",
            format!("disk {which} is a SCSI device of the host passed through: its commands and reservations are lost"),
        );
    }
    if matches!(node.attribute("type"), Some("nvme" | "vhostuser" | "vhostvdpa" | "dir")) {
        findings.warn(
            "libvirt-disk-host",
            format!("disk {which} is a device or folder of the host: an image of it has to be made first"),
        );
    }
    let sector = attribute(node, &["blockio"], "logical_block_size");
    if let Some(size) = sector.filter(|size| *size != "512") {
        findings.warn(
            "libvirt-disk-sectors",
            format!(
                "disk {which} has logical sectors of {} bytes; its partition table does not fit a target with 512",
                shown(size)
            ),
        );
    }
}

/// Elements of an adapter that are not taken over.
const NIC_ELEMENTS: &[(&str, &str, &str)] = &[
    ("bandwidth", "libvirt-nic-limits", "has limits of throughput, which are not kept"),
    ("filterref", "libvirt-nic-filter", "is behind a filter of libvirt, which is not kept"),
    ("mtu", "libvirt-nic-mtu", "has an MTU of its own, which is not kept"),
    ("teaming", "libvirt-nic-team", "is teamed with another adapter, which is not kept"),
    ("virtualport", "libvirt-nic-port", "has settings of its virtual switch, which are not kept"),
    ("vlan", "libvirt-nic-vlan", "is in a VLAN, which has to be set at the target's switch"),
];

/// The adapters in the document's order, which is the guest's unless addresses say otherwise.
pub(super) fn nics(domain: Node<'_, '_>, findings: &mut Findings) -> Vec<Nic> {
    let mut nics: Vec<Nic> = Vec::new();
    let nodes = at(domain, &["devices"]).into_iter().flat_map(|devices| children(devices, "interface"));
    for (index, node) in nodes.enumerate() {
        let which = format!("network adapter {index}");
        let kind = node.attribute("type").unwrap_or_default();
        let source = |name: &str| attribute(node, &["source"], name);
        let network = match kind {
            "bridge" => source("bridge"),
            "network" => source("network"),
            "direct" | "vdpa" => source("dev"),
            "vhostuser" => source("path"),
            "internal" => source("name"),
            _ => None,
        };
        match kind {
            "hostdev" | "vdpa" | "vhostuser" => findings.warn(
                "libvirt-nic-host",
                format!(
                    "{which} is hardware of the host or bypasses it ({kind}); it becomes an ordinary adapter"
                ),
            ),
            "bridge" | "network" | "direct" | "user" => {}
            other => {
                findings.warn("libvirt-nic-kind", format!("{which} is of the kind {}", shown(other)));
            }
        }
        for (element, code, loss) in NIC_ELEMENTS {
            if child(node, element).is_some() {
                findings.warn(code, format!("{which} {loss}"));
            }
        }
        if attribute(node, &["link"], "state") == Some("down") {
            findings
                .warn("libvirt-nic-down", format!("the link of {which} was down and is up at the target"));
        }
        let mac = attribute(node, &["mac"], "address");
        nics.push(Nic {
            mac: findings.mac("libvirt-mac", &which, mac, &nics),
            network: findings.text("libvirt-text", "the name of a network", network),
            model: findings.text("libvirt-text", "an adapter model", attribute(node, &["model"], "type")),
            addresses: Vec::new(),
        });
    }
    if !nics.is_empty() {
        findings.known("nics", "devices/interface as listed");
    }
    nics
}
