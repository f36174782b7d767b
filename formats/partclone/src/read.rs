//! An image as a layer.

use crate::bitmap::Bitmap;
use crate::blocks::Blocks;
use crate::error::PartcloneError;
use crate::layout::HEADER_LEN;
use crate::parse::{Image, header_len};
use format_core::{
    BootCopy, Details, Error, Extent, ExtentKind, HostRange, Layer, LayerContext, Result, Storage, Warning,
    check_guest_range,
};
use std::sync::Arc;

/// An opened image.
pub(crate) struct PartcloneLayer {
    storage: Arc<dyn Storage>,
    pub(crate) image: Image,
    pub(crate) bitmap: Bitmap,
    pub(crate) blocks: Blocks,
    boot: Option<BootCopy>,
}

/// What is at a place of the partition.
struct Place {
    kind: ExtentKind,
    len: u64,
    from: From,
}

enum From {
    Nothing,
    /// From a byte of the blocks in use.
    Blocks(u64),
    /// From a byte of the boot sector's copy.
    Boot(usize),
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    Ok(Box::new(load(storage, context)?))
}

/// Reads and checks the header and the map of blocks.
pub(crate) fn load(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<PartcloneLayer> {
    let size = storage.size();
    let mut start = [0; HEADER_LEN];
    let too_short = |needed: usize| PartcloneError::TooShort { size, needed: needed as u64 };
    if size < HEADER_LEN as u64 {
        return Err(too_short(HEADER_LEN).into());
    }
    storage.read_exact_at(0, &mut start)?;
    let length = header_len(&start)?;
    if size < length as u64 {
        return Err(too_short(length).into());
    }
    let mut header = vec![0; length];
    storage.read_exact_at(0, &mut header)?;
    let ignore = context.access.ignore_checksums;
    let mut image = Image::parse(&header, ignore)?;
    let (bitmap, warning) = Bitmap::load(Arc::clone(&storage), length as u64, &image, ignore)?;
    image.warnings.extend(warning);
    // The map was found in the file.
    let data = length as u64 + image.map_len() + image.map_end_len();
    let blocks = Blocks::new(Arc::clone(&storage), data, &image, bitmap.used())?;
    let mut layer = PartcloneLayer { storage, image, bitmap, blocks, boot: None };
    layer.boot = layer.find_boot()?;
    if layer.image.sums.is_some() && !layer.blocks.is_checked() {
        let text = "each checksum covers all blocks before it: they are compared by a check, not while the disk is read";
        layer.image.warnings.push(Warning::new("partclone-sums-not-compared", text));
    }
    Ok(layer)
}

impl PartcloneLayer {
    /// The first sector may be damaged: that shows when it is read.
    fn find_boot(&self) -> Result<Option<BootCopy>> {
        let (end, size) = (self.image.blocks_end(), self.image.virtual_size);
        if end >= size || self.image.total == 0 || !self.image.file_system.starts_with("NTFS") {
            return Ok(None);
        }
        let mut head = vec![0; BootCopy::MAX_SECTOR.min(end as usize)];
        match self.read_exact_at(0, &mut head) {
            Ok(()) => Ok(BootCopy::of(&head, end, size)),
            Err(error) if error.kind() == format_core::ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn place(&self, offset: u64) -> Result<Place> {
        let (end, size) = (self.image.blocks_end(), self.image.virtual_size);
        if offset < end {
            let (block, inside) = (offset / self.image.block_size, offset % self.image.block_size);
            let (used, count) = self.bitmap.run_at(block)?;
            let len = count.saturating_mul(self.image.block_size).saturating_sub(inside);
            if !used {
                return Ok(Place { kind: ExtentKind::Unallocated, len, from: From::Nothing });
            }
            let at = self.bitmap.rank(block)?.saturating_mul(self.image.block_size).saturating_add(inside);
            return Ok(Place { kind: ExtentKind::Data, len, from: From::Blocks(at) });
        }
        let nothing =
            |to: u64| Place { kind: ExtentKind::Unallocated, len: to - offset, from: From::Nothing };
        let Some(boot) = &self.boot else { return Ok(nothing(size)) };
        let behind = boot.offset.saturating_add(boot.sector.len() as u64);
        Ok(match offset {
            before if before < boot.offset => nothing(boot.offset),
            _ if offset < behind => {
                let from = From::Boot((offset - boot.offset) as usize);
                Place { kind: ExtentKind::Data, len: behind - offset, from }
            }
            _ => nothing(size),
        })
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.image.virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for PartcloneLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.image.block_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let place = self.place(offset)?;
        Ok(Extent { offset, len: place.len, kind: place.kind })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let place = self.place(at)?;
            let len = usize::try_from(place.len).unwrap_or(usize::MAX).min(buf.len());
            if len == 0 {
                return Err(Error::contract(format!("an empty run at {at:#x}")).in_format(crate::FORMAT.name));
            }
            let (now, rest) = buf.split_at_mut(len);
            match (place.from, &self.boot) {
                (From::Blocks(from), _) => self.blocks.read(from, now)?,
                (From::Boot(from), Some(boot)) => now.copy_from_slice(&boot.sector[from..from + len]),
                _ => now.fill(0),
            }
            (at, buf) = (at + len as u64, rest);
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        // Bytes that have checksums are only given through them.
        if !self.blocks.is_plain() || offset >= self.image.virtual_size {
            return None;
        }
        let place = self.place(offset).ok()?;
        let From::Blocks(at) = place.from else { return None };
        let (host, len) = self.blocks.place(at);
        Some(HostRange { storage: Arc::clone(&self.storage), offset: host, len: len.min(place.len) })
    }

    fn details(&self) -> Details {
        self.image.details(self.bitmap.used())
    }

    fn warnings(&self) -> &[Warning] {
        &self.image.warnings
    }
}
