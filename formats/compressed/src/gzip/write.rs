//! Writing gzip as BGZF: plain gzip for everyone, and readable at any place for those who know.

use super::bgzf::{END, HEADER_LEN, MAX_DATA};
use crate::write::{self, Pack, Table, number_option};
use format_core::{CreateOption, CreateRequest, Error, Result, Sink, TargetStorage, is_zero};
use libdeflater::{CompressionLvl, Compressor};
use std::cell::RefCell;

/// Packed by a worker at once: blocks are too small to hand them around alone.
const CHUNK: u64 = 1 << 20;
/// What a block has at most, header and all: its length is in 16 bits.
const MAX_BLOCK: usize = 1 << 16;

pub(crate) const OPTIONS: &[CreateOption] = &[CreateOption {
    key: "level",
    values: "1..12",
    default: "6",
    help: "how hard to look for what repeats: 1 is fast, 12 is small",
}];

thread_local! {
    /// One compressor per worker, with its level.
    static COMPRESSOR: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

struct Bgzf {
    level: i32,
    /// A whole block of zeros.
    zeros: Vec<u8>,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    write::create(target, request, packer(request)?)
}

pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    write::resume(target, request, packer(request)?, state)
}

fn packer(request: &CreateRequest) -> Result<Bgzf> {
    let level = number_option(request, "level", 1..=12, 6, "1 to 12").map_err(|e| e.named(super::NAME))?;
    let mut zeros = Vec::new();
    add_blocks(level, &[0; MAX_DATA], &mut zeros)?;
    Ok(Bgzf { level, zeros })
}

impl Pack for Bgzf {
    const NAME: &'static str = super::NAME;

    fn chunk_size(&self) -> u64 {
        CHUNK
    }

    fn pack(&self, data: &[u8]) -> Result<Vec<u8>> {
        let mut packed = Vec::with_capacity(data.len() / 2);
        for block in data.chunks(MAX_DATA) {
            if block.len() == MAX_DATA && is_zero(block) {
                packed.extend_from_slice(&self.zeros);
            } else {
                add_blocks(self.level, block, &mut packed)?;
            }
        }
        packed.shrink_to_fit();
        Ok(packed)
    }

    fn mark(&self, _: &[u8]) -> Option<u32> {
        None
    }

    fn end(&self, _: &Table, _: u64) -> Vec<u8> {
        END.to_vec()
    }
}

/// Appends `data` as a block, or as two where it does not compress and one cannot say its length.
fn add_blocks(level: i32, data: &[u8], packed: &mut Vec<u8>) -> Result<()> {
    if add_block(level, data, packed)? {
        return Ok(());
    }
    let (first, second) = data.split_at(data.len() / 2);
    if add_block(level, first, packed)? && add_block(level, second, packed)? {
        return Ok(());
    }
    Err(contract(format!("{:#x} bytes do not fit into two blocks", data.len())))
}

fn add_block(level: i32, data: &[u8], packed: &mut Vec<u8>) -> Result<bool> {
    let start = packed.len();
    let made = COMPRESSOR.with_borrow_mut(|slot| {
        let (_, compressor) = match slot {
            Some(made) if made.0 == level => made,
            _ => {
                let valid = CompressionLvl::new(level);
                let valid = valid.map_err(|_| contract(format!("deflate has no level {level}")))?;
                slot.insert((level, Compressor::new(valid)))
            }
        };
        packed.resize(start + HEADER_LEN + compressor.deflate_compress_bound(data.len()), 0);
        let room = packed.get_mut(start + HEADER_LEN..).unwrap_or_default();
        compressor.deflate_compress(data, room).map_err(|e| contract(format!("deflate: {e}")))
    })?;
    let len = HEADER_LEN + made + 8;
    packed.truncate(start + HEADER_LEN + made);
    if len > MAX_BLOCK {
        packed.truncate(start);
        return Ok(false);
    }
    let said = (len - 1) as u16;
    let header = END.into_iter().take(HEADER_LEN - 2).chain(said.to_le_bytes());
    packed.iter_mut().skip(start).zip(header).for_each(|(to, byte)| *to = byte);
    packed.extend(crc32fast::hash(data).to_le_bytes());
    packed.extend((data.len() as u32).to_le_bytes());
    Ok(true)
}

fn contract(text: String) -> Error {
    Error::contract(text).in_format(super::NAME)
}
