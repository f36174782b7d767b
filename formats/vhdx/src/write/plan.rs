//! Options and sizes to the layout of a new image.

use super::parent::Parent;
use crate::layout::{
    BAT_ENTRY_LEN, BAT_OFFSET_SHIFT, HEADER_SECTION, MAX_BLOCK, MAX_VIRTUAL_SIZE, MIN_BLOCK,
};
use crate::parse::{Parameters, Region};
use format_core::units::{MIB, align_up, format_size, parse_size};
use format_core::{CreateRequest, Error, ErrorKind, Result};
use uuid::Uuid;

/// The most blocks that are written: a BAT of 64 MiB in the file, half of that in memory.
const MAX_BLOCKS: u64 = 1 << 23;
/// Without an option blocks are as small as this many allow, a BAT of 8 MiB: small blocks keep sparse disks small.
const USUAL_BLOCKS: u64 = 1 << 20;
/// The block size of differencing images that Windows makes.
const DIFFERENCE_BLOCK: u64 = 2 * MIB;
const LOG_LENGTH: u64 = MIB;
const METADATA_LENGTH: u64 = MIB;

/// Everything about the new file that is known before the first byte.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) parameters: Parameters,
    pub(super) fixed: bool,
    pub(super) parent: Option<Parent>,
    /// Size of a block in MiB.
    pub(super) block_mib: u32,
    pub(super) blocks: u32,
    pub(super) log: Region,
    pub(super) metadata: Region,
    pub(super) bat: Region,
    pub(super) first_block_mib: u32,
    /// What `-o identity` says.
    pub(super) data_write: Option<Uuid>,
    /// What `-o disk_id` says.
    pub(super) virtual_disk: Option<Uuid>,
}

impl Plan {
    pub(super) fn new(request: &CreateRequest) -> Result<Self> {
        let option = |key: &str| request.options.get(key).map(String::as_str);
        let fixed = match option("subformat") {
            None | Some("dynamic") => false,
            Some("fixed") => true,
            Some(other) => return Err(Error::usage(format!("subformat is dynamic or fixed, not '{other}'"))),
        };
        let logical_sector_size = logical_sector_size(request)?;
        let virtual_size = align_up(request.virtual_size, logical_sector_size)
            .filter(|size| *size <= MAX_VIRTUAL_SIZE)
            .ok_or_else(|| {
                let asked = format_size(request.virtual_size);
                Error::new(ErrorKind::Limit, format!("a vhdx disk has at most 64 TiB, not {asked}"))
                    .hint("qcow2 and raw hold larger disks")
            })?;
        if virtual_size == 0 {
            return Err(Error::unsupported("a vhdx disk has at least one sector"));
        }
        let parent =
            request.parent.as_ref().map(|parent| Parent::new(parent, virtual_size, logical_sector_size));
        let parent = parent.transpose()?;
        let has_parent = parent.is_some();
        if fixed && has_parent {
            return Err(Error::usage(
                "a fixed image holds everything, it cannot be a difference to a parent",
            ));
        }
        let parameters =
            |block_size| Parameters { block_size, has_parent, virtual_size, logical_sector_size };
        let smallest = |blocks: u64| {
            let mut sizes = (0..).map(|shift| MIN_BLOCK << shift).take_while(|size| *size < MAX_BLOCK);
            sizes.find(|size| parameters(*size).blocks() <= blocks).unwrap_or(MAX_BLOCK)
        };
        let block_size = match option("block_size") {
            None if has_parent => smallest(USUAL_BLOCKS).max(DIFFERENCE_BLOCK),
            None => smallest(USUAL_BLOCKS),
            Some(text) => checked_block_size(parse_size(text)?, smallest(MAX_BLOCKS), virtual_size)?,
        };
        let parameters = parameters(block_size);
        let log = Region { offset: HEADER_SECTION, length: LOG_LENGTH };
        let metadata = Region { offset: log.offset + log.length, length: METADATA_LENGTH };
        let bat_length = parameters.bat_len().max(BAT_ENTRY_LEN).div_ceil(MIB) * MIB;
        let bat = Region { offset: metadata.offset + metadata.length, length: bat_length };
        // At most 64 TiB and the tables, so the numbers of MiB and of blocks fit 32 bits.
        let mib = |bytes: u64| (bytes >> BAT_OFFSET_SHIFT) as u32;
        Ok(Self {
            parameters,
            fixed,
            parent,
            block_mib: mib(block_size),
            blocks: parameters.blocks() as u32,
            log,
            metadata,
            bat,
            first_block_mib: mib(bat.offset + bat.length),
            data_write: guid("identity", option("identity"))?,
            virtual_disk: guid("disk_id", option("disk_id"))?,
        })
    }

    /// Guest bytes of `block`: less than the block size at the end of the disk.
    pub(super) fn block_len(&self, block: u64) -> u64 {
        let start = block.saturating_mul(self.parameters.block_size);
        self.parameters.virtual_size.saturating_sub(start).min(self.parameters.block_size)
    }

    /// The chunk of a difference: one byte of the sector bitmap.
    pub(super) fn difference(&self) -> u64 {
        8 * self.parameters.logical_sector_size
    }
}

/// The disk is a multiple of its logical sector. An option that cannot be understood is an error of
/// [`create`](super::create).
pub(crate) fn size_step(request: &CreateRequest) -> u64 {
    logical_sector_size(request).unwrap_or(512)
}

/// What the request says, else what the parent has.
fn logical_sector_size(request: &CreateRequest) -> Result<u64> {
    match request.options.get("logical_sector_size").map(|text| parse_size(text)).transpose()? {
        None => Ok(request.parent.as_ref().and_then(Parent::sector_size).unwrap_or(512)),
        Some(size @ (512 | 4096)) => Ok(size),
        Some(other) => Err(Error::usage(format!("logical_sector_size is 512 or 4096, not {other}"))),
    }
}

/// Nil is no GUID: it would mean that there is none.
fn guid(key: &str, text: Option<&str>) -> Result<Option<Uuid>> {
    let Some(text) = text else { return Ok(None) };
    match Uuid::try_parse(text) {
        Ok(guid) if !guid.is_nil() => Ok(Some(guid)),
        _ => Err(Error::usage(format!("{key} is a GUID, not '{text}'"))),
    }
}

fn checked_block_size(size: u64, smallest: u64, virtual_size: u64) -> Result<u64> {
    if !size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&size) {
        return Err(Error::usage(format!("block_size is a power of two from 1M to 256M, not {size}")));
    }
    if size < smallest {
        return Err(Error::usage(format!(
            "block_size {} makes the table of a disk of {} too long, the smallest that fits is {}",
            format_size(size),
            format_size(virtual_size),
            format_size(smallest)
        )));
    }
    Ok(size)
}
