//! Bytes to trusted types: recognising, the header, the footer, the grain directory.

use crate::error::VmdkError;
use crate::layout::{
    COMPRESSION_DEFLATE, COWD_MAGIC, DESCRIPTOR_LINE, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINES,
    FLAG_REDUNDANT, FLAG_ZEROED_GRAIN, GD_AT_END, GrainMarker, INCOMPATIBLE_FLAGS, MARKER_FOOTER,
    MAX_DESCRIPTOR, MAX_DIRECTORY_ENTRIES, MetadataMarker, NEWLINES, SECTOR, SESPARSE_MAGIC, SPARSE_MAGIC,
    SparseExtentHeader,
};
use binrw::BinRead;
use format_core::Score;
use std::io::Cursor;
use std::ops::Range;

/// The flags that decide how grains are read.
const READING_FLAGS: u32 = FLAG_ZEROED_GRAIN | INCOMPATIBLE_FLAGS;

/// What a file that belongs to this format starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Sparse,
    Cowd,
    SeSparse,
    Text,
}

pub(crate) fn probe(head: &[u8], _tail: &[u8]) -> Score {
    if recognise(head).is_some() { Score::Magic } else { Score::No }
}

/// Whether these are the first bytes of a stream-optimized extent, which can be read from its start to its end.
pub(crate) fn is_stream(head: &[u8]) -> bool {
    let flags =
        head.get(8..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let both = FLAG_COMPRESSED | FLAG_MARKERS;
    head.starts_with(SPARSE_MAGIC) && flags & both == both
}

/// Judges the first bytes of a file.
pub(crate) fn recognise(head: &[u8]) -> Option<Start> {
    if head.starts_with(SPARSE_MAGIC) {
        return Some(Start::Sparse);
    }
    if head.starts_with(COWD_MAGIC) {
        return Some(Start::Cowd);
    }
    if head.starts_with(SESPARSE_MAGIC) {
        return Some(Start::SeSparse);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let line = text.get(..DESCRIPTOR_LINE.len())?;
    line.eq_ignore_ascii_case(DESCRIPTOR_LINE.as_bytes()).then_some(Start::Text)
}

/// A header whose fields agree with each other. Offsets and sizes in bytes unless they say sectors.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) flags: u32,
    pub(crate) capacity_sectors: u64,
    pub(crate) grain_sectors: u64,
    pub(crate) table_entries: u32,
    pub(crate) descriptor: Range<u64>,
    pub(crate) directory: Directory,
    pub(crate) redundant_directory: Option<u64>,
    /// Whether the grains come before the directory, as far as `overHead` says.
    pub(crate) grains_first: bool,
    pub(crate) unclean_shutdown: bool,
}

/// Where the grain directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    Nowhere,
    At(u64),
    InFooter,
}

impl Header {
    pub(crate) fn is_compressed(&self) -> bool {
        self.flags & FLAG_COMPRESSED != 0
    }

    pub(crate) fn has_zeroed_grains(&self) -> bool {
        self.flags & FLAG_ZEROED_GRAIN != 0
    }

    pub(crate) fn grain_bytes(&self) -> u64 {
        self.grain_sectors * SECTOR
    }

    /// Checks the size that the descriptor gives the extent.
    pub(crate) fn check_described(&self, described: u64) -> Result<(), VmdkError> {
        let (capacity, grain) = (self.capacity_sectors, self.grain_sectors);
        // VirtualBox rounds the header's capacity up to a grain; the descriptor has the right size.
        if described == 0 || described > capacity || capacity - described >= grain {
            return Err(VmdkError::SizesDiffer { described, capacity, grain });
        }
        Ok(())
    }

    /// How many entries the grain directory has.
    pub(crate) fn directory_entries(&self) -> Result<u64, VmdkError> {
        let entries = self.capacity_sectors.div_ceil(self.grain_sectors * u64::from(self.table_entries));
        if entries > MAX_DIRECTORY_ENTRIES {
            return Err(VmdkError::DirectorySize { entries });
        }
        Ok(entries)
    }

    /// Checks a stream's footer against the header and takes the directory's place from it.
    pub(crate) fn with_footer(&self, footer: &Self) -> Result<Self, VmdkError> {
        let pairs = [
            ("flags", (footer.flags & READING_FLAGS).into(), (self.flags & READING_FLAGS).into()),
            ("capacity", footer.capacity_sectors, self.capacity_sectors),
            ("grainSize", footer.grain_sectors, self.grain_sectors),
            ("numGTEsPerGT", footer.table_entries.into(), self.table_entries.into()),
        ];
        if let Some((field, footer, header)) = pairs.into_iter().find(|(_, a, b)| a != b) {
            return Err(VmdkError::FooterDiffers { field, footer, header });
        }
        if footer.directory == Directory::InFooter {
            return Err(VmdkError::NoDirectory);
        }
        let redundant_directory = footer.redundant_directory;
        Ok(Self { directory: footer.directory, redundant_directory, ..self.clone() })
    }
}

