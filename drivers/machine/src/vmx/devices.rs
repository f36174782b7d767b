//! Disks and network adapters of a VMX file.

use std::collections::BTreeMap;

use super::dictionary::Dictionary;
use crate::error::shown;
use crate::findings::Findings;
use crate::validate::plain_text_fault;
use crate::{Disk, DiskSource, MachineError, Nic, vmware};

/// The buses in the order in which their disks are numbered where `bios.hddOrder` says nothing.
const BUSES: [&str; 4] = ["scsi", "sata", "nvme", "ide"];
/// More than any product has of controllers, units and adapters.
const MAX_CONTROLLER: u32 = 15;
const MAX_UNIT: u32 = 255;
const MAX_ADAPTER: u32 = 63;

/// A device at a place such as `scsi0:1`: the entries below it, by the rest of their keys.
type Device<'a> = BTreeMap<&'a str, &'a str>;

/// Bus (as an index into [`BUSES`]), controller and unit.
type Place = (usize, u32, u32);

/// The disks, those the firmware tries first in front.
pub(super) fn disks(file: &Dictionary, notes: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let mut found: Vec<(Place, &str)> = Vec::new();
    for (place, device) in devices(file) {
        if let Some(name) = disk_at(file, place, &device, notes)? {
            found.push((place, name));
        }
    }
    let first = boot_order(file);
    let rank = |place: Place| first.iter().position(|other| *other == place).unwrap_or(first.len());
    found.sort_by_key(|(place, _)| (rank(*place), *place));
    let several = found.windows(2).any(|pair| matches!(pair, [a, b] if a.0.0 != b.0.0));
    if several && first.is_empty() {
        notes.warn(
            "vmx-boot-order-guessed",
            "disks are on several buses and bios.hddOrder is not set: the first one is assumed to be the boot disk",
        );
    }
    notes.known("disks", "scsiX:Y, sataX:Y, nvmeX:Y, ideX:Y; the first one is the boot disk");
    Ok((0..)
        .zip(&found)
        .map(|(order, (place, name))| Disk {
            id: title(*place),
            source: DiskSource::File((*name).to_owned()),
            bus: vmware::bus_of(BUSES.get(place.0).copied().unwrap_or_default()),
            order,
            boot: order == 0,
            size_bytes: None,
            device_name: None,
        })
        .collect())
}

fn title((bus, controller, unit): Place) -> String {
    format!("{}{controller}:{unit}", BUSES.get(bus).copied().unwrap_or_default())
}

/// Every device on a disk bus that the file calls present.
fn devices(file: &Dictionary) -> BTreeMap<Place, Device<'_>> {
    let mut all: BTreeMap<Place, Device<'_>> = BTreeMap::new();
    for (bus, name) in BUSES.iter().enumerate() {
        for (rest, value) in file.below(name) {
            let Some((place, key)) = rest.split_once('.') else { continue };
            let Some((controller, unit)) = place.split_once(':') else { continue };
            let (Ok(controller), Ok(unit)) = (controller.parse::<u32>(), unit.parse::<u32>()) else {
                continue;
            };
            if controller <= MAX_CONTROLLER && unit <= MAX_UNIT {
                all.entry((bus, controller, unit)).or_default().insert(key, value);
            }
        }
    }
    all.retain(|_, device| device.get("present").is_some_and(|value| value.eq_ignore_ascii_case("true")));
    all
}

/// The image of a disk, or `None` for what is no disk, which is a warning.
fn disk_at<'a>(
    file: &'a Dictionary,
    place: Place,
    device: &Device<'a>,
    notes: &mut Findings,
) -> Result<Option<&'a str>, MachineError> {
    let title = title(place);
    let controller = title.split(':').next().unwrap_or_default();
    let kind = device.get("devicetype").copied().unwrap_or_default().to_ascii_lowercase();
    let image = device.get("filename").copied().unwrap_or_default().to_ascii_lowercase();
    if kind.contains("cdrom") || image.ends_with(".iso") {
        notes.warn("vmx-cdrom", format!("the CD-ROM drive {title} is not taken over"));
        return Ok(None);
    }
    if kind.contains("passthru") {
        let message = format!("{title} hands a SCSI device of the host to the guest: it is not taken over");
        notes.warn("vmx-passthrough", message);
        return Ok(None);
    }
    // The two IDE controllers are always there.
    if !controller.starts_with("ide") && !file.is_true(&format!("{controller}.present")) {
        let message = format!("{title} is left out: its controller {controller} is not present");
        notes.warn("vmx-controller-absent", message);
        return Ok(None);
    }
    let Some(name) = device.get("filename").copied().filter(|name| !name.is_empty()) else {
        return Err(file.fault(&format!("{title}.filename"), "expected the name of an image"));
    };
    disk_warnings(file, &title, device, name, notes);
    Ok(Some(name))
}

