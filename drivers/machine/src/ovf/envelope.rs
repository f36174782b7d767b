//! The parts of an envelope that are read, with the names of DSP0243.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::{Findings, units};
use crate::MachineError;
use crate::error::shown;
use crate::xml::{child, children, local_attribute, text};

/// `File` of the References.
pub(super) struct File<'a> {
    pub(super) href: &'a str,
    pub(super) compression: Option<&'a str>,
    pub(super) chunked: bool,
}

/// `Disk` of the DiskSection.
pub(super) struct DiskEntry<'a> {
    pub(super) file: Option<&'a str>,
    pub(super) size_bytes: Option<u64>,
    pub(super) parent: Option<&'a str>,
}

/// One item of the VirtualHardwareSection: `Item`, or `StorageItem` and `EthernetPortItem` of OVF 2.
#[derive(Clone, Copy)]
pub(super) struct Item<'a, 'i> {
    pub(super) node: Node<'a, 'i>,
    pub(super) kind: u32,
}

impl<'a> Item<'a, '_> {
    pub(super) fn field(&self, name: &'static str) -> Option<&'a str> {
        text(self.node, &[name])
    }

    pub(super) fn id(&self) -> &'a str {
        self.field("InstanceID").or_else(|| self.field("InstanceId")).unwrap_or_default()
    }

    pub(super) fn sub_type(&self) -> String {
        self.field("ResourceSubType").unwrap_or_default().to_ascii_lowercase()
    }

    pub(super) fn number(&self, name: &'static str) -> Option<u64> {
        self.field(name).and_then(|text| text.parse().ok())
    }

    /// The item's own name, for messages.
    pub(super) fn title(&self) -> String {
        let name = self.field("ElementName").or_else(|| self.field("Caption"));
        shown(name.unwrap_or("an item without a name"))
    }

    /// A `vmw:Config` of the item.
    pub(super) fn config(&self, key: &str) -> Option<&'a str> {
        config(self.node, key)
    }
}

/// The value of a `vmw:Config` or `vmw:ExtraConfig` below `node`.
pub(super) fn config<'a>(node: Node<'a, '_>, key: &str) -> Option<&'a str> {
    children(node, "Config")
        .chain(children(node, "ExtraConfig"))
        .find(|entry| local_attribute(*entry, "key") == Some(key))
        .and_then(|entry| local_attribute(entry, "value"))
}

fn fault(reason: String) -> MachineError {
    MachineError::Dialect { dialect: "ovf", reason }
}

/// The files by their id.
pub(super) fn files<'a>(root: Node<'a, '_>) -> Result<BTreeMap<&'a str, File<'a>>, MachineError> {
    let mut files = BTreeMap::new();
    for node in child(root, "References").into_iter().flat_map(|node| children(node, "File")) {
        let id = local_attribute(node, "id").unwrap_or_default();
        let href = local_attribute(node, "href").filter(|href| !href.is_empty());
        let href = href.ok_or_else(|| fault(format!("File {} has no href", shown(id))))?;
        let compression =
            local_attribute(node, "compression").filter(|word| !matches!(*word, "" | "identity"));
        let file = File { href, compression, chunked: local_attribute(node, "chunkSize").is_some() };
        if files.insert(id, file).is_some() {
            return Err(fault(format!("two Files have the id {}", shown(id))));
        }
    }
    Ok(files)
}

/// The disks by their id.
pub(super) fn disks<'a>(
    root: Node<'a, '_>,
    system: Node<'a, '_>,
    notes: &mut Findings,
) -> Result<BTreeMap<&'a str, DiskEntry<'a>>, MachineError> {
    let mut disks = BTreeMap::new();
    for node in children(root, "DiskSection").flat_map(|section| children(section, "Disk")) {
        let id = local_attribute(node, "diskId").unwrap_or_default();
        if id.is_empty() {
            return Err(fault("a Disk has no diskId".into()));
        }
        let size_bytes = capacity(node, id, system, notes)?;
        let filled = |name: &str| local_attribute(node, name).filter(|value| !value.is_empty());
        let disk = DiskEntry { file: filled("fileRef"), size_bytes, parent: filled("parentRef") };
        if disks.insert(id, disk).is_some() {
            return Err(fault(format!("two Disks have the id {}", shown(id))));
        }
    }
    Ok(disks)
}

