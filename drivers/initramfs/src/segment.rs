//! Splits an image into its segments and walks through the archives in them.
//!
//! The rules are those of `unpack_to_rootfs` in the kernel's `init/initramfs.c`: at a multiple of 4 the digit `0` starts a
//! plain archive; a zero byte is skipped; everything else must be the magic of a compression, and what it unpacks to must
//! be whole archives. Stricter than the kernel in two points: an archive needs its trailer, and a damaged header is an error.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

pub use crate::archive::Content;
use crate::archive::{Totals, Unpacked};
use crate::cpio::Header;
use crate::error::{Error, Result, hex};
use crate::input::Input;
use crate::lz4_legacy;

/// Compression of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain archive.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// LZ4 in the legacy frame.
    Lz4,
    /// bzip2.
    Bzip2,
    /// The older "LZMA alone" form.
    Lzma,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "no compression",
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::Bzip2 => "bzip2",
            Compression::Lzma => "lzma",
        })
    }
}

/// A part of an image: one plain archive, or one compressed stream of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the image in bytes.
    pub offset: u64,
    /// Size in the image in bytes, without the zeros behind it.
    pub len: u64,
    /// Its compression.
    pub compression: Compression,
    /// Size in bytes when unpacked.
    pub unpacked: u64,
    /// Number of archives in it.
    pub archives: u32,
    /// Offset of the header of the last `TRAILER!!!` in the unpacked bytes.
    pub trailer: u64,
}

/// What an image may cost. The defaults are far above what distributions build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unpacked bytes of all segments together.
    pub unpacked: u64,
    /// Unpacked bytes per byte of the image, once 64 MiB are unpacked.
    pub ratio: u64,
    /// Number of segments.
    pub segments: u64,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of all names and link targets together.
    pub name_bytes: u64,
    /// Size in bytes of a file whose content is kept; all of them together may have four times as much.
    pub kept_file: u64,
    /// Memory in bytes for the dictionary of xz and lzma.
    pub dictionary: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Limits {
            unpacked: 1024 * MIB,
            ratio: 200,
            segments: 64,
            entries: 500_000,
            name_bytes: 64 * MIB,
            kept_file: 16 * MIB,
            dictionary: 128 * MIB,
        }
    }
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as it stands in the archive; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// The header.
    pub header: Header,
    /// Target of a symbolic link.
    pub target: Option<String>,
    /// Number of the archive in the image, from 0. Hard links never cross archives.
    pub archive: u32,
}

/// Walks through all entries of an image in order, in constant memory.
///
/// # Errors
/// Any [`Error`] of the container, or what `visit` returns.
pub fn walk<R: Read>(
    image: R,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut Content<'_, '_>) -> Result<()>,
) -> Result<Vec<Segment>> {
    let mut input = Input::new(image);
    let mut totals = Totals { unpacked: 0, entries: 0, name_bytes: 0 };
    let mut segments: Vec<Segment> = Vec::new();
    let mut archives = 0_u32;
    while let Some(compression) = next_segment(&mut input)? {
        // A decompressor costs memory and time to set up, whatever it then unpacks.
        if segments.len() as u64 == limits.segments {
            return Err(Error::Limit { segment: input.offset(), what: "segments", limit: limits.segments });
        }
        let segment = read_segment(&mut input, compression, limits, &mut totals, &mut archives, visit)?;
        segments.push(segment);
    }
    if segments.is_empty() {
        return Err(Error::Empty { size: input.offset() });
    }
    Ok(segments)
}

/// Skips zeros, then tells what starts there. `None` at the end of the image.
fn next_segment<R: Read>(input: &mut Input<R>) -> Result<Option<Compression>> {
    let io_error = |offset| move |source| Error::Io { offset, source };
    loop {
        let offset = input.offset();
        let ahead = input.fill_buf().map_err(io_error(offset))?;
        if ahead.is_empty() {
            return Ok(None);
        }
        let zeros = ahead.iter().take_while(|b| **b == 0).count();
        if zeros == 0 {
            break;
        }
        input.consume(zeros);
    }
    let offset = input.offset();
    let magic = input.peek(6).map_err(io_error(offset))?;
    classify(magic, offset).map(Some)
}

/// Whether these bytes begin as a stream of that compression does.
pub(crate) fn begins_with(bytes: &[u8], compression: Compression) -> bool {
    classify(bytes.get(..6).unwrap_or(bytes), 0).is_ok_and(|found| found == compression)
}

