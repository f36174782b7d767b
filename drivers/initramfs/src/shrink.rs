//! Packs an image again, smaller, for a file that cannot grow.
//!
//! What the kernel unpacks is the same, in the same order: early archives in front stay as they are, because it looks for
//! microcode in plain archives only; all that follows becomes one compressed stream. Facts: a stream may hold several
//! archives; `xz` must be checked by CRC32 or not at all (kernel documentation, "xz", section "Notes on compression options").

use crate::error::{Error, Result};
use crate::input::Input;
use crate::segment::{self, Compression, Limits, Segment};
use std::io::{self, Read, Write};

/// What is packed with, and how hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Zstandard, level 6: a third of the speed at which gzip is read, and a tenth smaller than that.
    FastZstd,
    /// Zstandard, level 12: a little smaller, three times slower.
    Zstd,
    /// xz, preset 6: smaller and much slower still.
    Xz,
}

impl Packing {
    /// All, the fastest first.
    pub const ALL: [Self; 3] = [Self::FastZstd, Self::Zstd, Self::Xz];

    /// The compression it makes.
    #[must_use]
    pub fn compression(self) -> Compression {
        match self {
            Self::FastZstd | Self::Zstd => Compression::Zstd,
            Self::Xz => Compression::Xz,
        }
    }

    /// The kernel's configuration option for it.
    #[must_use]
    pub fn kernel_option(self) -> &'static str {
        match self {
            Self::FastZstd | Self::Zstd => "CONFIG_RD_ZSTD",
            Self::Xz => "CONFIG_RD_XZ",
        }
    }
}

/// A name in the archive that the kernel reads before everything else.
const MICROCODE: &[u8] = b"kernel/x86/microcode";
/// Archives start at multiples of this, as cpio(1) pads them.
const BLOCK: u64 = 512;

