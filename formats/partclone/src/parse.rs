//! Bytes to trusted types: every check of the header is here, and nothing here does I/O.

use crate::error::PartcloneError;
use crate::layout::{
    BIG_ENDIAN, BITMAP_BITS, BITMAP_BYTES, BITMAP_CRC_LEN, BITMAP_NONE, BYTES_END, HEADER_LEN, LITTLE_ENDIAN,
    MAGIC, MAX_BLOCK, MIN_BLOCK, OLD_HEADER_LEN, SUM_CRC32, SUM_FIRST_BYTE, SUM_NONE, SUM_XXH64, SUM_XXH128,
    VERSION_AT, at, old_at,
};
use crate::sums::{CRC_SEED, SumKind, crc};
use format_core::{Bytes, Details, Result, Score, Warning};

/// What an image says about itself, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    /// Four digits.
    pub(crate) version: &'static str,
    /// The program's version, where the image has it.
    pub(crate) tool: String,
    pub(crate) file_system: String,
    /// Size of the partition in bytes: at least that of all blocks.
    pub(crate) virtual_size: u64,
    pub(crate) block_size: u64,
    /// How many blocks the file system has.
    pub(crate) total: u64,
    /// How many of them are in use, as the header says it.
    pub(crate) said_used: u64,
    pub(crate) map: MapKind,
    pub(crate) sums: Option<Sums>,
    pub(crate) warnings: Vec<Warning>,
}

/// How the image says which blocks are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// All are.
    All,
    /// A bit for each block, the lowest bit of a byte first; a checksum follows.
    Bits,
    /// A byte for each block, 1 where it is; a fixed text follows.
    Bytes,
}

/// Which checksums lie between the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) kind: SumKind,
    /// Blocks to a checksum; the last one may have fewer.
    pub(crate) blocks: u64,
    /// Bytes from the end of a checksum's blocks to the next: its length, or 8 where an old program wrote too much.
    pub(crate) stride: u64,
    /// Whether each one begins anew, or goes on from the one before it.
    pub(crate) reseed: bool,
}

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    if head.starts_with(MAGIC) { Score::Magic } else { Score::No }
}

/// How long the header is that begins with these bytes.
pub(crate) fn header_len(start: &[u8; HEADER_LEN]) -> Result<usize, PartcloneError> {
    if !start.starts_with(MAGIC) {
        return Err(PartcloneError::Magic);
    }
    match start.get(VERSION_AT..VERSION_AT + 4) {
        Some(b"0002") => Ok(HEADER_LEN),
        Some(b"0001") => Ok(OLD_HEADER_LEN),
        found => Err(PartcloneError::Version { found: text(found.unwrap_or_default()) }),
    }
}

impl Image {
    /// Checks a header of [`header_len`] bytes.
    pub(crate) fn parse(header: &[u8], ignore_checksums: bool) -> Result<Self> {
        if header.len() == HEADER_LEN {
            Self::parse_new(header, ignore_checksums)
        } else {
            Self::parse_old(header)
        }
    }

    fn parse_new(header: &[u8], ignore_checksums: bool) -> Result<Self> {
        let bytes = Bytes::new(header, 0);
        let stored = bytes.u32_le(at::CRC)?;
        let found = crc(CRC_SEED, bytes.slice(0, at::CRC)?);
        let mut warnings = Vec::new();
        if stored != found {
            let error = PartcloneError::HeaderSum { stored, found };
            if !ignore_checksums {
                return Err(error.into());
            }
            warnings.push(Warning::new("partclone-header-checksum", error.to_string()));
        }
        match bytes.u16_le(at::ENDIAN)? {
            LITTLE_ENDIAN => {}
            BIG_ENDIAN => return Err(PartcloneError::BigEndian.into()),
            found => return Err(PartcloneError::Endian { found }.into()),
        }
        let inner = bytes.u16_le(at::IMAGE_VERSION)?;
        if inner != 2 {
            return Err(PartcloneError::InnerVersion { found: inner }.into());
        }
        let map = match bytes.u8(at::BITMAP_MODE)? {
            BITMAP_NONE => MapKind::All,
            BITMAP_BITS => MapKind::Bits,
            BITMAP_BYTES => MapKind::Bytes,
            found => return Err(PartcloneError::BitmapMode { found }.into()),
        };
        let (total, block_size) = (bytes.u64_le(at::TOTAL)?, bytes.u32_le(at::BLOCK_SIZE)?.into());
        let virtual_size = virtual_size(total, block_size, bytes.u64_le(at::DEVICE_SIZE)?)?;
        Ok(Self {
            version: "0002",
            tool: text(bytes.slice(at::TOOL, at::TOOL_LEN)?),
            file_system: text(bytes.slice(at::FILE_SYSTEM, at::FILE_SYSTEM_LEN)?),
            virtual_size,
            block_size,
            total,
            said_used: bytes.u64_le(at::USED)?,
            map,
            sums: sums(&bytes)?,
            warnings,
        })
    }

