//! Disks and network adapters of a configuration.

use super::config::{Config, properties, property};
use super::read::invalid;
use crate::error::shown;
use crate::findings::Findings;
use crate::validate::plain_text_fault;
use crate::{Bus, Disk, DiskSource, MachineError, Nic};

/// Stems of disk keys in Proxmox's own order.
const BUSES: &[(&str, Bus)] =
    &[("ide", Bus::Ide), ("scsi", Bus::Scsi), ("virtio", Bus::Virtio), ("sata", Bus::Sata)];

/// A disk before the boot disk is known.
struct Found {
    key: String,
    bus: Bus,
    volume: String,
    size_bytes: Option<u64>,
}

pub(super) fn disks(config: &Config, findings: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let mut found = Vec::new();
    for (stem, bus) in BUSES {
        for (_, key, value) in config.numbered(stem) {
            found.extend(disk(key, value, *bus, findings)?);
        }
    }
    if found.is_empty() {
        return Err(invalid("the machine has no disk"));
    }
    let keys: Vec<&str> = found.iter().map(|disk| disk.key.as_str()).collect();
    let boot = boot_disk(config, &keys, findings);
    findings.known("disks", "ide, scsi, virtio, sata by number");
    let finish = |(order, found): (u32, Found)| Disk {
        boot: found.key == boot,
        source: DiskSource::Volume(found.volume),
        id: found.key,
        bus: found.bus,
        order,
        size_bytes: found.size_bytes,
        device_name: None,
    };
    Ok((0..).zip(found).map(finish).collect())
}

fn disk(key: &str, value: &str, bus: Bus, findings: &mut Findings) -> Result<Option<Found>, MachineError> {
    let parts = properties(value, "file");
    let volume = property(&parts, "file").or_else(|| property(&parts, "volume")).unwrap_or_default();
    let which = shown(key);
    if volume.contains("cloudinit") && property(&parts, "media") == Some("cdrom") {
        findings.warn("proxmox-cloud-init", format!("{which} is a cloud-init drive, which is left out"));
        return Ok(None);
    }
    if property(&parts, "media") == Some("cdrom") || volume == "none" || volume == "cdrom" {
        findings.warn("proxmox-cdrom", format!("the CD drive {which} with {} is left out", shown(volume)));
        return Ok(None);
    }
    if volume.is_empty() || plain_text_fault(volume).is_some() {
        return Err(invalid(format!("{key} names no volume: {}", shown(value))));
    }
    if volume.starts_with('/') {
        findings.warn(
            "proxmox-disk-host",
            format!(
                "{which} is a device of the host passed through ({}): an image of it has to be made first",
                shown(volume)
            ),
        );
    }
    for (option, code, loss) in DISK_OPTIONS {
        if parts.iter().any(|(name, value)| name == option && *value != "0") {
            findings.warn(code, format!("disk {which} {loss}"));
        }
    }
    if parts
        .iter()
        .any(|(name, _)| name.starts_with("iops") || name.starts_with("mbps") || name.starts_with("bps"))
    {
        findings.warn(
            "proxmox-disk-limits",
            format!("disk {which} has limits of throughput, which are not kept"),
        );
    }
    let size_bytes = property(&parts, "size").and_then(size_of);
    if let Some(text) = property(&parts, "size").filter(|_| size_bytes.is_none()) {
        findings.warn("proxmox-disk-size", format!("the size of {which} is {}, which is none", shown(text)));
    }
    Ok(Some(Found { key: key.to_owned(), bus, volume: volume.to_owned(), size_bytes }))
}

/// Options of a disk that are not taken over.
const DISK_OPTIONS: &[(&str, &str, &str)] = &[
    ("ro", "proxmox-disk-read-only", "was read-only and becomes writable"),
    ("snapshot", "proxmox-disk-transient", "forgot its changes at each shutdown and keeps them from now on"),
    (
        "shared",
        "proxmox-disk-shared",
        "was shared with other machines: take it only when all of them are off",
    ),
    (
        "serial",
        "proxmox-disk-serial",
        "had a serial number the guest can see (/dev/disk/by-id), which is not kept",
    ),
    ("wwn", "proxmox-disk-serial", "had a world wide name the guest can see, which is not kept"),
    ("scsiblock", "proxmox-disk-host", "passed SCSI commands through to the host, which is not kept"),
];