/// Packs `image` with its `segments` again.
///
/// # Errors
/// [`Error::Decode`] when it cannot be read or packed.
pub fn shrink(image: &[u8], segments: &[Segment], limits: &Limits, packing: Packing) -> Result<Vec<u8>> {
    let kept = kept_in_front(image, segments);
    let start = segments.get(kept).map_or(image.len() as u64, |segment| segment.offset);
    let front = usize::try_from(start).ok().and_then(|start| image.get(..start)).unwrap_or(image);
    let failed = |e: io::Error| Error::Decode {
        segment: start,
        compression: packing.compression(),
        at: 0,
        reason: e.to_string(),
    };
    let rest = segments.get(kept..).unwrap_or_default();
    let size = rest.iter().map(|segment| segment.unpacked).sum();
    let mut writer = Writer::new(front.to_vec(), packing, size).map_err(failed)?;
    for segment in rest {
        unpack_into(image, segment, limits, &mut writer).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

/// How many archives in front stay plain: those before the first compressed one, and one with microcode.
fn kept_in_front(image: &[u8], segments: &[Segment]) -> usize {
    let compressed = segments.iter().position(|segment| segment.compression != Compression::None);
    compressed.unwrap_or_else(|| {
        let is_early = |segment: &&Segment| {
            let bytes = usize::try_from(segment.offset).ok().and_then(|start| image.get(start..));
            let len = usize::try_from(segment.len).unwrap_or(usize::MAX);
            let bytes = bytes.map(|rest| rest.get(..len).unwrap_or(rest)).unwrap_or_default();
            bytes.windows(MICROCODE.len()).any(|window| window == MICROCODE)
        };
        segments.iter().take_while(is_early).count()
    })
}

/// The unpacked bytes, padded so that the next archive may follow.
fn unpack_into(image: &[u8], segment: &Segment, limits: &Limits, writer: &mut Writer) -> io::Result<()> {
    let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
    let mut input = Input::new(image.get(start..).unwrap_or_default());
    let decoder = segment::decoder(&mut input, segment.compression, limits.dictionary)?;
    let copied = io::copy(&mut decoder.take(segment.unpacked), writer)?;
    if copied != segment.unpacked {
        return Err(io::Error::other("the image was read differently a moment ago"));
    }
    let padding = copied.next_multiple_of(BLOCK) - copied;
    writer.write_all(vec![0; padding as usize].as_slice())
}

enum Writer {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Xz(liblzma::write::XzEncoder<Vec<u8>>),
}

impl Writer {
    fn new(front: Vec<u8>, packing: Packing, size: u64) -> io::Result<Self> {
        Ok(match packing {
            Packing::FastZstd | Packing::Zstd => {
                let level = if packing == Packing::Zstd { 12 } else { 6 };
                let mut encoder = zstd::stream::write::Encoder::new(front, level)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Packing::Xz => {
                // No dictionary larger than the content: the kernel allocates it.
                let mut options = liblzma::stream::LzmaOptions::new_preset(6)?;
                let content = u32::try_from(size).unwrap_or(u32::MAX).max(1 << 16);
                options.dict_size(content.checked_next_power_of_two().unwrap_or(8 << 20).min(8 << 20));
                let mut filters = liblzma::stream::Filters::new();
                filters.lzma2(&options);
                let stream =
                    liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32)?;
                Self::Xz(liblzma::write::XzEncoder::new_stream(front, stream))
            }
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Xz(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio;
    use std::process::{Command, Stdio};

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut writer = cpio::Writer::new(1);
        let mut made = String::new();
        for part in name.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev() {
            made = if made.is_empty() { part.to_owned() } else { format!("{made}/{part}") };
            writer.directory(&made).unwrap();
        }
        writer.file(name, content).unwrap();
        writer.finish().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What the image unpacks to, in order.
    fn names(image: &[u8]) -> (Vec<(String, u64)>, Vec<Segment>) {
        let mut found = Vec::new();
        let segments = segment::walk(image, &Limits::default(), &mut |entry, _| {
            found.push((entry.name.clone(), entry.header.filesize.into()));
            Ok(())
        })
        .unwrap();
        (found, segments)
    }

    fn shrunk(image: &[u8], packing: Packing) -> Result<Vec<u8>> {
        shrink(image, &names(image).1, &Limits::default(), packing)
    }

    #[test]
    fn the_same_in_less() {
        let text: String = (0..60_000).map(|n| format!("{n} ")).collect();
        let early = archive("kernel/x86/microcode/GenuineIntel.bin", &[7; 3000]);
        let mut image = early.clone();
        image.extend(gzip(&archive("etc/text", text.as_bytes())));
        image.resize(image.len().next_multiple_of(512), 0);
        image.extend(archive("lib/modules/hv.ko", &[9; 100_000]));
        for packing in Packing::ALL {
            let small = shrunk(&image, packing).unwrap();
            assert!(small.len() < image.len() / 2, "{packing:?}: {} of {}", small.len(), image.len());
            assert!(small.starts_with(&early), "{packing:?}");
            let (found, segments) = names(&small);
            assert_eq!(found, names(&image).0, "{packing:?}");
            let kinds: Vec<_> = segments.iter().map(|segment| segment.compression).collect();
            assert_eq!(kinds, [Compression::None, packing.compression()]);
            let tool = if packing == Packing::Xz { "xz" } else { "zstd" };
            let mut child = Command::new(tool).args(["-t", "-q"]).stdin(Stdio::piped()).spawn().unwrap();
            let start = segments[1].offset as usize;
            child.stdin.take().unwrap().write_all(&small[start..]).unwrap();
            assert!(child.wait().unwrap().success(), "{tool} does not take it");
        }
    }

    #[test]
    fn a_plain_image_keeps_its_microcode_plain() {
        let early = archive("kernel/x86/microcode/GenuineIntel.bin", &[7; 3000]);
        let mut image = early.clone();
        image.extend(archive("init", &[1; 50_000]));
        let small = shrunk(&image, Packing::Xz).unwrap();
        assert!(small.starts_with(&early) && small.len() < early.len() + 2000);
        assert_eq!(names(&small).0, names(&image).0);
        // Cut: what cannot be read is not packed.
        let whole = image.clone();
        image.truncate(image.len() - 30_000);
        let segments = names(&whole).1;
        assert!(shrink(&image, &segments, &Limits::default(), Packing::Xz).is_err());
    }
}