fn disk_warnings(file: &Dictionary, title: &str, device: &Device<'_>, name: &str, notes: &mut Findings) {
    let stated = |key: &str| device.get(key).copied().filter(|value| !value.is_empty());
    if is_snapshot(name) || stated("redo").is_some() {
        notes.warn("vmx-snapshot", format!(
            "disk {title} runs on a snapshot ({}): its image needs all its parents, or remove the snapshots first",
            shown(name)
        ));
    }
    if name.contains(['/', '\\']) {
        let message = format!("the image of disk {title} lies in another folder: {}", shown(name));
        notes.warn("vmx-disk-elsewhere", message);
    }
    if stated("devicetype").is_some_and(|kind| kind.eq_ignore_ascii_case("rawDisk")) {
        let message = format!("disk {title} is a physical disk of the host ({})", shown(name));
        notes.warn("vmx-raw-disk", message);
    }
    if let Some(mode) = stated("mode").filter(|mode| mode.to_ascii_lowercase().contains("nonpersistent")) {
        let message = format!("disk {title} is {}: it forgot at power-off what the guest wrote", shown(mode));
        notes.warn("vmx-disk-mode", message);
    }
    let controller = title.split(':').next().unwrap_or_default();
    let bus = file.get(&format!("{controller}.sharedbus")).filter(|word| !word.eq_ignore_ascii_case("none"));
    let shared = stated("sharing").filter(|word| !word.eq_ignore_ascii_case("sharingNone"));
    if let Some(word) = shared.or(bus) {
        let message = format!(
            "disk {title} may be used by several machines ({}): sharing is not taken over",
            shown(word)
        );
        notes.warn("vmx-shared-disk", message);
    }
}

/// VMware names the image of a snapshot `NAME-000001.vmdk`.
fn is_snapshot(name: &str) -> bool {
    let stem = name.to_ascii_lowercase();
    let Some((_, digits)) = stem.strip_suffix(".vmdk").and_then(|stem| stem.rsplit_once('-')) else {
        return false;
    };
    digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `bios.hddOrder`, such as `scsi0:1,sata0:0`.
fn boot_order(file: &Dictionary) -> Vec<Place> {
    let stated = file.get("bios.hddorder").unwrap_or_default().to_ascii_lowercase();
    stated.split(',').take(256).filter_map(|word| parse_place(word.trim())).collect()
}

fn parse_place(word: &str) -> Option<Place> {
    let (bus, name) = BUSES.iter().enumerate().find(|(_, name)| word.starts_with(**name))?;
    let (controller, unit) = word.strip_prefix(name)?.split_once(':')?;
    Some((bus, controller.parse().ok()?, unit.parse().ok()?))
}

/// The network adapters by their number.
pub(super) fn nics(file: &Dictionary, notes: &mut Findings) -> Result<Vec<Nic>, MachineError> {
    let mut nics = Vec::new();
    for number in 0..=MAX_ADAPTER {
        if file.is_true(&format!("ethernet{number}.present")) {
            nics.push(nic(file, number, notes)?);
        }
    }
    notes.known("nics", "ethernetN");
    Ok(nics)
}

fn nic(file: &Dictionary, number: u32, notes: &mut Findings) -> Result<Nic, MachineError> {
    let key = |rest: &str| format!("ethernet{number}.{rest}");
    let mac = ["address", "generatedaddress"].map(&key);
    let mac = match mac.iter().find_map(|key| Some((key, file.get(key)?))) {
        None => None,
        Some((key, text)) => Some(text.trim().parse().map_err(|reason: String| file.fault(key, &reason))?),
    };
    if file.get(&key("startconnected")).is_some_and(|word| word.eq_ignore_ascii_case("false")) {
        let message =
            format!("ethernet{number} is not connected when the machine starts: that is not taken over");
        notes.warn("vmx-nic-disconnected", message);
    }
    let mut text = |keys: &[&str]| {
        let value = keys.iter().find_map(|rest| file.get(&key(rest)))?;
        if let Some(fault) = plain_text_fault(value) {
            notes.warn("vmx-nic-text", format!("ethernet{number}: {fault}"));
            return None;
        }
        Some(value.to_owned())
    };
    let network = text(&["networkname", "vnet", "dvs.portgroupid", "connectiontype"]);
    Ok(Nic { mac, network, model: text(&["virtualdev"]), addresses: Vec::new() })
}
