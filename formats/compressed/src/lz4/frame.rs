//! What begins a frame.

use crate::error::{PackedError, Result};
use twox_hash::XxHash32;

pub(crate) const MAGIC: u32 = 0x184d_2204;
pub(crate) const LEGACY: u32 = 0x184c_2102;
pub(crate) const SKIPPABLE: u32 = 0x184d_2a50;

/// What a block of the legacy format holds at most, and always but for the last.
pub(crate) const LEGACY_BLOCK: usize = 8 << 20;
/// What a block of that size can become when it does not compress.
pub(crate) const LEGACY_PACKED: u64 = (LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16) as u64;

/// How far back blocks refer.
pub(crate) const HISTORY: usize = 64 << 10;

/// Whether it is a number of a frame that decoders pass over.
pub(crate) fn is_skippable(magic: u32) -> bool {
    magic & !0xf == SKIPPABLE
}

/// A frame's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Its length in the file, with its checksum.
    pub(crate) len: usize,
    pub(crate) block_size: usize,
    pub(crate) linked: bool,
    pub(crate) block_checksums: bool,
    pub(crate) content_checksum: bool,
    pub(crate) content_size: Option<u64>,
}

/// How long the descriptor is that begins with `flags`.
pub(crate) fn descriptor_len(flags: u8) -> usize {
    3 + if flags & 8 != 0 { 8 } else { 0 } + if flags & 1 != 0 { 4 } else { 0 }
}

/// Parses a descriptor of [`descriptor_len`] bytes at `at`.
pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<Descriptor> {
    let cut = PackedError::Truncated { at: at + bytes.len() as u64, what: "a frame descriptor" };
    let Some((&sum, checked)) = bytes.split_last() else { return Err(cut) };
    let [flags, sizes, numbers @ ..] = checked else { return Err(cut) };
    let computed = XxHash32::oneshot(0, checked) >> 8 & 0xff;
    if u32::from(sum) != computed {
        let what = "the checksum of a frame descriptor";
        return Err(PackedError::Checksum { what, at, found: sum.into(), computed });
    }
    let unknown = |what, byte: u8| PackedError::Unknown { what, at, found: byte.into() };
    if flags >> 6 != 1 || flags & 2 != 0 {
        return Err(unknown("the version and flags of a frame", *flags));
    }
    if sizes & 0x8f != 0 || sizes >> 4 < 4 {
        return Err(unknown("the block size of a frame", *sizes));
    }
    let content_size =
        (flags & 8 != 0).then(|| numbers.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))).flatten();
    if flags & 1 != 0 {
        let id = numbers.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        return Err(PackedError::Dictionary { at, id });
    }
    Ok(Descriptor {
        len: bytes.len(),
        block_size: 1 << (8 + 2 * (sizes >> 4)),
        linked: flags & 0x20 == 0,
        block_checksums: flags & 0x10 != 0,
        content_checksum: flags & 4 != 0,
        content_size,
    })
}

/// Whether a file begins like lz4 does.
pub(crate) fn is_start(head: &[u8]) -> bool {
    let mut at = 0usize;
    while let Some(rest) = head.get(at..) {
        let Some((magic, rest)) = rest.split_first_chunk().map(|(m, rest)| (u32::from_le_bytes(*m), rest))
        else {
            return false;
        };
        if !is_skippable(magic) {
            return magic == MAGIC && rest.first().is_some_and(|flags| flags >> 6 == 1) || magic == LEGACY;
        }
        let len = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        match len.and_then(|len| at.checked_add(8)?.checked_add(len)) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// What the first frame says that it holds: for a person, as nothing tells of others without reading them.
pub(crate) fn size(storage: &dyn format_core::Storage) -> Option<u64> {
    let mut head = [0; 15];
    storage.read_exact_at(0, &mut head).ok()?;
    let [m0, m1, m2, m3, descriptor @ ..] = head;
    let len = descriptor_len(descriptor[0]);
    let is_frame = u32::from_le_bytes([m0, m1, m2, m3]) == MAGIC;
    parse(descriptor.get(..len).filter(|_| is_frame)?, 4).ok()?.content_size
}
