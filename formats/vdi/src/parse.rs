//! Bytes to trusted types: every check of the header is here, and nothing here does I/O.

use crate::error::VdiError;
use crate::layout::{
    ENTRY_LEN, HEADER_AT, HEADER_LEN, Header, MAX_BLOCK, MIN_BLOCK, MIN_HEADER_SIZE, SECTOR, SIGNATURE,
    SIGNATURE_AT, TYPE_DIFF, TYPE_FIXED, TYPE_NORMAL, VERSION,
};
use binrw::BinRead;
use format_core::Score;
use std::io::Cursor;
use uuid::Uuid;

/// What an image says about itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) kind: Kind,
    /// Need not be whole sectors.
    pub(crate) virtual_size: u64,
    pub(crate) block_size: u64,
    pub(crate) block_extra: u64,
    /// Entries of the block map, at least as many as the disk has blocks.
    pub(crate) blocks: u64,
    pub(crate) allocated: u64,
    pub(crate) map: u64,
    pub(crate) data: u64,
    pub(crate) flags: u32,
    pub(crate) comment: String,
    pub(crate) create: Uuid,
    pub(crate) modify: Uuid,
    pub(crate) parent: Option<Parent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dynamic,
    Fixed,
    Differencing,
}

/// The image that this one is a difference to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) create: Uuid,
    /// Nil where the image does not say.
    pub(crate) modify: Uuid,
}

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    let found = head.get(SIGNATURE_AT..).and_then(|bytes| bytes.first_chunk());
    if found == Some(&SIGNATURE.to_le_bytes()) { Score::Magic } else { Score::No }
}

impl Image {
    /// Checks the start of a file of `size` bytes.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN], size: u64) -> Result<Self, VdiError> {
        let header = Header::read(&mut Cursor::new(bytes)).map_err(|_| VdiError::TooShort { size })?;
        check_version(&header)?;
        let kind = match header.image_type {
            TYPE_NORMAL => Kind::Dynamic,
            TYPE_FIXED => Kind::Fixed,
            TYPE_DIFF => Kind::Differencing,
            found => return Err(VdiError::ImageType { found }),
        };
        let found = header.legacy_geometry.sector_size;
        if u64::from(found) != SECTOR {
            return Err(VdiError::SectorSize { found });
        }
        let parent = parent(&header, kind)?;
        let image = Self {
            kind,
            virtual_size: header.disk_size,
            block_size: header.block_size.into(),
            block_extra: header.block_extra.into(),
            blocks: header.blocks.into(),
            allocated: header.blocks_allocated.into(),
            map: header.off_blocks.into(),
            data: header.off_data.into(),
            flags: header.flags,
            comment: comment(&header.comment),
            create: Uuid::from_bytes_le(header.uuid_create),
            modify: Uuid::from_bytes_le(header.uuid_modify),
            parent,
        };
        image.check_blocks(&header)?;
        image.check_places(&header, size)?;
        Ok(image)
    }

    fn check_blocks(&self, header: &Header) -> Result<(), VdiError> {
        let Self { block_size, virtual_size, .. } = *self;
        if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
            return Err(VdiError::BlockSize { found: header.block_size });
        }
        if self.block_extra > block_size {
            return Err(VdiError::BlockExtra { found: header.block_extra, block_size });
        }
        let (blocks, allocated) = (header.blocks, header.blocks_allocated);
        if virtual_size.div_ceil(block_size) > self.blocks {
            return Err(VdiError::TooFewBlocks { virtual_size, blocks, block_size });
        }
        if allocated > blocks {
            return Err(VdiError::Allocated { allocated, blocks });
        }
        Ok(())
    }

    fn check_places(&self, header: &Header, size: u64) -> Result<(), VdiError> {
        // All of these are 32-bit numbers times 4 at most.
        let (offset, length, data) = (self.map, self.blocks * ENTRY_LEN, self.data);
        let header_end = HEADER_AT + u64::from(header.header_size);
        if offset < header_end {
            return Err(VdiError::MapInHeader { offset, header_end });
        }
        if offset + length > data {
            return Err(VdiError::MapInData { offset, length, data });
        }
        if offset + length > size {
            return Err(VdiError::MapPlace { offset, length, size });
        }
        Ok(())
    }

    /// From one block of the file to the next.
    pub(crate) fn stride(&self) -> u64 {
        self.block_extra + self.block_size
    }

    /// How many blocks the disk has.
    pub(crate) fn disk_blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block_size)
    }

    /// Guest bytes of `block`: less than the block size at the end of the disk.
    pub(crate) fn block_len(&self, block: u64) -> u64 {
        let start = block.saturating_mul(self.block_size);
        self.virtual_size.saturating_sub(start).min(self.block_size)
    }
}

fn check_version(header: &Header) -> Result<(), VdiError> {
    let found = header.signature;
    if found != SIGNATURE {
        return Err(VdiError::Signature { found });
    }
    let found = header.version;
    if found != VERSION {
        return Err(VdiError::Version { major: (found >> 16) as u16, minor: found as u16 });
    }
    let found = header.header_size;
    if found < MIN_HEADER_SIZE {
        return Err(VdiError::HeaderSize { found });
    }
    Ok(())
}

/// An image with a parent's UUID has a parent whatever its type says: taking free blocks for zeros would lose data.
fn parent(header: &Header, kind: Kind) -> Result<Option<Parent>, VdiError> {
    let create = Uuid::from_bytes_le(header.uuid_linkage);
    match (create.is_nil(), kind) {
        (true, Kind::Differencing) => Err(VdiError::NoParent),
        (true, _) => Ok(None),
        (false, _) => Ok(Some(Parent { create, modify: Uuid::from_bytes_le(header.uuid_parent_modify) })),
    }
}

fn comment(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
