//! Disks and network adapters of an envelope.

use std::collections::{BTreeMap, BTreeSet};

use super::envelope::{DiskEntry, File, Item, disks as disk_entries, files};
use super::{Findings, Source};
use crate::error::shown;
use crate::validate::plain_text_fault;
use crate::xml::{child, children, local_attribute};
use crate::{Bus, Disk, DiskSource, MacAddress, MachineError, Nic};

pub(super) const IDE: u32 = 5;
pub(super) const SCSI: u32 = 6;
pub(super) const ETHERNET: u32 = 10;
pub(super) const DISK: u32 = 17;
pub(super) const OTHER_STORAGE: u32 = 20;
/// A disk of OVF 2's StorageItem.
pub(super) const LOGICAL_DISK: u32 = 31;

fn fault(reason: String) -> MachineError {
    MachineError::Dialect { dialect: "ovf", reason }
}

/// Where a disk hangs, for the order of the disks: its controller's address, its place there, its place in the text.
type Place = (u64, u64, usize);

/// The disks with an image: by bus in the order of appearance, then by controller and place.
pub(super) fn disks(source: &Source<'_, '_>, notes: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let files = files(source.root)?;
    let entries = disk_entries(source.root, source.system, notes)?;
    let mut found: Vec<((usize, Place), Disk)> = Vec::new();
    let mut buses: Vec<Bus> = Vec::new();
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    for (position, item) in source.items.iter().enumerate() {
        if !matches!(item.kind, DISK | LOGICAL_DISK) {
            continue;
        }
        let controller =
            item.field("Parent").and_then(|id| source.items.iter().find(|other| other.id() == id));
        let Some((id, size_bytes, name)) = content(item, &entries, &files, notes)? else { continue };
        let bus = controller.map_or(Bus::Other, bus_of);
        shared(item, controller, notes);
        let rank = buses.iter().position(|other| *other == bus).unwrap_or_else(|| {
            buses.push(bus);
            buses.len() - 1
        });
        let address = controller.and_then(|item| item.number("Address")).unwrap_or_default();
        let place = (address, item.number("AddressOnParent").unwrap_or_default(), position);
        // Two items may name one disk: then each of them is a copy of its own.
        let copies = ids.entry(id.to_owned()).and_modify(|count| *count += 1).or_insert(1);
        let id = if *copies == 1 { id.to_owned() } else { format!("{id}#{copies}") };
        let source = DiskSource::File(name);
        found.push((
            (rank, place),
            Disk { id, source, bus, order: 0, boot: false, size_bytes, device_name: None },
        ));
    }
    if buses.len() > 1 {
        let message =
            "disks are on several buses: the first one in the envelope is assumed to be the boot disk";
        notes.warn("ovf-boot-order-guessed", message);
    }
    notes.known("disks", "items of type 17; the first one is the boot disk");
    found.sort_by_key(|(place, _)| *place);
    Ok((0..).zip(found).map(|(order, (_, disk))| Disk { order, boot: order == 0, ..disk }).collect())
}

/// Id, size in bytes and image name.
type Content<'a> = (&'a str, Option<u64>, String);

/// What a disk item holds; `None` for a disk without content, which is a warning.
fn content<'a>(
    item: &Item<'a, '_>,
    entries: &BTreeMap<&'a str, DiskEntry<'a>>,
    files: &BTreeMap<&'a str, File<'a>>,
    notes: &mut Findings,
) -> Result<Option<Content<'a>>, MachineError> {
    let empty = |notes: &mut Findings| {
        let message =
            format!("disk {} has no image, it is left out: make an empty one on the target", item.title());
        notes.warn("ovf-empty-disk", message);
        Ok(None)
    };
    let Some(resource) = item.field("HostResource") else { return empty(notes) };
    let path = resource.strip_prefix("ovf:").unwrap_or(resource).trim_start_matches('/');
    if let Some(id) = path.strip_prefix("file/") {
        let file = files.get(id).ok_or_else(|| fault(format!("there is no File {}", shown(id))))?;
        return Ok(Some((id, None, file_name(file, notes))));
    }
    let id = path.strip_prefix("disk/").unwrap_or(path);
    let (id, entry) = entries
        .get_key_value(id)
        .ok_or_else(|| fault(format!("disk {} names {}, which is no Disk", item.title(), shown(resource))))?;
    if entry.parent.is_some() {
        let message = format!("disk {} holds only what differs from another disk of the package", shown(id));
        notes.warn("ovf-delta-disk", message);
    }
    let Some(reference) = entry.file else { return empty(notes) };
    let file = files.get(reference);
    let file =
        file.ok_or_else(|| fault(format!("disk {} names no File: {}", shown(id), shown(reference))))?;
    Ok(Some((id, entry.size_bytes, file_name(file, notes))))
}

