//! A raw image as a layer: every extent and byte is that of the file, or of the part, that holds it.

use crate::error::RawError;
use crate::parse::{Further, further_parts};
use format_core::{
    Details, Error, Extent, HostRange, Layer, LayerContext, Result, Storage, Warning, check_guest_range,
};
use std::sync::Arc;

/// What guests and partition tables expect.
const USUAL_SECTOR: u32 = 512;

struct Part {
    /// Guest offset of its first byte.
    start: u64,
    storage: Arc<dyn Storage>,
}

pub(crate) struct RawLayer {
    parts: Vec<Part>,
    size: u64,
    sector_size: Option<u32>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    Ok(Box::new(RawLayer::load(storage, context)?))
}

impl RawLayer {
    pub(crate) fn load(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Self> {
        let sector_size = storage.sector_size();
        // The name of a device counts devices, not parts.
        let further = match &context.name {
            Some(name) if sector_size.is_none() => further_parts(name, context.gate.as_ref())?,
            _ => Further::default(),
        };
        let (mut parts, mut size) = (Vec::with_capacity(1 + further.parts.len()), 0u64);
        for storage in std::iter::once(storage).chain(further.parts) {
            let start = size;
            size = size.checked_add(storage.size()).ok_or(RawError::TooLarge)?;
            parts.push(Part { start, storage });
        }
        check_lengths(&parts)?;
        let mut warnings = further.warnings;
        if let Some(sector_size) = sector_size.filter(|&size| size != USUAL_SECTOR) {
            let text = format!(
                "the device has sectors of {sector_size} bytes, in which its partition table counts: the target must \
                 have them too"
            );
            warnings.push(Warning::new("raw-sector-size", text));
        }
        Ok(Self { parts, size, sector_size, warnings })
    }

    /// The part that holds the byte at `offset`, which lies on the disk.
    fn part_at(&self, offset: u64) -> Result<&Part> {
        // Empty parts start where the next one does; the last of them has the byte.
        let after = self.parts.partition_point(|part| part.start <= offset);
        let part = after.checked_sub(1).and_then(|at| self.parts.get(at));
        part.ok_or_else(|| Error::contract(format!("no part of a raw disk is at {offset:#x}")))
    }
}

/// A part that lost its end would move everything behind it.
fn check_lengths(parts: &[Part]) -> Result<(), RawError> {
    let [first, further @ ..] = parts else { return Ok(()) };
    let first = first.storage.size();
    for (number, part) in (2..).zip(further) {
        let (found, is_last) = (part.storage.size(), number == parts.len());
        if found > first || found == 0 || found < first && !is_last {
            return Err(RawError::UnevenPart { number, found, first });
        }
    }
    Ok(())
}

impl Layer for RawLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_guest_range(self.size, offset, 1)?;
        let part = self.part_at(offset)?;
        let extent = part.storage.data_at(offset - part.start)?;
        Ok(Extent { offset, ..extent })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.size, offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let part = self.part_at(at)?;
            let inside = at - part.start;
            let left = part.storage.size().saturating_sub(inside);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            if len == 0 {
                return Err(Error::contract(format!("a part of a raw disk ends before {at:#x}")));
            }
            let (now, rest) = buf.split_at_mut(len);
            part.storage.read_exact_at(inside, now)?;
            (buf, at) = (rest, at + len as u64);
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        if offset >= self.size {
            return None;
        }
        let part = self.part_at(offset).ok()?;
        let inside = offset - part.start;
        let len = part.storage.size().checked_sub(inside).filter(|&len| len > 0)?;
        Some(HostRange { storage: Arc::clone(&part.storage), offset: inside, len })
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        if let Some(size) = self.sector_size {
            details.insert("logical-sector-size".into(), size.into());
        }
        if self.parts.len() > 1 {
            details.insert("parts".into(), self.parts.len().into());
        }
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