/// A size as Proxmox prints it: a number, with a binary unit or in bytes.
fn size_of(text: &str) -> Option<u64> {
    let unit =
        text.char_indices().find(|(_, c)| !c.is_ascii_digit() && *c != '.').map_or(text.len(), |(at, _)| at);
    let (number, unit) = text.split_at_checked(unit)?;
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    // The rules of the model: whole sectors, at most 1 PiB.
    (bytes > 0 && bytes % 512 == 0 && bytes <= 1 << 50).then_some(bytes)
}

/// The key of the disk that is started. `boot: order=` lists devices; the older form has letters and `bootdisk`.
fn boot_disk(config: &Config, disks: &[&str], findings: &mut Findings) -> String {
    let first_disk = disks.first().copied().unwrap_or_default();
    let parts = properties(config.get("boot").unwrap_or_default(), "legacy");
    let order: Vec<&str> = property(&parts, "order").unwrap_or_default().split(';').map(str::trim).collect();
    if let Some(first) = order.iter().find(|device| !device.is_empty()) {
        let listed = order.iter().find(|device| disks.contains(device));
        if Some(first) != listed {
            findings.warn(
                "proxmox-boot-order",
                format!("{} is started first; the target starts the boot disk", shown(first)),
            );
        }
        findings.known("disks.boot", "boot: order");
        return (*listed.unwrap_or(&first_disk)).to_owned();
    }
    let letters = property(&parts, "legacy").unwrap_or("cdn");
    if !letters.starts_with('c') {
        findings.warn(
            "proxmox-boot-order",
            format!("boot is {}: another device than a disk is started first", shown(letters)),
        );
    }
    match config.get("bootdisk").filter(|key| disks.contains(key)) {
        Some(key) => {
            findings.known("disks.boot", "bootdisk");
            key.to_owned()
        }
        None => {
            findings.known("disks.boot", "the first disk");
            first_disk.to_owned()
        }
    }
}

/// Options of an adapter that are not taken over.
const NIC_OPTIONS: &[(&str, &str, &str)] = &[
    ("tag", "proxmox-nic-vlan", "is in a VLAN, which has to be set at the target's switch"),
    ("trunks", "proxmox-nic-vlan", "is in several VLANs, which have to be set at the target's switch"),
    ("rate", "proxmox-nic-limits", "has a limit of throughput, which is not kept"),
    ("firewall", "proxmox-nic-firewall", "is behind Proxmox's firewall, whose rules are not kept"),
    ("mtu", "proxmox-nic-mtu", "has an MTU of its own, which is not kept"),
    ("link_down", "proxmox-nic-down", "was unplugged and is plugged in at the target"),
];

pub(super) fn nics(config: &Config, findings: &mut Findings) -> Vec<Nic> {
    let mut nics: Vec<Nic> = Vec::new();
    for (_, key, value) in config.numbered("net") {
        let parts = properties(value, "model");
        // `virtio=AA:…` is short for `model=virtio,macaddr=AA:…`.
        let short = parts.first().filter(|(name, _)| !matches!(*name, "model" | "macaddr" | "bridge"));
        let (model, mac) = match short {
            Some((model, mac)) => (Some(*model), Some(*mac)),
            None => (property(&parts, "model"), property(&parts, "macaddr")),
        };
        for (option, code, loss) in NIC_OPTIONS {
            if parts.iter().any(|(name, value)| name == option && !matches!(*value, "" | "0")) {
                findings.warn(code, format!("{} {loss}", shown(key)));
            }
        }
        nics.push(Nic {
            mac: findings.mac("proxmox-mac", key, mac.filter(|mac| !mac.is_empty()), &nics),
            network: findings.text("proxmox-text", "the name of a bridge", property(&parts, "bridge")),
            model: findings.text("proxmox-text", "an adapter model", model),
            addresses: Vec::new(),
        });
    }
    if !nics.is_empty() {
        findings.known("nics", "net0 and so on");
    }
    nics
}