fn file_name(file: &File<'_>, notes: &mut Findings) -> String {
    let href = file.href;
    if let Some(compression) = file.compression {
        let message = format!("file {} is packed with {}: unpack it first", shown(href), shown(compression));
        notes.warn("ovf-compressed", message);
    }
    if file.chunked {
        notes.warn("ovf-chunked", format!("file {} is cut into pieces: join them first", shown(href)));
    }
    if href.contains("://") {
        notes.warn(
            "ovf-remote-file",
            format!("file {} is not part of the package: fetch it first", shown(href)),
        );
        return href.to_owned();
    }
    let name = decode_percent(href);
    if name.contains(['/', '\\']) {
        notes.warn("ovf-disk-elsewhere", format!("the image {} lies in another folder", shown(&name)));
    }
    name
}

/// A reference is a URI (DSP0243 section 7.1): `%20` is a space. What is no such code stays.
fn decode_percent(href: &str) -> String {
    let mut bytes = Vec::with_capacity(href.len());
    let mut rest = href.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => char::from(*high).to_digit(16).zip(char::from(*low).to_digit(16)),
            _ => None,
        };
        match code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| href.to_owned())
}

fn bus_of(controller: &Item<'_, '_>) -> Bus {
    let sub_type = controller.sub_type();
    match controller.kind {
        IDE => Bus::Ide,
        _ if sub_type.contains("virtio") => Bus::Virtio,
        SCSI => Bus::Scsi,
        OTHER_STORAGE if sub_type.contains("nvme") => Bus::Nvme,
        OTHER_STORAGE if sub_type.contains("ahci") => Bus::Sata,
        OTHER_STORAGE if sub_type.contains("sas") => Bus::Scsi,
        23 => Bus::Usb,
        _ => Bus::Other,
    }
}

fn shared(item: &Item<'_, '_>, controller: Option<&Item<'_, '_>>, notes: &mut Findings) {
    let disk = item.config("backing.sharing").filter(|word| !word.eq_ignore_ascii_case("sharingNone"));
    let bus = controller.and_then(|item| item.config("sharedBus"));
    if let Some(word) = disk.or(bus.filter(|word| !word.eq_ignore_ascii_case("noSharing"))) {
        let message = format!(
            "disk {} may be used by several machines ({}): sharing is not taken over",
            item.title(),
            shown(word)
        );
        notes.warn("ovf-shared-disk", message);
    }
}

/// The adapters in the order of the text.
pub(super) fn nics(source: &Source<'_, '_>, notes: &mut Findings) -> Vec<Nic> {
    let mut addresses = virtualbox_addresses(source, notes).into_iter();
    let mut used = BTreeSet::new();
    notes.known("nics", "items of type 10");
    let mut nics = Vec::new();
    for item in source.items.iter().filter(|item| item.kind == ETHERNET) {
        let from_vbox = addresses.next().flatten();
        let stated = item.field("Address").and_then(|text| text.parse::<MacAddress>().ok());
        let mac = stated.or(from_vbox);
        let mac = mac.filter(|mac| {
            let fresh = used.insert(*mac);
            if !fresh {
                notes.warn("ovf-mac", format!("two network adapters have the hardware address {mac}"));
            }
            fresh
        });
        if item.field("AutomaticAllocation").is_some_and(|word| word.eq_ignore_ascii_case("false")) {
            let message = format!("{} is not connected when the machine starts", item.title());
            notes.warn("ovf-nic-disconnected", message);
        }
        let mut plain = |text: Option<&str>| {
            let text = text?;
            if let Some(fault) = plain_text_fault(text) {
                notes.warn("ovf-nic-text", format!("a network adapter: {fault}"));
                return None;
            }
            Some(text.to_owned())
        };
        let network = plain(item.field("Connection"));
        nics.push(Nic { mac, network, model: plain(item.field("ResourceSubType")), ..Nic::default() });
    }
    nics
}

/// Hardware addresses of the adapters that VirtualBox calls enabled, by slot: it exports one item for each.
fn virtualbox_addresses(source: &Source<'_, '_>, notes: &mut Findings) -> Vec<Option<MacAddress>> {
    let hardware = source.vbox.and_then(|machine| child(machine, "Hardware"));
    let adapters = hardware.and_then(|node| child(node, "Network")).into_iter();
    let mut slots: Vec<(u64, Option<MacAddress>)> = adapters
        .flat_map(|network| children(network, "Adapter"))
        .filter(|adapter| local_attribute(*adapter, "enabled") == Some("true"))
        .map(|adapter| {
            let slot =
                local_attribute(adapter, "slot").and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
            (slot, local_attribute(adapter, "MACAddress").and_then(|text| text.parse().ok()))
        })
        .collect();
    slots.sort_by_key(|(slot, _)| *slot);
    let items = source.items.iter().filter(|item| item.kind == ETHERNET).count();
    if !slots.is_empty() && slots.len() != items {
        let message = format!(
            "VirtualBox has {} adapters, the envelope {items}: hardware addresses are unknown",
            slots.len()
        );
        notes.warn("ovf-mac", message);
        return Vec::new();
    }
    slots.into_iter().map(|(_, mac)| mac).collect()
}
