//! What an envelope has that is not taken over: each a warning.

use std::collections::BTreeMap;

use super::devices::{DISK, ETHERNET, IDE, LOGICAL_DISK, OTHER_STORAGE, SCSI};
use super::{Findings, Source};
use crate::error::shown;
use crate::xml::{child, children, local_attribute};

/// Items by their ResourceType (CIM_ResourceAllocationSettingData): code, and what is lost.
const ITEMS: &[(u32, &str, &str)] = &[
    (7, "ovf-fibre-channel", "Fibre Channel adapter"),
    (8, "ovf-iscsi", "iSCSI adapter"),
    (14, "ovf-floppy", "floppy drive"),
    (15, "ovf-cdrom", "CD-ROM drive"),
    (16, "ovf-cdrom", "DVD drive"),
    (18, "ovf-tape", "tape drive"),
    (21, "ovf-serial", "serial port"),
    (22, "ovf-parallel", "parallel port"),
    (35, "ovf-sound", "sound card"),
];

/// Taken over, or part of every machine: processors, memory, controllers, adapters, disks, USB ports, graphics.
const SILENT: &[u32] = &[3, 4, IDE, SCSI, ETHERNET, DISK, OTHER_STORAGE, 23, 24, LOGICAL_DISK];

/// Sections that are read, or that say nothing about the machine.
const SECTIONS: &[&str] = &[
    "OperatingSystemSection",
    "VirtualHardwareSection",
    "AnnotationSection",
    "ProductSection",
    "EulaSection",
    "DiskSection",
    "NetworkSection",
    "DeploymentOptionSection",
    "References",
];

/// Adds a warning for everything that is not taken over, besides disks and adapters.
pub(super) fn collect(source: &Source<'_, '_>, notes: &mut Findings) {
    items(source, notes);
    sections(source, notes);
    virtualbox(source, notes);
}

fn items(source: &Source<'_, '_>, notes: &mut Findings) {
    let mut unknown: BTreeMap<u32, usize> = BTreeMap::new();
    for item in &source.items {
        let sub_type = item.sub_type();
        if sub_type.contains("passthrough") && sub_type.contains("pci")
            || sub_type.contains("scsi.passthrough")
        {
            let message =
                format!("{} hands a device of the host to the guest: it is not taken over", item.title());
            notes.warn("ovf-passthrough", message);
        } else if sub_type.contains("vtpm") {
            notes.warn(
                "ovf-tpm",
                "the virtual TPM stays behind: keys sealed in it (LUKS, BitLocker) are lost",
            );
        } else if sub_type.contains("nvdimm") {
            notes.warn("ovf-nvdimm", format!("{} is not taken over", item.title()));
        } else if let Some((_, code, what)) = ITEMS.iter().find(|(kind, ..)| *kind == item.kind) {
            notes.warn(code, format!("the {what} {} is not taken over", item.title()));
        } else if !(SILENT.contains(&item.kind) || item.kind == 1 && is_plumbing(&sub_type)) {
            *unknown.entry(item.kind).or_default() += 1;
        }
    }
    for (kind, count) in unknown {
        notes.warn("ovf-item", format!("{count} items of the ResourceType {kind} are not taken over"));
    }
}

/// Devices of type 1, "other", that every machine of VMware has.
fn is_plumbing(sub_type: &str) -> bool {
    ["vmci", "keyboard", "pointingdevice", "ps2controller", "siocontroller", "pcicontroller"]
        .iter()
        .any(|name| sub_type.ends_with(name))
}

fn sections(source: &Source<'_, '_>, notes: &mut Findings) {
    let properties: usize =
        children(source.system, "ProductSection").map(|section| children(section, "Property").count()).sum();
    if properties > 0 {
        notes.warn("ovf-properties", format!(
            "{properties} properties are asked for when the package is deployed and handed to the guest: they are not \
             taken over"
        ));
    }
    let mut names: Vec<String> = Vec::new();
    for holder in [source.root, source.system] {
        for node in holder.children().filter(|node| node.is_element()) {
            let name = node.tag_name().name();
            let section = name.ends_with("Section") && !SECTIONS.contains(&name);
            if section && !names.contains(&shown(name)) && names.len() < 20 {
                names.push(shown(name));
            }
        }
    }
    if !names.is_empty() {
        notes.warn("ovf-section", format!("sections that are not taken over: {}", names.join(", ")));
    }
}

fn virtualbox(source: &Source<'_, '_>, notes: &mut Findings) {
    let Some(machine) = source.vbox else { return };
    if local_attribute(machine, "stateFile").is_some() {
        notes.warn(
            "ovf-suspended",
            "the machine was saved while it ran: its memory is lost, shut it down first",
        );
    }
    if child(machine, "Snapshot").is_some() {
        notes.warn("ovf-snapshot", "the machine has snapshots: only its current state is in the package");
    }
    let Some(hardware) = child(machine, "Hardware") else { return };
    let tpm = child(hardware, "TrustedPlatformModule").and_then(|node| local_attribute(node, "type"));
    if tpm.is_some_and(|kind| !kind.eq_ignore_ascii_case("none")) {
        notes.warn("ovf-tpm", "the virtual TPM stays behind: keys sealed in it (LUKS, BitLocker) are lost");
    }
    let enabled = |list: &'static str, entry: &'static str| {
        child(hardware, list).is_some_and(|node| {
            children(node, entry).any(|entry| local_attribute(entry, "enabled") == Some("true"))
        })
    };
    if enabled("UART", "Port") {
        notes.warn("ovf-serial", "serial ports are not taken over");
    }
    if enabled("LPT", "Port") {
        notes.warn("ovf-parallel", "parallel ports are not taken over");
    }
    let shared = child(hardware, "SharedFolders").is_some_and(|node| child(node, "SharedFolder").is_some());
    if shared {
        notes.warn("ovf-shared-folder", "folders shared with the host are not taken over");
    }
}
