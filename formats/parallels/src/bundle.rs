//! A folder as a layer: its storages one after the other, each a stack of images.

use crate::descriptor::{Descriptor, StorageEntry};
use crate::error::ParallelsError;
use crate::expanding::Expanding;
use crate::layout::MAX_FILES;
use crate::plain::Plain;
use format_core::{
    Details, Disk, Extent, Gate, HostRange, Layer, Result, Storage, Warning, check_guest_range,
};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) struct Bundle {
    virtual_size: u64,
    chunk_size: u64,
    parts: Vec<Part>,
    details: Details,
    warnings: Vec<Warning>,
}

/// One storage.
struct Part {
    start: u64,
    end: u64,
    disk: Disk,
}

impl Bundle {
    /// The state `guid` of the disk.
    pub(crate) fn open(descriptor: &Descriptor, guid: Uuid, gate: &dyn Gate) -> Result<Self> {
        let guids = descriptor.ancestry(guid)?;
        if guids.len().saturating_mul(descriptor.storages.len()) > MAX_FILES {
            return Err(ParallelsError::TooManyFiles { limit: MAX_FILES }.into());
        }
        let (mut parts, mut warnings) = (Vec::new(), Vec::new());
        for storage in &descriptor.storages {
            let layers = open_storage(storage, &guids, gate, &mut warnings)?;
            parts.push(Part { start: storage.start, end: storage.end, disk: Disk::new(layers)? });
        }
        let first = parts.first().and_then(|part| part.disk.layers().first());
        Ok(Self {
            virtual_size: descriptor.virtual_size,
            chunk_size: first.map_or(1, |layer| layer.chunk_size()),
            parts,
            details: details(descriptor, guid),
            warnings,
        })
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// The storage that `offset` lies in, which is inside the disk: they have no gaps.
    fn part(&self, offset: u64) -> Result<&Part> {
        let number = self.parts.partition_point(|part| part.end <= offset);
        self.parts
            .get(number)
            .ok_or_else(|| format_core::Error::contract(format!("no storage holds {offset:#x}")))
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

/// The images of one storage, the newest first.
fn open_storage(
    storage: &StorageEntry,
    guids: &[Uuid],
    gate: &dyn Gate,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Arc<dyn Layer>>> {
    let wanted = storage.end - storage.start;
    let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
    for (depth, &guid) in guids.iter().enumerate() {
        let image = storage.image(guid)?;
        let file = image.file.clone();
        let opened: Arc<dyn Storage> = Arc::new(gate.open(&file)?.storage);
        let layer: Arc<dyn Layer> = if image.is_plain {
            if depth + 1 != guids.len() {
                return Err(ParallelsError::PlainOverlay { file }.into());
            }
            let size = opened.size().min(wanted);
            if depth > 0 && size < wanted {
                // It may have been cut off as well: a plain file does not say how long it has to be.
                let message = format!(
                    "{file:?} has {size:#x} bytes, the disk {wanted:#x}: the rest is zeros, which is right only if the \
                     disk grew after the snapshot"
                );
                warnings.push(Warning::new("parallels-short-base", message));
            }
            Arc::new(Plain::new(opened, size))
        } else {
            let layer = Expanding::open(opened).map_err(|e| e.context(format!("open {file:?}")))?;
            let found = layer.image.cluster_size;
            if found != storage.cluster_size {
                let message = format!(
                    "{file:?} has clusters of {found} bytes, the descriptor says {}: the file is believed",
                    storage.cluster_size
                );
                warnings.push(Warning::new("parallels-block-size", message));
            }
            Arc::new(layer)
        };
        // The disk may have grown since a snapshot; the newest image has all of it.
        let found = layer.virtual_size();
        if depth == 0 && found < wanted {
            return Err(ParallelsError::ShortImage { file, found, wanted }.into());
        }
        warnings.extend_from_slice(layer.warnings());
        layers.push(layer);
    }
    Ok(layers)
}

fn details(descriptor: &Descriptor, guid: Uuid) -> Details {
    let others = descriptor.shots.iter().filter(|shot| shot.guid != guid);
    let braced = |guid: Uuid| guid.braced().to_string();
    let shown = others.map(|shot| {
        if shot.parent.is_nil() {
            json!({ "id": braced(shot.guid) })
        } else {
            json!({ "id": braced(shot.guid), "parent-id": braced(shot.parent) })
        }
    });
    let mut details = Details::new();
    details.insert("image-type".into(), "folder".into());
    details.insert("guid".into(), braced(guid).into());
    details.insert("storages".into(), descriptor.storages.len().into());
    details.insert("snapshots".into(), shown.collect());
    details
}

impl Layer for Bundle {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let part = self.part(offset)?;
        let extent = part.disk.extent_at(offset - part.start)?;
        Ok(Extent { offset, len: extent.len.min(part.end - offset), ..extent })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let part = self.part(at)?;
            let len = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            part.disk.read_exact_at(at - part.start, now)?;
            buf = rest;
            at += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let part = self.part(offset).ok()?;
        let range = part.disk.host_range(offset - part.start).ok()??;
        Some(HostRange { len: range.len.min(part.end - offset), ..range })
    }

    fn details(&self) -> Details {
        self.details.clone()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
