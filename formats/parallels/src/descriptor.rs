//! `DiskDescriptor.xml`: which files make up the disk, and which lies over which.

use crate::error::ParallelsError;
use crate::layout::{DESCRIPTOR_ROOT, MAX_DEPTH, SECTOR, TOP_GUID};
use roxmltree::{Document, Node};
use std::collections::HashSet;
use uuid::Uuid;

/// What a descriptor says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) virtual_size: u64,
    /// Ascending and without gaps.
    pub(crate) storages: Vec<StorageEntry>,
    pub(crate) shots: Vec<Shot>,
    top: Option<Uuid>,
}

/// A part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageEntry {
    /// In bytes.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) cluster_size: u64,
    pub(crate) images: Vec<ImageEntry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageEntry {
    pub(crate) guid: Uuid,
    pub(crate) is_plain: bool,
    pub(crate) file: String,
}

/// A state of the disk, and the one that it is a difference to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shot {
    pub(crate) guid: Uuid,
    /// Nil for the first.
    pub(crate) parent: Uuid,
}

/// Whether an XML text begins with the root element of a descriptor.
pub(crate) fn is_descriptor(head: &[u8]) -> bool {
    let mut rest = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    for (open, close) in [("<?", "?>"), ("<!--", "-->")] {
        while rest.starts_with(open.as_bytes()) {
            let end = rest.windows(close.len()).position(|bytes| bytes == close.as_bytes());
            rest = end.map_or(&[][..], |end| &rest[end + close.len()..]).trim_ascii_start();
        }
    }
    let name = rest.strip_prefix(b"<").and_then(|rest| rest.strip_prefix(DESCRIPTOR_ROOT.as_bytes()));
    name.and_then(|rest| rest.first()).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'>')
}

impl Descriptor {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ParallelsError> {
        let xml = |reason: String| ParallelsError::Xml { reason };
        let text = std::str::from_utf8(text).map_err(|e| xml(e.to_string()))?;
        // The parser takes no document type declarations, so there are no entities to expand or to fetch.
        let document = Document::parse(text).map_err(|e| xml(e.to_string()))?;
        let root = document.root_element();
        if root.tag_name().name() != DESCRIPTOR_ROOT {
            return Err(ParallelsError::NotParallels);
        }
        let version = root.attribute("Version").unwrap_or_default();
        if version != "1.0" {
            return Err(ParallelsError::DescriptorVersion { found: version.into() });
        }
        let parameters = child(root, "Disk_Parameters")?;
        check_parameters(parameters)?;
        let sectors = number(parameters, "Disk_size")?;
        let virtual_size = bytes(sectors)?;
        let storages = storages(child(root, "StorageData")?, sectors)?;
        let (shots, top) = match optional(root, "Snapshots") {
            Some(snapshots) => (shots(snapshots)?, top(snapshots)?),
            None => (Vec::new(), None),
        };
        Ok(Self { virtual_size, storages, shots, top })
    }

    /// The state that the guest last wrote.
    pub(crate) fn top(&self) -> Result<Uuid, ParallelsError> {
        let marked = Uuid::from_u128(TOP_GUID);
        if let Some(top) = self.top {
            return Ok(top);
        }
        if self.shots.is_empty() {
            let images = self.storages.first().map_or(&[][..], |storage| &storage.images);
            return match images {
                [image] => Ok(image.guid),
                _ => Err(ParallelsError::NoShot { guid: marked }),
            };
        }
        if self.shots.iter().any(|shot| shot.guid == marked) {
            return Ok(marked);
        }
        let is_parent = |guid| self.shots.iter().any(|shot| shot.parent == guid);
        let leaves: Vec<_> = self.shots.iter().filter(|shot| !is_parent(shot.guid)).collect();
        match leaves.as_slice() {
            [leaf] => Ok(leaf.guid),
            _ => Err(ParallelsError::NoTop { found: leaves.len() }),
        }
    }

    /// The snapshot that the operator named by its GUID.
    pub(crate) fn snapshot(&self, wanted: &str) -> Result<Uuid, ParallelsError> {
        let found = Uuid::parse_str(wanted.trim()).ok();
        let found = found.filter(|guid| self.shots.iter().any(|shot| shot.guid == *guid));
        found.ok_or_else(|| ParallelsError::NoSuchSnapshot { wanted: wanted.into() })
    }

    /// The state `guid` and those below it, down to the first.
    pub(crate) fn ancestry(&self, guid: Uuid) -> Result<Vec<Uuid>, ParallelsError> {
        if self.shots.is_empty() {
            return Ok(vec![guid]);
        }
        let (mut chain, mut next) = (Vec::new(), guid);
        while !next.is_nil() {
            if chain.len() >= MAX_DEPTH || chain.contains(&next) {
                return Err(ParallelsError::TooDeep { guid, limit: MAX_DEPTH });
            }
            let shot = self.shots.iter().find(|shot| shot.guid == next);
            chain.push(next);
            next = shot.ok_or(ParallelsError::NoShot { guid: next })?.parent;
        }
        Ok(chain)
    }

    /// What is said of the file of this name: its storage and itself.
    pub(crate) fn image_of(&self, file: &str) -> Option<(&StorageEntry, &ImageEntry)> {
        let mut images =
            self.storages.iter().flat_map(|entry| entry.images.iter().map(move |image| (entry, image)));
        images.find(|(_, image)| image.file.rsplit('/').next() == Some(file))
    }
}