    /// Version 0001 has no checksum of its header, and its device size is not to be trusted: partclone itself takes the
    /// size of all blocks.
    fn parse_old(header: &[u8]) -> Result<Self> {
        let bytes = Bytes::new(header, 0);
        let (total, block_size) = (bytes.u64_le(old_at::TOTAL)?, bytes.u32_le(old_at::BLOCK_SIZE)?.into());
        Ok(Self {
            version: "0001",
            tool: String::new(),
            file_system: text(bytes.slice(old_at::FILE_SYSTEM, old_at::FILE_SYSTEM_LEN)?),
            virtual_size: virtual_size(total, block_size, 0)?,
            block_size,
            total,
            said_used: bytes.u64_le(old_at::USED)?,
            map: MapKind::Bytes,
            sums: Some(Sums { kind: SumKind::FirstByte, blocks: 1, stride: 4, reseed: false }),
            warnings: Vec::new(),
        })
    }

    /// Bytes of the map of blocks, without what follows it. At most 2^54.
    pub(crate) fn map_len(&self) -> u64 {
        match self.map {
            MapKind::All => 0,
            MapKind::Bits => self.total.div_ceil(8),
            MapKind::Bytes => self.total,
        }
    }

    /// Bytes of what follows the map.
    pub(crate) fn map_end_len(&self) -> u64 {
        match self.map {
            MapKind::All => 0,
            MapKind::Bits => BITMAP_CRC_LEN,
            MapKind::Bytes => BYTES_END.len() as u64,
        }
    }

    /// Where the blocks end, in bytes of the partition.
    pub(crate) fn blocks_end(&self) -> u64 {
        self.total.saturating_mul(self.block_size)
    }

    /// Bytes in the file that `used` blocks and their checksums take; `None` when that is no number.
    pub(crate) fn data_len(&self, used: u64) -> Option<u64> {
        let sums = self.sums.map_or(Some(0), |sums| used.div_ceil(sums.blocks).checked_mul(sums.stride))?;
        used.checked_mul(self.block_size)?.checked_add(sums)
    }

    pub(crate) fn details(&self, used: u64) -> Details {
        let mut details = Details::new();
        details.insert("image-version".into(), self.version.into());
        if !self.tool.is_empty() {
            details.insert("partclone-version".into(), self.tool.clone().into());
        }
        details.insert("file-system".into(), self.file_system.clone().into());
        details.insert("block-size".into(), self.block_size.into());
        details.insert("blocks".into(), self.total.into());
        details.insert("blocks-used".into(), used.into());
        let name = self.sums.map_or("none", |sums| sums.kind.name());
        details.insert("checksum".into(), name.into());
        if let Some(sums) = self.sums {
            details.insert("blocks-per-checksum".into(), sums.blocks.into());
        }
        details
    }
}

fn sums(bytes: &Bytes<'_>) -> Result<Option<Sums>> {
    let mode = bytes.u16_le(at::SUM_MODE)?;
    let kind = match mode {
        SUM_NONE => None,
        SUM_CRC32 => Some(SumKind::Crc32),
        SUM_XXH64 => Some(SumKind::Xxh64),
        SUM_XXH128 => Some(SumKind::Xxh128),
        SUM_FIRST_BYTE => Some(SumKind::FirstByte),
        found => return Err(PartcloneError::SumMode { found }.into()),
    };
    let wanted = kind.map_or(0, |kind| kind.len() as u16);
    let found = bytes.u16_le(at::SUM_SIZE)?;
    if found != wanted {
        return Err(PartcloneError::SumSize { mode, found, wanted }.into());
    }
    let Some(kind) = kind else { return Ok(None) };
    let blocks = u64::from(bytes.u32_le(at::BLOCKS_PER_SUM)?);
    if blocks == 0 {
        return Err(PartcloneError::NoBlocksPerSum.into());
    }
    Ok(Some(Sums { kind, blocks, stride: wanted.into(), reseed: bytes.u8(at::RESEED)? != 0 }))
}

/// The partition can be larger than its blocks.
fn virtual_size(total: u64, block_size: u64, device: u64) -> Result<u64, PartcloneError> {
    if !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
        return Err(PartcloneError::BlockSize { found: block_size });
    }
    total
        .checked_mul(block_size)
        .map(|blocks| blocks.max(device))
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or(PartcloneError::Size { total, block_size, device })
}

/// What stands before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}
