//! Options and sizes to the layout of a new image.

use crate::layout::{
    BAT_ENTRY_LEN, BAT_OFFSET_SHIFT, HEADER_SECTION, MAX_BLOCK, MAX_VIRTUAL_SIZE, MIN_BLOCK,
    PAYLOAD_BLOCK_FULLY_PRESENT, PAYLOAD_BLOCK_ZERO,
};
use crate::parse::{Parameters, Region};
use format_core::units::{MIB, align_up, format_size, parse_size};
use format_core::{CreateRequest, Error, Result};

/// The most blocks that are written: a BAT of 64 MiB in the file, half of that in memory.
const MAX_BLOCKS: u64 = 1 << 23;
/// Without an option blocks are as small as this many allow, a BAT of 8 MiB: small blocks keep sparse disks small.
const USUAL_BLOCKS: u64 = 1 << 20;
const LOG_LENGTH: u64 = MIB;
const METADATA_LENGTH: u64 = MIB;

/// Everything about the new file that is known before the first byte.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) virtual_size: u64,
    pub(super) logical_sector_size: u64,
    pub(super) fixed: bool,
    /// Size of a block in MiB.
    pub(super) block_mib: u32,
    pub(super) blocks: u32,
    pub(super) chunk_ratio: u64,
    pub(super) log: Region,
    pub(super) metadata: Region,
    pub(super) bat: Region,
    pub(super) first_block_mib: u32,
}

impl Plan {
    pub(super) fn new(request: &CreateRequest) -> Result<Self> {
        let option = |key: &str| request.options.get(key).map(String::as_str);
        let fixed = match option("subformat") {
            None | Some("dynamic") => false,
            Some("fixed") => true,
            Some(other) => return Err(Error::usage(format!("subformat is dynamic or fixed, not '{other}'"))),
        };
        let logical_sector_size = match option("logical_sector_size").map(parse_size).transpose()? {
            None => 512,
            Some(size @ (512 | 4096)) => size,
            Some(other) => {
                return Err(Error::usage(format!("logical_sector_size is 512 or 4096, not {other}")));
            }
        };
        let virtual_size = align_up(request.virtual_size, logical_sector_size)
            .filter(|size| *size <= MAX_VIRTUAL_SIZE)
            .ok_or_else(|| {
                Error::usage(format!(
                    "a vhdx disk has at most 64 TiB, not {}",
                    format_size(request.virtual_size)
                ))
            })?;
        let parameters =
            |block_size| Parameters { block_size, has_parent: false, virtual_size, logical_sector_size };
        let smallest = |blocks: u64| {
            let mut sizes = (0..).map(|shift| MIN_BLOCK << shift).take_while(|size| *size < MAX_BLOCK);
            sizes.find(|size| parameters(*size).blocks() <= blocks).unwrap_or(MAX_BLOCK)
        };
        let block_size = match option("block_size") {
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
            virtual_size,
            logical_sector_size,
            fixed,
            block_mib: mib(block_size),
            blocks: parameters.blocks() as u32,
            chunk_ratio: parameters.chunk_ratio(),
            log,
            metadata,
            bat,
            first_block_mib: mib(bat.offset + bat.length),
        })
    }

    /// The entries of the BAT in file order; `places` are the blocks' file offsets in MiB, 0 for none.
    ///
    /// Blocks without a place get the state Zero: a reader may return anything for Not Present ones (MS-VHDX
    /// 2.5.1.1).
    pub(super) fn bat_entries(&self, places: &[u32]) -> impl Iterator<Item = u64> {
        let ratio = self.chunk_ratio;
        (0u64..).zip(places).flat_map(move |(block, &place)| {
            let entry = match place {
                0 => PAYLOAD_BLOCK_ZERO,
                place => u64::from(place) << BAT_OFFSET_SHIFT | PAYLOAD_BLOCK_FULLY_PRESENT,
            };
            // The bitmap entry of the chunk before stands in front of the first block of the next.
            let bitmap = (block > 0 && block % ratio == 0).then_some(0);
            bitmap.into_iter().chain([entry])
        })
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
