//! Files that Windows keeps packed in a stream beside their content (Windows Overlay Filter, `compact.exe /exe`,
//! CompactOS). The content is cut into chunks; a table gives the end of each but the last, then the packed chunks follow.

mod huffman;
mod lzx;
mod xpress;

use crate::bytes::{u32_at, u64_at};
use crate::error::NtfsError;
use crate::inode::Inode;
use crate::layout::DATA;
use crate::mft::Reader;
use crate::record::Attribute;
use crate::reparse::Reparse;
use driver_core::{GuestFile, check_range};
use format_core::{Error, Result};
use std::cell::RefCell;

/// The stream with the packed content.
pub(crate) const STREAM: &str = "WofCompressedData";
/// `WOF_PROVIDER_FILE`: the content is in the same volume, in the stream.
const PROVIDER_FILE: u32 = 2;
/// Chunks of one file at most: 2^22 of 4 KiB are 16 GiB.
const MAX_CHUNKS: u64 = 1 << 22;

/// How the chunks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// LZ77 with Huffman codes, in chunks of so many bytes.
    Xpress(usize),
    /// LZX with a window of 32 KiB, in chunks of as many bytes.
    Lzx,
}

impl Packing {
    /// What the reparse point says (`WOF_EXTERNAL_INFO`, `FILE_PROVIDER_EXTERNAL_INFO_V1` of the Windows SDK's wofapi.h).
    fn of(reparse: &Reparse) -> Result<Self> {
        let number = |at| u32_at(&reparse.data, at);
        match (number(0), number(4), number(8), number(12)) {
            (Some(1), Some(PROVIDER_FILE), Some(1), Some(0)) => Ok(Self::Xpress(4 << 10)),
            (Some(1), Some(PROVIDER_FILE), Some(1), Some(1)) => Ok(Self::Lzx),
            (Some(1), Some(PROVIDER_FILE), Some(1), Some(2)) => Ok(Self::Xpress(8 << 10)),
            (Some(1), Some(PROVIDER_FILE), Some(1), Some(3)) => Ok(Self::Xpress(16 << 10)),
            (Some(1), Some(1), ..) => Err(NtfsError::Elsewhere {
                what: "the file".into(),
                by: "a WIM image that Windows was started from",
                tag: reparse.tag,
            }
            .into()),
            (version, provider, ..) => Err(Error::unsupported(format!(
                "a file packed by version {version:?} of provider {provider:?} of the overlay filter"
            ))
            .in_format("ntfs")),
        }
    }

    fn chunk(self) -> usize {
        match self {
            Self::Xpress(len) => len,
            Self::Lzx => lzx::CHUNK,
        }
    }

    fn unpack(self, packed: &[u8], out: &mut [u8]) -> Result<(), String> {
        if packed.len() == out.len() {
            out.copy_from_slice(packed);
            return Ok(());
        }
        match self {
            Self::Xpress(_) => xpress::unpack(packed, out),
            Self::Lzx => lzx::unpack(packed, out),
        }
    }
}

/// A packed file that is read piece by piece.
pub(crate) struct Packed<'fs> {
    reader: &'fs Reader,
    stream: Attribute,
    packing: Packing,
    /// The start of the first chunk in the stream and the end of each.
    ends: Vec<u64>,
    size: u64,
    /// The chunk that was unpacked last, by its number: pieces are smaller than chunks, as a rule, and ascend.
    last: RefCell<Option<(u64, Vec<u8>)>>,
}

impl<'fs> Packed<'fs> {
    /// Opens a file of `size` bytes, of which there is at least one.
    ///
    /// # Errors
    /// `Corrupt` when the stream cannot hold so many; `Unsupported` for content in a WIM image.
    pub(crate) fn open(reader: &'fs Reader, inode: &Inode, reparse: &Reparse, size: u64) -> Result<Self> {
        let packing = Packing::of(reparse)?;
        let stream = inode.stream(DATA, &crate::layout::units(STREAM)).cloned();
        let stream = stream.ok_or_else(|| Reader::broken(format!("a packed file has no stream {STREAM}")))?;
        let ends = ends(reader, &stream, size, packing)?;
        Ok(Self { reader, stream, packing, ends, size, last: RefCell::default() })
    }

    /// Unpacks the chunk `number` into `out`, which has its size.
    fn unpack(&self, number: u64, out: &mut [u8]) -> Result<()> {
        let broken = |what: &str| Reader::broken(format!("chunk {number:#x} of a packed file: {what}"));
        let at = |number: u64| self.ends.get(number as usize).copied().unwrap_or_default();
        let (start, end) = (at(number), at(number + 1));
        let len = end.checked_sub(start).filter(|len| *len > 0 && *len <= out.len() as u64);
        let len = len.ok_or_else(|| broken(&format!("its packed bytes lie from {start:#x} to {end:#x}")))?;
        let mut packed = vec![0; len as usize];
        self.reader.read(&self.stream, start, &mut packed)?;
        self.packing.unpack(&packed, out).map_err(|what| broken(&what))
    }
}

impl GuestFile for Packed<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let chunk = self.packing.chunk() as u64;
        let (mut rest, mut offset) = (buf, offset);
        while !rest.is_empty() {
            let (number, inside) = (offset / chunk, (offset % chunk) as usize);
            let len = chunk.min(self.size - number * chunk) as usize;
            let now = (len - inside).min(rest.len());
            let (part, behind) = rest.split_at_mut(now);
            if now == len {
                self.unpack(number, part)?;
            } else {
                let mut last = self.last.borrow_mut();
                if last.as_ref().is_none_or(|(unpacked, _)| *unpacked != number) {
                    let mut content = vec![0; len];
                    self.unpack(number, &mut content)?;
                    *last = Some((number, content));
                }
                let content = last.as_ref().and_then(|(_, content)| content.get(inside..inside + now));
                part.copy_from_slice(content.unwrap_or_default());
            }
            rest = behind;
            offset += now as u64;
        }
        Ok(())
    }
}

/// The start of the first chunk and the end of each, in the stream.
fn ends(reader: &Reader, stream: &Attribute, size: u64, packing: Packing) -> Result<Vec<u64>> {
    let chunks = size.div_ceil(packing.chunk() as u64);
    if chunks > MAX_CHUNKS {
        return Err(NtfsError::Limit { what: "a packed file", limit: MAX_CHUNKS, of: "chunks" }.into());
    }
    let width = if size > u64::from(u32::MAX) { 8 } else { 4 };
    let table = (chunks - 1) * width;
    if table > stream.size() {
        let what = format!("a packed file of {size:#x} bytes has a stream of {:#x}", stream.size());
        return Err(Reader::broken(what));
    }
    let mut raw = vec![0; table as usize];
    reader.read(stream, 0, &mut raw)?;
    let entries = raw.chunks_exact(width as usize).map(|entry| match width {
        8 => u64_at(entry, 0).unwrap_or_default(),
        _ => u32_at(entry, 0).unwrap_or_default().into(),
    });
    let mut ends = vec![table];
    ends.extend(entries.map(|end| end.saturating_add(table)));
    ends.push(stream.size());
    Ok(ends)
}