/// Pure: which compression starts with `magic` at `offset`.
fn classify(magic: &[u8], offset: u64) -> Result<Compression> {
    match magic {
        [b'0', ..] if offset.is_multiple_of(4) => Ok(Compression::None),
        [b'0', b'7', b'0', b'7', ..] => Err(Error::Misaligned { offset }),
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Ok(Compression::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        [0x02, 0x21, 0x4c, 0x18, ..] => Ok(Compression::Lz4),
        [b'B', b'Z', b'h', ..] => Ok(Compression::Bzip2),
        [0x5d, 0, 0, ..] => Ok(Compression::Lzma),
        [b'M', b'Z', ..] if offset == 0 => Err(Error::UnifiedKernelImage),
        [0x89, b'L', b'Z', b'O', ..] => Err(Error::UnsupportedCompression { offset, name: "lzo" }),
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            Err(Error::UnsupportedCompression { offset, name: "lz4 (frame format)" })
        }
        _ => Err(Error::UnknownMagic { offset, found: hex(magic) }),
    }
}

fn read_segment<R: Read>(
    input: &mut Input<R>,
    compression: Compression,
    limits: &Limits,
    totals: &mut Totals,
    archives: &mut u32,
    visit: &mut dyn FnMut(&Entry, &mut Content<'_, '_>) -> Result<()>,
) -> Result<Segment> {
    let offset = input.offset();
    let consumed = input.counter();
    let source = decoder(input, compression, limits.dictionary).map_err(|e| Error::Decode {
        segment: offset,
        compression,
        at: 0,
        reason: e.to_string(),
    })?;
    let mut unpacked =
        Unpacked { source, segment: offset, compression, at: 0, consumed: consumed.clone(), limits, totals };
    let first = *archives;
    let mut trailer = 0;
    if compression == Compression::None {
        trailer = unpacked.read_archive(&[], *archives, visit)?;
        *archives += 1;
    } else {
        while unpacked.next_archive()? {
            trailer = unpacked.read_archive(b"0", *archives, visit)?;
            *archives += 1;
        }
        if first == *archives {
            return Err(Error::Truncated { segment: offset, at: unpacked.at });
        }
    }
    let at = unpacked.at;
    drop(unpacked);
    Ok(Segment {
        offset,
        len: consumed.get() - offset,
        compression,
        unpacked: at,
        archives: *archives - first,
        trailer,
    })
}

/// A reader of the unpacked bytes that ends with the stream and leaves the rest of `input` alone.
pub(crate) fn decoder<'a, R: Read>(
    input: &'a mut Input<R>,
    compression: Compression,
    dictionary: u64,
) -> io::Result<Box<dyn BufRead + 'a>> {
    use liblzma::stream::Stream;
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::GzDecoder::new(input))),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(dictionary, 0)?;
            Box::new(BufReader::new(liblzma::bufread::XzDecoder::new_stream(input, stream)))
        }
        Compression::Lzma => {
            let stream = Stream::new_lzma_decoder(dictionary)?;
            Box::new(BufReader::new(liblzma::bufread::XzDecoder::new_stream(input, stream)))
        }
        Compression::Zstd => {
            Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame()))
        }
        Compression::Lz4 => Box::new(BufReader::new(lz4_legacy::Reader::new(input, |input| {
            Ok(input.peek(4)?.try_into().ok())
        }))),
        Compression::Bzip2 => Box::new(BufReader::new(bzip2::bufread::BzDecoder::new(input))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_is_told() {
        for (magic, name) in [
            (&b"070701"[..], Compression::None),
            (b"\x1f\x8b\x08\0\0\0", Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x28\xb5\x2f\xfd\0\0", Compression::Zstd),
            (b"\x02\x21\x4c\x18\0\0", Compression::Lz4),
            (b"BZh91A", Compression::Bzip2),
            (b"\x5d\0\0\x80\0\xff", Compression::Lzma),
        ] {
            assert_eq!(classify(magic, 512).unwrap(), name);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(matches!(classify(b"070701", 6), Err(Error::Misaligned { offset: 6 })));
        assert!(matches!(classify(b"MZ\x90\0\x03\0", 0), Err(Error::UnifiedKernelImage)));
        assert!(matches!(classify(b"MZ\x90\0\x03\0", 512), Err(Error::UnknownMagic { offset: 512, .. })));
        assert!(matches!(
            classify(b"\x89LZO\0\r", 0),
            Err(Error::UnsupportedCompression { name: "lzo", .. })
        ));
        assert!(matches!(classify(b"\x04\x22\x4d\x18xx", 0), Err(Error::UnsupportedCompression { .. })));
        let text = classify(b"\x01\x02", 0x200).unwrap_err().to_string();
        assert_eq!(
            text,
            "initramfs: bytes 01 02 at 0x200 are neither a cpio header nor a compression the kernel knows"
        );
    }
}