impl StorageEntry {
    pub(crate) fn image(&self, guid: Uuid) -> Result<&ImageEntry, ParallelsError> {
        let found = self.images.iter().find(|image| image.guid == guid);
        found.ok_or(ParallelsError::NoImage { start: self.start / SECTOR, guid })
    }
}

fn check_parameters(parameters: Node<'_, '_>) -> Result<(), ParallelsError> {
    if optional(parameters, "Padding").is_some() {
        let found = number(parameters, "Padding")?;
        if found != 0 {
            return Err(ParallelsError::Padding { found });
        }
    }
    if optional(parameters, "LogicSectorSize").is_some() {
        let found = number(parameters, "LogicSectorSize")?;
        if found != SECTOR {
            return Err(ParallelsError::SectorSize { found });
        }
    }
    let engine = optional(parameters, "Encryption").and_then(|node| optional(node, "Engine"));
    if let Some(engine) = engine.map(|node| text(node)).filter(|text| !text.is_empty()) {
        let engine = parse_guid("Engine", engine)?;
        if !engine.is_nil() {
            return Err(ParallelsError::Encrypted { engine });
        }
    }
    Ok(())
}

fn storages(data: Node<'_, '_>, sectors: u64) -> Result<Vec<StorageEntry>, ParallelsError> {
    let mut entries = Vec::new();
    for node in children(data, "Storage") {
        let (start, end) = (number(node, "Start")?, number(node, "End")?);
        let cluster = number(node, "Blocksize")?;
        let images = children(node, "Image").map(image).collect::<Result<_, _>>()?;
        let entry =
            StorageEntry { start: bytes(start)?, end: bytes(end)?, cluster_size: bytes(cluster)?, images };
        entries.push(entry);
    }
    entries.sort_by_key(|entry| entry.start);
    let mut expected = 0;
    for entry in &entries {
        if entry.start != expected || entry.end <= entry.start {
            let [start, end, expected] = [entry.start, entry.end, expected].map(|bytes| bytes / SECTOR);
            return Err(ParallelsError::StorageOrder { start, end, expected });
        }
        expected = entry.end;
    }
    let end = expected / SECTOR;
    if end != sectors {
        return Err(ParallelsError::StorageEnd { end, size: sectors });
    }
    check_images(&entries)?;
    Ok(entries)
}

/// A file that stands for two parts of the disk, or two files for one, would leave it to chance what is read.
fn check_images(storages: &[StorageEntry]) -> Result<(), ParallelsError> {
    let (mut guids, mut files) = (HashSet::new(), HashSet::new());
    for storage in storages {
        for image in &storage.images {
            if !guids.insert((storage.start, image.guid)) {
                return Err(ParallelsError::TwoImages { start: storage.start / SECTOR, guid: image.guid });
            }
            if !files.insert(&image.file) {
                return Err(ParallelsError::FileTwice { file: image.file.clone() });
            }
        }
    }
    Ok(())
}

fn image(node: Node<'_, '_>) -> Result<ImageEntry, ParallelsError> {
    let guid = guid(node, "GUID")?;
    let is_plain = match text(child(node, "Type")?) {
        "Compressed" => false,
        "Plain" => true,
        other => return Err(ParallelsError::ImageType { found: other.into() }),
    };
    Ok(ImageEntry { guid, is_plain, file: text(child(node, "File")?).into() })
}

fn shots(snapshots: Node<'_, '_>) -> Result<Vec<Shot>, ParallelsError> {
    let read = |node| Ok(Shot { guid: guid(node, "GUID")?, parent: guid(node, "ParentGUID")? });
    let shots: Vec<Shot> = children(snapshots, "Shot").map(read).collect::<Result<_, _>>()?;
    let mut guids: Vec<_> = shots.iter().map(|shot| shot.guid).collect();
    guids.sort_unstable();
    match guids.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
        Some(&guid) => Err(ParallelsError::Twice { guid }),
        None => Ok(shots),
    }
}

fn top(snapshots: Node<'_, '_>) -> Result<Option<Uuid>, ParallelsError> {
    let Some(node) = optional(snapshots, "TopGUID") else { return Ok(None) };
    Ok(Some(parse_guid("TopGUID", text(node))?).filter(|guid| !guid.is_nil()))
}

fn children<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent.children().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

fn optional<'a, 'input>(parent: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    children(parent, name).next()
}

fn child<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> Result<Node<'a, 'input>, ParallelsError> {
    optional(parent, name)
        .ok_or_else(|| ParallelsError::Missing { name, parent: parent.tag_name().name().into() })
}

fn text<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn number(parent: Node<'_, '_>, name: &'static str) -> Result<u64, ParallelsError> {
    let found = text(child(parent, name)?);
    found.parse().map_err(|_| ParallelsError::Value { name, found: found.into(), wanted: "number" })
}

fn guid(parent: Node<'_, '_>, name: &'static str) -> Result<Uuid, ParallelsError> {
    parse_guid(name, text(child(parent, name)?))
}

fn parse_guid(name: &'static str, found: &str) -> Result<Uuid, ParallelsError> {
    Uuid::parse_str(found).map_err(|_| ParallelsError::Value { name, found: found.into(), wanted: "GUID" })
}

fn bytes(sectors: u64) -> Result<u64, ParallelsError> {
    // Offsets of files are signed.
    let bytes = sectors.checked_mul(SECTOR).filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.ok_or(ParallelsError::TooLarge { found: sectors })
}