/// Virtual size in bytes. It may be `${key}`, the value of a property.
fn capacity(
    node: Node<'_, '_>,
    id: &str,
    system: Node<'_, '_>,
    notes: &mut Findings,
) -> Result<Option<u64>, MachineError> {
    let stated = local_attribute(node, "capacity").unwrap_or_default().trim();
    let key = stated.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let number = key.map_or(Some(stated), |key| property(system, key)).unwrap_or_default();
    let unit = local_attribute(node, "capacityAllocationUnits").unwrap_or("byte");
    let factor = units::bytes_in(unit).ok_or_else(|| {
        fault(format!("disk {}: capacityAllocationUnits {} is not known", shown(id), shown(unit)))
    })?;
    if number.is_empty() && key.is_some() {
        let message = format!("the size of disk {} is asked for when the package is deployed", shown(id));
        notes.warn("ovf-capacity-unknown", message);
        return Ok(None);
    }
    let size =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|size| *size > 0);
    let size =
        size.ok_or_else(|| fault(format!("disk {}: capacity {} is no size", shown(id), shown(number))))?;
    if size % 512 != 0 {
        let message =
            format!("disk {} has {size} bytes, no multiple of 512: the size is left open", shown(id));
        notes.warn("ovf-capacity-unknown", message);
        return Ok(None);
    }
    Ok(Some(size))
}

fn property<'a>(system: Node<'a, '_>, key: &str) -> Option<&'a str> {
    children(system, "ProductSection")
        .flat_map(|section| children(section, "Property"))
        .find(|property| local_attribute(*property, "key") == Some(key))
        .and_then(|property| local_attribute(property, "value"))
        .map(str::trim)
}

/// The items of the chosen section that hold in the default deployment configuration.
pub(super) fn items<'a, 'i>(
    root: Node<'a, 'i>,
    section: Node<'a, 'i>,
    notes: &mut Findings,
) -> Result<Vec<Item<'a, 'i>>, MachineError> {
    let default = default_configuration(root);
    let mut items = Vec::new();
    let mut ids = BTreeSet::new();
    let mut elsewhere = 0_usize;
    let names = ["Item", "StorageItem", "EthernetPortItem"];
    for node in section.children().filter(|node| names.contains(&node.tag_name().name())) {
        if matches!(local_attribute(node, "bound"), Some("min" | "max")) {
            continue;
        }
        if local_attribute(node, "configuration")
            .is_some_and(|list| !list.split(' ').any(|id| Some(id) == default))
        {
            elsewhere += 1;
            continue;
        }
        let kind = text(node, &["ResourceType"]).and_then(|text| text.parse().ok());
        let mut item = Item { node, kind: 0 };
        item.kind = kind.ok_or_else(|| fault(format!("item {} has no ResourceType", item.title())))?;
        if !item.id().is_empty() && !ids.insert(item.id()) && local_attribute(node, "configuration").is_none()
        {
            return Err(fault(format!("two items have the InstanceID {}", shown(item.id()))));
        }
        items.push(item);
    }
    if elsewhere > 0 {
        let message = format!(
            "{elsewhere} items belong to other deployment configurations than {}: they are left out",
            shown(default.unwrap_or("the default"))
        );
        notes.warn("ovf-configuration", message);
    }
    Ok(items)
}

/// The configuration marked as default, else the first.
fn default_configuration<'a>(root: Node<'a, '_>) -> Option<&'a str> {
    let section = child(root, "DeploymentOptionSection")?;
    let marked = |node: &Node<'_, '_>| matches!(local_attribute(*node, "default"), Some("true" | "1"));
    let node = children(section, "Configuration").find(marked).or_else(|| child(section, "Configuration"))?;
    local_attribute(node, "id")
}
