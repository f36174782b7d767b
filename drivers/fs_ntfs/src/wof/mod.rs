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
use crate::reparse::Reparse;
use format_core::{Error, Result};

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

/// The content of a packed file, which has `size` bytes.
///
/// # Errors
/// `Corrupt` when the stream does not hold so many; `Unsupported` for content in a WIM image.
pub(crate) fn read(reader: &Reader, inode: &Inode, reparse: &Reparse, size: usize) -> Result<Vec<u8>> {
    let packing = Packing::of(reparse)?;
    let mut content = vec![0; size];
    if size == 0 {
        return Ok(content);
    }
    let name = crate::layout::units(STREAM);
    let stream = inode.stream(DATA, &name);
    let stream = stream.ok_or_else(|| Reader::broken(format!("a packed file has no stream {STREAM}")))?;
    let ends = ends(reader, stream, size as u64, packing)?;
    let mut start = ends.first().copied().unwrap_or_default();
    for (number, (out, end)) in content.chunks_mut(packing.chunk()).zip(ends.iter().skip(1)).enumerate() {
        let broken = |what: &str| Reader::broken(format!("chunk {number:#x} of a packed file: {what}"));
        let len = end.checked_sub(start).filter(|len| *len > 0 && *len <= out.len() as u64);
        let len = len.ok_or_else(|| broken(&format!("its packed bytes lie from {start:#x} to {end:#x}")))?;
        let mut packed = vec![0; len as usize];
        reader.read(stream, start, &mut packed)?;
        packing.unpack(&packed, out).map_err(|what| broken(&what))?;
        start = *end;
    }
    Ok(content)
}

/// The start of the first chunk and the end of each, in the stream.
fn ends(reader: &Reader, stream: &crate::record::Attribute, size: u64, packing: Packing) -> Result<Vec<u64>> {
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
