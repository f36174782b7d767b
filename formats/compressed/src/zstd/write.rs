//! Writing zstd in the seekable format: frames of one size, each with its size and checksum, and the table behind them.

use super::seek_table::{self, Entry};
use crate::error::PackedError;
use crate::write::{self, Pack, Table, number_option};
use format_core::units::{GIB, KIB, MIB, TIB, parse_size};
use format_core::{CreateOption, CreateRequest, Error, MAX_CHUNK, Result, Sink, TargetStorage};
use std::cell::RefCell;
use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

/// Disks that are larger get the largest frames, so that their table stays small in memory.
const SMALL_FRAMES_TO: u64 = 4 * TIB;
/// As many frames as 128 MiB of memory remember.
const MAX_FRAMES: u64 = 16 << 20;

const FRAME_SIZES: &str = "a power of two from 64K to 4M";

pub(crate) const OPTIONS: &[CreateOption] = &[
    CreateOption {
        key: "level",
        values: "1..19",
        default: "3",
        help: "how hard to look for what repeats: 1 is fast, 19 is small",
    },
    CreateOption {
        key: "frame_size",
        values: "64K..4M",
        default: "1M (4M for disks of more than 4 TiB)",
        help: "how much is packed on its own: small frames are read faster at any place, large ones are smaller",
    },
];

thread_local! {
    /// One compressor per worker, with its level.
    static COMPRESSOR: RefCell<Option<(i32, CCtx<'static>)>> = const { RefCell::new(None) };
}

struct Seekable {
    level: i32,
    frame_size: u64,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    write::create(target, request, packer(request).map_err(|e| e.named(super::NAME))?)
}

pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    write::resume(target, request, packer(request).map_err(|e| e.named(super::NAME))?, state)
}

fn packer(request: &CreateRequest) -> Result<Seekable, PackedError> {
    let level = number_option(request, "level", 1..=19, 3, "1 to 19")?;
    let size = request.virtual_size;
    let frame_size = match request.options.get("frame_size") {
        None if size > SMALL_FRAMES_TO => MAX_CHUNK,
        None => MIB,
        Some(text) => {
            let found = parse_size(text).ok();
            let fits = |size: &u64| size.is_power_of_two() && (64 * KIB..=MAX_CHUNK).contains(size);
            let wrong =
                || PackedError::Option { key: "frame_size", found: text.clone(), possible: FRAME_SIZES };
            found.filter(fits).ok_or_else(wrong)?
        }
    };
    debug_assert!(frame_size < GIB);
    let limit = MAX_FRAMES * frame_size;
    if size > limit {
        return Err(PackedError::TooLarge { size, limit, frame: frame_size });
    }
    Ok(Seekable { level, frame_size })
}

impl Pack for Seekable {
    const NAME: &'static str = super::NAME;

    fn chunk_size(&self) -> u64 {
        self.frame_size
    }

    fn pack(&self, data: &[u8]) -> Result<Vec<u8>> {
        COMPRESSOR.with_borrow_mut(|slot| {
            let (_, compressor) = match slot {
                Some(made) if made.0 == self.level => made,
                _ => slot.insert((self.level, new_compressor(self.level)?)),
            };
            let mut packed = Vec::with_capacity(compress_bound(data.len()));
            compressor.compress2(&mut packed, data).map_err(contract)?;
            packed.shrink_to_fit();
            Ok(packed)
        })
    }

    /// A frame ends in the low half of the XXH64 of its content, and the table has the same.
    fn mark(&self, packed: &[u8]) -> Option<u32> {
        packed.last_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn end(&self, table: &Table, size: u64) -> Vec<u8> {
        let entries = table.lengths.iter().zip(&table.marks).enumerate();
        seek_table::encode(entries.map(|(number, (&packed, &checksum))| {
            let left = size.saturating_sub(number as u64 * self.frame_size);
            Entry { packed, unpacked: left.min(self.frame_size) as u32, checksum: Some(checksum) }
        }))
    }
}

fn new_compressor(level: i32) -> Result<CCtx<'static>> {
    let memory = || Error::new(format_core::ErrorKind::Temporary, "no memory for a compressor");
    let mut compressor = CCtx::try_create().ok_or_else(memory)?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::ChecksumFlag(true),
        CParameter::ContentSizeFlag(true),
    ] {
        compressor.set_parameter(parameter).map_err(contract)?;
    }
    Ok(compressor)
}

fn contract(code: usize) -> Error {
    Error::contract(format!("zstd: {}", get_error_name(code))).in_format(super::NAME)
}
