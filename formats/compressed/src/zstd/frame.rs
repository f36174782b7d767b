//! What begins a frame.

use crate::error::{PackedError, Result};

pub(crate) const MAGIC: u32 = 0xfd2f_b528;
/// The first of the 16 magic numbers of frames that decoders pass over.
pub(crate) const SKIPPABLE: u32 = 0x184d_2a50;
/// The longest header.
pub(crate) const MAX_HEADER: usize = 18;

/// What begins with a frame's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// To be passed over, with its header.
    Skippable {
        len: u64,
    },
    Frame(Header),
    /// Something else.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its own length.
    pub(crate) len: usize,
    /// How far back the data refer.
    pub(crate) window: u64,
    pub(crate) content_size: Option<u64>,
    pub(crate) has_checksum: bool,
    pub(crate) dictionary: u32,
}

/// Whether it is a number of a frame that decoders pass over.
pub(crate) fn is_skippable(magic: u32) -> bool {
    magic & !0xf == SKIPPABLE
}

/// Looks at `head`, which holds [`MAX_HEADER`] bytes or all that are left, and lies at `at`.
pub(crate) fn parse(head: &[u8], at: u64) -> Result<Start> {
    let cut = PackedError::Truncated { at: at + head.len() as u64, what: "the header of a frame" };
    let mut bytes = Bytes(head);
    let Some(magic) = bytes.number(4) else { return Err(cut) };
    if is_skippable(magic as u32) {
        return Ok(Start::Skippable { len: 8 + bytes.number(4).ok_or(cut)? });
    }
    if magic as u32 != MAGIC {
        return Ok(Start::Other);
    }
    parse_header(&mut bytes, head.len(), at)?.map(Start::Frame).ok_or(cut)
}

fn parse_header(bytes: &mut Bytes<'_>, available: usize, at: u64) -> Result<Option<Header>> {
    let Some(descriptor) = bytes.number(1) else { return Ok(None) };
    let (single, has_checksum) = (descriptor & 0x20 != 0, descriptor & 4 != 0);
    if descriptor & 8 != 0 {
        let what = "the descriptor of a frame";
        return Err(PackedError::Unknown { what, at: at + 4, found: descriptor });
    }
    let mut window = None;
    if !single {
        let Some(byte) = bytes.number(1) else { return Ok(None) };
        let base = 1u64 << (10 + (byte >> 3));
        window = Some(base + base / 8 * (byte & 7));
    }
    let dictionary_len = [0, 1, 2, 4][(descriptor & 3) as usize];
    let Some(dictionary) = bytes.number(dictionary_len) else { return Ok(None) };
    let content_size = match (descriptor >> 6, single) {
        (0, false) => Some(None),
        (0, true) => bytes.number(1).map(Some),
        (1, _) => bytes.number(2).map(|size| Some(size + 256)),
        (2, _) => bytes.number(4).map(Some),
        _ => bytes.number(8).map(Some),
    };
    let Some(content_size) = content_size else { return Ok(None) };
    let window = window.or(content_size).unwrap_or_default();
    let len = available - bytes.0.len();
    Ok(Some(Header { len, window, content_size, has_checksum, dictionary: dictionary as u32 }))
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The next number of `len` bytes, 8 at most.
    fn number(&mut self, len: usize) -> Option<u64> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Whether a file begins like zstd does: with a frame, or with one that is passed over and a frame behind it.
pub(crate) fn is_start(head: &[u8]) -> bool {
    let mut at = 0;
    while let Some(rest) = head.get(at..) {
        match parse(rest.get(..MAX_HEADER).unwrap_or(rest), 0) {
            Ok(Start::Frame(_)) => return true,
            Ok(Start::Skippable { len }) => {
                match usize::try_from(len).ok().and_then(|len| at.checked_add(len)) {
                    Some(next) => at = next,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}
