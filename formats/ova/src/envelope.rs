//! What an envelope says about its files and disks, and which disk comes first. What it says about the machine is for others.

use crate::error::OvaError;
use crate::xml::{Element, walk};
use std::collections::{HashMap, HashSet};

/// More files or disks than a machine has.
const MAX_ENTRIES: usize = 2_000;
/// Kinds of items: a hard disk, and what OVF 2 calls one.
const DISKS: [&str; 2] = ["17", "31"];

/// A package's files and disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) files: Vec<FileRef>,
    /// The boot disk first.
    pub(crate) disks: Vec<DiskRef>,
    pub(crate) systems: usize,
}

/// A file of the References.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileRef {
    pub(crate) id: String,
    pub(crate) href: String,
    /// In bytes; programs do not agree whether of the compressed file.
    pub(crate) size: Option<u64>,
    pub(crate) is_gzip: bool,
    /// It is cut into pieces of so many bytes.
    pub(crate) chunk: Option<u64>,
}

/// A disk of the DiskSection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskRef {
    pub(crate) id: String,
    /// Size of the disk in bytes; unknown where it is a property.
    pub(crate) capacity: Option<u64>,
    /// The id of its file; a disk without one is blank.
    pub(crate) file: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) format: String,
}

/// A device of the virtual hardware.
#[derive(Clone, Debug, Default)]
struct Item {
    fields: HashMap<String, String>,
}

impl Envelope {
    pub(crate) fn parse(text: &str) -> Result<Self, OvaError> {
        let (mut envelope, mut item, mut items) = (Self::default(), Item::default(), Vec::new());
        walk(text, |path, element| {
            match (path, element.name.as_str()) {
                ([], "Envelope") => {}
                ([], _) => return Err(OvaError::Root { found: element.name }),
                ([.., parent], "File") if parent == "References" => envelope.files.push(file(&element)?),
                ([.., parent], "Disk") if parent == "DiskSection" => envelope.disks.push(disk(&element)?),
                (_, "VirtualSystem") => envelope.systems += 1,
                (_, "Item" | "StorageItem") => items.push(std::mem::take(&mut item)),
                ([.., parent], name) if matches!(parent.as_str(), "Item" | "StorageItem") => {
                    item.fields.entry(name.to_owned()).or_insert(element.text.trim().to_owned());
                }
                _ => {}
            }
            let most = envelope.files.len().max(envelope.disks.len()).max(items.len());
            if most > MAX_ENTRIES {
                return Err(OvaError::Many { what: "files, disks or devices", limit: MAX_ENTRIES });
            }
            Ok(())
        })?;
        unique("File", envelope.files.iter().map(|file| file.id.as_str()))?;
        unique("Disk", envelope.disks.iter().map(|disk| disk.id.as_str()))?;
        for disk in &envelope.disks {
            if let Some(file) = disk.file.as_ref().filter(|file| envelope.file(file).is_none()) {
                return Err(OvaError::NoFile { disk: disk.id.clone(), file: file.clone() });
            }
        }
        envelope.sort(&items);
        Ok(envelope)
    }

    pub(crate) fn file(&self, id: &str) -> Option<&FileRef> {
        self.files.iter().find(|file| file.id == id)
    }

    /// By the kind of controller in the order of the text, then by controller and place; disks of no device come last.
    fn sort(&mut self, items: &[Item]) {
        let (mut kinds, mut places) = (Vec::<&str>::new(), HashMap::new());
        let by_id: HashMap<&str, &Item> = items.iter().map(|item| (item.get("InstanceID"), item)).collect();
        for (position, item) in
            items.iter().enumerate().filter(|(_, item)| DISKS.contains(&item.get("ResourceType")))
        {
            let resource = item.get("HostResource");
            let resource = resource.strip_prefix("ovf:").unwrap_or(resource);
            let Some(id) = resource.strip_prefix("/disk/") else { continue };
            let controller = by_id.get(item.get("Parent"));
            let kind = controller.map_or("", |controller| controller.get("ResourceType"));
            let rank = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            });
            let address = controller.map_or(0, |controller| controller.number("Address"));
            places.entry(id).or_insert((rank, address, item.number("AddressOnParent"), position));
        }
        let last = (usize::MAX, 0, 0, 0);
        self.disks.sort_by_key(|disk| places.get(disk.id.as_str()).copied().unwrap_or(last));
    }
}

