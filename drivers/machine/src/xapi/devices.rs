//! Disks and network adapters of an export.

use super::objects::{Object, Objects, Value};
use super::read::{invalid, is_paravirtual};
use crate::error::shown;
use crate::findings::Findings;
use crate::{Bus, Disk, DiskSource, MachineError, Nic};

/// Device names end here; guests number further ones on their own.
const LETTERS: u32 = 26;

pub(super) fn disks(
    objects: &Objects,
    vm: &Object,
    findings: &mut Findings,
) -> Result<Vec<Disk>, MachineError> {
    let uses = objects.of("VBD").map(|vbd| &vbd.members);
    let uses = uses.filter(|vbd| vbd.text("VM") == Some(vm.id.as_str()));
    let (media, uses): (Vec<_>, Vec<_>) =
        uses.partition(|vbd| matches!(vbd.text("type"), Some("CD" | "Floppy")));
    if media.iter().any(|vbd| !vbd.is("empty") && objects.named("VDI", vbd.text("VDI")).is_some()) {
        findings.warn("xapi-cdrom", "a medium in a drive is left out");
    }
    let is_pv = is_paravirtual(&vm.members);
    let mut found: Vec<_> = uses
        .into_iter()
        .filter_map(|vbd| Some((objects.named("VDI", vbd.text("VDI"))?, vbd)))
        .map(|(vdi, vbd)| (place(vbd, is_pv), vdi, vbd))
        .collect();
    found.sort_by_key(|(place, ..)| *place);
    let mut disks: Vec<Disk> = Vec::new();
    for ((_, device), vdi, vbd) in found {
        if disks.iter().any(|disk| disk.id == vdi.id) {
            return Err(invalid(format!("the disk {} is used twice", shown(&vdi.id))));
        }
        if vbd.text("mode") == Some("RO") {
            let text = format!("disk {} was read-only and becomes writable", shown(&vdi.id));
            findings.warn("xapi-disk-read-only", text);
        }
        let order = u32::try_from(disks.len()).unwrap_or(u32::MAX);
        disks.push(disk(vdi, device, order));
    }
    if disks.is_empty() {
        return Err(invalid("there is no disk"));
    }
    findings.known("disks", "VBD by userdevice");
    Ok(disks)
}

/// The first is the boot disk. Only the boot loader of paravirtual guests asks for the mark.
fn place(vbd: &Value, is_pv: bool) -> (bool, u32) {
    let device = vbd.text("userdevice").and_then(|device| device.parse().ok()).unwrap_or(u32::MAX);
    (is_pv && !vbd.is("bootable"), device)
}

fn disk(vdi: &Object, device: u32, order: u32) -> Disk {
    let size = vdi.members.text("virtual_size").and_then(|size| size.parse::<u64>().ok());
    let letter = (device < LETTERS).then(|| char::from(b'a' + device as u8));
    Disk {
        id: vdi.id.clone(),
        source: DiskSource::Volume(vdi.id.clone()),
        bus: Bus::Xen,
        order,
        boot: order == 0,
        size_bytes: size.filter(|size| *size > 0 && size.is_multiple_of(512)),
        device_name: letter.map(|letter| format!("/dev/xvd{letter}")),
    }
}

pub(super) fn nics(
    objects: &Objects,
    vm: &Object,
    metrics: Option<&Value>,
    findings: &mut Findings,
) -> Vec<Nic> {
    let vifs = objects.of("VIF").map(|vif| &vif.members);
    let mut vifs: Vec<_> = vifs.filter(|vif| vif.text("VM") == Some(vm.id.as_str())).collect();
    let device = |vif: &Value| vif.text("device").and_then(|device| device.parse::<u32>().ok());
    vifs.sort_by_key(|vif| device(vif).unwrap_or(u32::MAX));
    let mut nics: Vec<Nic> = Vec::new();
    for vif in vifs {
        let which = format!("network adapter {}", shown(vif.text("device").unwrap_or("?")));
        let network = objects.named("network", vif.text("network"));
        let network = network.and_then(|network| network.members.text("name_label"));
        nics.push(Nic {
            mac: findings.mac("xapi-mac", &which, vif.text("MAC"), &nics),
            network: findings.text("xapi-text", "the name of a network", network),
            model: Some("netfront".to_owned()),
            addresses: addresses(metrics, device(vif)),
        });
    }
    if !nics.is_empty() {
        findings.known("nics", "VIF by device");
    }
    nics
}

/// What the guest told of its addresses: `0/ip`, `0/ipv4/0`, `0/ipv6/1`.
fn addresses(metrics: Option<&Value>, device: Option<u32>) -> Vec<String> {
    let (Some(networks), Some(device)) = (metrics.and_then(|metrics| metrics.get("networks")), device) else {
        return Vec::new();
    };
    let prefix = format!("{device}/ip");
    let mut addresses: Vec<String> = Vec::new();
    for (_, address) in networks.texts().filter(|(name, _)| name.starts_with(&prefix)).take(256) {
        if address.parse::<std::net::IpAddr>().is_ok() && !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    addresses
}