/// Reads a header or footer sector.
pub(crate) fn parse_header(sector: &[u8; SECTOR as usize]) -> Result<Header, VmdkError> {
    let raw = SparseExtentHeader::read(&mut Cursor::new(sector))
        .map_err(|e| e.custom_err::<VmdkError>().cloned().unwrap_or(VmdkError::NotVmdk))?;
    check_flags(&raw)?;
    raw.capacity.checked_mul(SECTOR).ok_or(VmdkError::Capacity { sectors: raw.capacity })?;
    let directory = match raw.gd_offset {
        0 => Directory::Nowhere,
        GD_AT_END => Directory::InFooter,
        sector => Directory::At(bytes_of("grain directory", sector)?),
    };
    let has_redundant = raw.flags & FLAG_REDUNDANT != 0 && raw.rgd_offset != 0;
    // A broken redundant directory alone does not keep the disk from being read.
    let redundant_directory = has_redundant.then(|| raw.rgd_offset.checked_mul(SECTOR)).flatten();
    Ok(Header {
        flags: raw.flags,
        capacity_sectors: raw.capacity,
        grain_sectors: raw.grain_size,
        table_entries: raw.num_gtes_per_gt,
        descriptor: descriptor_range(&raw)?,
        directory,
        redundant_directory,
        grains_first: raw.over_head != 0 && raw.gd_offset >= raw.over_head,
        unclean_shutdown: raw.unclean_shutdown != 0,
    })
}

fn check_flags(raw: &SparseExtentHeader) -> Result<(), VmdkError> {
    let flags = raw.flags;
    let unknown = flags & INCOMPATIBLE_FLAGS & !(FLAG_COMPRESSED | FLAG_MARKERS);
    if unknown != 0 {
        return Err(VmdkError::UnknownFlags { flags, unknown });
    }
    if flags & FLAG_NEWLINES != 0 && raw.newlines != NEWLINES {
        return Err(VmdkError::Newlines { found: raw.newlines });
    }
    let stream = FLAG_COMPRESSED | FLAG_MARKERS;
    match (flags & stream, raw.compress_algorithm) {
        (0, 0) => Ok(()),
        (set, COMPRESSION_DEFLATE) if set == stream => Ok(()),
        (_, algorithm) => Err(VmdkError::Compression { algorithm, flags }),
    }
}

fn bytes_of(what: &'static str, sector: u64) -> Result<u64, VmdkError> {
    sector.checked_mul(SECTOR).ok_or(VmdkError::Sector { what, sector })
}

fn descriptor_range(raw: &SparseExtentHeader) -> Result<Range<u64>, VmdkError> {
    if raw.descriptor_offset == 0 || raw.descriptor_size == 0 {
        return Ok(0..0);
    }
    let start = bytes_of("descriptor", raw.descriptor_offset)?;
    let len = bytes_of("descriptor's end", raw.descriptor_size)?;
    if len > MAX_DESCRIPTOR {
        return Err(VmdkError::DescriptorSize { len });
    }
    let sector = raw.descriptor_offset;
    let end = start.checked_add(len).ok_or(VmdkError::Sector { what: "descriptor", sector })?;
    Ok(start..end)
}

/// Finds the footer in the last bytes of a stream, `tail` being whole sectors.
///
/// It is the last sector that is not all zeros: marker, footer, end-of-stream marker (zeros), perhaps padding.
pub(crate) fn parse_footer(tail: &[u8]) -> Result<Header, VmdkError> {
    let (sectors, _) = tail.as_chunks::<{ SECTOR as usize }>();
    let last = sectors.iter().rposition(|s| !format_core::is_zero(s)).ok_or(VmdkError::NoFooter)?;
    let marker = last.checked_sub(1).and_then(|at| sectors.get(at)).ok_or(VmdkError::NoFooter)?;
    let marker = MetadataMarker::read(&mut Cursor::new(marker)).map_err(|_| VmdkError::NoFooter)?;
    let footer = sectors.get(last).ok_or(VmdkError::NoFooter)?;
    let ended = last + 1 < sectors.len();
    if !ended || marker.size != 0 || marker.marker_type != MARKER_FOOTER || !footer.starts_with(SPARSE_MAGIC)
    {
        return Err(VmdkError::NoFooter);
    }
    parse_header(footer)
}

/// Reads the 12 bytes before a compressed grain.
pub(crate) fn parse_grain_marker(bytes: &[u8], at: u64) -> Result<GrainMarker, VmdkError> {
    GrainMarker::read(&mut Cursor::new(bytes)).map_err(|_| VmdkError::GrainStream { at })
}

/// The file's own structures, which neither tables nor grains may overlap.
#[derive(Clone, Debug)]
pub(crate) struct Reserved(pub(crate) Vec<Range<u64>>);

impl Reserved {
    pub(crate) fn overlap(&self, at: u64, len: u64) -> bool {
        let end = at.saturating_add(len);
        self.0.iter().any(|range| at < range.end && range.start < end)
    }
}