impl Item {
    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }
}

fn unique<'a>(element: &'static str, ids: impl Iterator<Item = &'a str>) -> Result<(), OvaError> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(OvaError::Twice { element, id: id.to_owned() });
        }
    }
    Ok(())
}

fn file(element: &Element) -> Result<FileRef, OvaError> {
    let needed =
        |attribute| element.get(attribute).ok_or(OvaError::NoAttribute { element: "File", attribute });
    let number = |attribute| number(element, "File", attribute);
    let (id, href) = (needed("id")?.to_owned(), needed("href")?.to_owned());
    let is_gzip = match element.get("compression") {
        None | Some("identity") => false,
        Some("gzip") => true,
        Some(with) => return Err(OvaError::Compression { href, with: with.to_owned() }),
    };
    let chunk = number("chunkSize")?;
    if chunk == Some(0) {
        return Err(OvaError::Number { element: "File", attribute: "chunkSize", value: "0".to_owned() });
    }
    // Some programs write 0 or -1 where they do not know.
    let is_unknown =
        element.get("size").is_some_and(|size| size.trim() == "0" || size.trim().starts_with('-'));
    let size = if is_unknown { None } else { number("size")? };
    Ok(FileRef { id, href, size, is_gzip, chunk })
}

fn disk(element: &Element) -> Result<DiskRef, OvaError> {
    let id = element.get("diskId").ok_or(OvaError::NoAttribute { element: "Disk", attribute: "diskId" })?;
    let owned = |name| element.get(name).map(str::to_owned);
    let format = element.get("format").unwrap_or_default().to_ascii_lowercase();
    let capacity = capacity(element)?;
    Ok(DiskRef { id: id.to_owned(), capacity, file: owned("fileRef"), parent: owned("parentRef"), format })
}

fn capacity(element: &Element) -> Result<Option<u64>, OvaError> {
    let Some(text) = element.get("capacity") else { return Ok(None) };
    // `${disk.size}`: the person who deploys the package chooses.
    if text.starts_with("${") {
        return Ok(None);
    }
    let wrong = || OvaError::Number { element: "Disk", attribute: "capacity", value: text.to_owned() };
    let unit = element.get("capacityAllocationUnits").unwrap_or("byte");
    let bytes = text.trim().parse().ok().and_then(|count: u64| count.checked_mul(bytes_in(unit)?));
    bytes.map(Some).ok_or_else(wrong)
}

fn number(element: &Element, of: &'static str, attribute: &'static str) -> Result<Option<u64>, OvaError> {
    let wrong = |value: &str| OvaError::Number { element: of, attribute, value: value.to_owned() };
    element.get(attribute).map(|value| value.trim().parse().map_err(|_| wrong(value))).transpose()
}

/// Bytes of a unit: `byte * 2^30` as DSP0004 has it, or a word as older programs do.
fn bytes_in(unit: &str) -> Option<u64> {
    let unit: String = unit.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let power = |power: u32| Some(1u64 << power);
    match unit.as_str() {
        "byte" | "bytes" => return Some(1),
        "kilobyte" | "kilobytes" | "kb" | "kib" => return power(10),
        "megabyte" | "megabytes" | "mb" | "mib" => return power(20),
        "gigabyte" | "gigabytes" | "gb" | "gib" => return power(30),
        "terabyte" | "terabytes" | "tb" | "tib" => return power(40),
        _ => {}
    }
    unit.strip_prefix("byte")?.trim_start_matches('s').split('*').skip(1).try_fold(1u64, |product, factor| {
        let factor = match factor.split_once('^') {
            Some((base, exponent)) => base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?)?,
            None => factor.parse().ok()?,
        };
        product.checked_mul(factor).filter(|product| *product > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_all_programs() {
        for (unit, bytes) in [
            ("byte", Some(1)),
            ("byte * 2^30", Some(1 << 30)),
            ("byte*2^20", Some(1 << 20)),
            ("byte * 10 ^ 9", Some(1_000_000_000)),
            ("byte * 512", Some(512)),
            ("MegaBytes", Some(1 << 20)),
            ("byte * 2^64", None),
            ("byte * 0", None),
            ("hertz * 10^6", None),
        ] {
            assert_eq!(bytes_in(unit), bytes, "{unit}");
        }
    }
}
