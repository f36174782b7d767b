//! Bytes to trusted types: the checks of sections are here, and nothing here does I/O.

use crate::error::EwfError;
use crate::layout::{
    DELTA_MAGIC, DIGEST_LEN, ENCRYPTED_MAGIC, HASH_LEN, HEADER_LEN, LOGICAL_MAGIC, LOGICAL_MAGIC_2, MAGIC,
    MAGIC_2, MAX_CHUNK, MAX_SECTOR, MEDIA_LOGICAL, NUMBER_AT, SECTION_LEN, SECTION_NEXT_AT, SECTION_SIZE_AT,
    SECTION_SUM_AT, SET_AT, SHORT_VOLUME_LEN, TABLE_BASE_AT, TABLE_HEADER_LEN, VOLUME_LEN,
};
use format_core::{Bytes, Result, Score};
use libdeflater::adler32;
use uuid::Uuid;

fn begins(head: &[u8], magics: &[[u8; 8]]) -> Score {
    let found = head.first_chunk().is_some_and(|first: &[u8; 8]| magics.contains(first));
    if found { Score::Magic } else { Score::No }
}

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    begins(head, &[MAGIC, DELTA_MAGIC, ENCRYPTED_MAGIC])
}

pub(crate) fn probe_ewf2(head: &[u8], _: &[u8]) -> Score {
    begins(head, &[MAGIC_2, LOGICAL_MAGIC_2])
}

pub(crate) fn probe_logical(head: &[u8], _: &[u8]) -> Score {
    begins(head, &[LOGICAL_MAGIC])
}

/// The number that the header of `segment` says.
pub(crate) fn segment_number(bytes: &[u8; HEADER_LEN], segment: u32) -> Result<u16> {
    let header = Bytes::new(bytes, 0);
    match header.array(0)? {
        MAGIC => Ok(header.u16_le(NUMBER_AT)?),
        LOGICAL_MAGIC => Err(EwfError::Logical.into()),
        DELTA_MAGIC => Err(EwfError::Delta.into()),
        ENCRYPTED_MAGIC => Err(EwfError::Encrypted { segment }.into()),
        found => Err(EwfError::Signature { segment, found }.into()),
    }
}

/// The beginning of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: String,
    /// Where the next one is; its own place for the last one of a segment.
    pub(crate) next: u64,
    /// With the descriptor; 0 where the program left it out.
    pub(crate) size: u64,
    /// What is wrong with its checksum: what it says, and what it should say.
    pub(crate) wrong_sum: Option<(u32, u32)>,
}

impl Section {
    pub(crate) fn parse(bytes: &[u8; SECTION_LEN], at: u64) -> Result<Self> {
        let fields = Bytes::new(bytes, at);
        let kind: [u8; SECTION_NEXT_AT] = fields.array(0)?;
        let len = kind.iter().position(|byte| *byte == 0).unwrap_or(kind.len());
        Ok(Self {
            kind: String::from_utf8_lossy(kind.get(..len).unwrap_or_default()).into_owned(),
            next: fields.u64_le(SECTION_NEXT_AT)?,
            size: fields.u64_le(SECTION_SIZE_AT)?,
            wrong_sum: wrong_sum(&fields, SECTION_SUM_AT)?,
        })
    }
}

/// The Adler-32 at `at` and the one that the bytes before have, when they differ.
fn wrong_sum(bytes: &Bytes<'_>, at: usize) -> Result<Option<(u32, u32)>> {
    let (found, wanted) = (bytes.u32_le(at)?, adler32(bytes.slice(0, at)?));
    Ok((found != wanted).then_some((found, wanted)))
}

/// What a volume, disk or data section says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) sectors: u64,
    pub(crate) sector_size: u32,
    pub(crate) sectors_per_chunk: u32,
    /// As the program counted them; the tables say what there is.
    pub(crate) chunks: u32,
    /// Nil where the program has none.
    pub(crate) set: Uuid,
    /// Not in the short form.
    pub(crate) media: Option<Media>,
    pub(crate) wrong_sum: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) compression: u8,
    /// Sectors that are left out together when one of them cannot be read.
    pub(crate) error_granularity: u32,
}

impl Volume {
    /// Whether `len` bytes can be one.
    pub(crate) fn has_length(len: u64) -> bool {
        len >= VOLUME_LEN as u64 || (SHORT_VOLUME_LEN as u64..=SHORT_VOLUME_LEN as u64 + 8).contains(&len)
    }

    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        let fields = Bytes::new(bytes, at);
        let is_long = bytes.len() >= VOLUME_LEN;
        let volume = Self {
            chunks: fields.u32_le(4)?,
            sectors_per_chunk: fields.u32_le(8)?,
            sector_size: fields.u32_le(12)?,
            sectors: if is_long { fields.u64_le(16)? } else { fields.u32_le(16)?.into() },
            set: if is_long { Uuid::from_bytes_le(fields.array(SET_AT)?) } else { Uuid::nil() },
            media: if is_long {
                Some(Media {
                    kind: fields.u8(0)?,
                    flags: fields.u8(36)?,
                    compression: fields.u8(52)?,
                    error_granularity: fields.u32_le(56)?,
                })
            } else {
                None
            },
            wrong_sum: wrong_sum(&fields, if is_long { VOLUME_LEN } else { SHORT_VOLUME_LEN } - 4)?,
        };
        Ok(volume)
    }

    /// Refuses what cannot be a disk.
    pub(crate) fn checked(self) -> Result<Self, EwfError> {
        if self.media.is_some_and(|media| media.kind == MEDIA_LOGICAL) {
            return Err(EwfError::Logical);
        }
        let (sector_size, sectors) = (self.sector_size, self.sectors_per_chunk);
        if !(1..=MAX_SECTOR).contains(&sector_size.into()) {
            return Err(EwfError::SectorSize { found: sector_size });
        }
        if !(1..=MAX_CHUNK).contains(&self.chunk_size()) {
            return Err(EwfError::ChunkSize { sectors, sector_size });
        }
        if self.sectors.checked_mul(sector_size.into()).is_none_or(|size| size > i64::MAX as u64) {
            return Err(EwfError::DiskSize { sectors: self.sectors, sector_size });
        }
        Ok(self)
    }

    /// In bytes; 32 bits times 32.
    pub(crate) fn chunk_size(&self) -> u64 {
        u64::from(self.sectors_per_chunk) * u64::from(self.sector_size)
    }

    /// In bytes; [`Volume::checked`] knows that they can be counted.
    pub(crate) fn virtual_size(&self) -> u64 {
        self.sectors.saturating_mul(self.sector_size.into())
    }

    /// How many chunks the disk has.
    pub(crate) fn disk_chunks(&self) -> u64 {
        self.virtual_size().div_ceil(self.chunk_size().max(1))
    }

    /// What all copies of it have to agree on.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} sectors of {} bytes in chunks of {}, set {}",
            self.sectors, self.sector_size, self.sectors_per_chunk, self.set
        )
    }
}

/// The beginning of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableHeader {
    pub(crate) entries: u32,
    /// What the entries count from, in the segment.
    pub(crate) base: u64,
    pub(crate) wrong_sum: Option<(u32, u32)>,
}

impl TableHeader {
    pub(crate) fn parse(bytes: &[u8; TABLE_HEADER_LEN], at: u64) -> Result<Self> {
        let fields = Bytes::new(bytes, at);
        Ok(Self {
            entries: fields.u32_le(0)?,
            base: fields.u64_le(TABLE_BASE_AT)?,
            wrong_sum: wrong_sum(&fields, TABLE_HEADER_LEN - 4)?,
        })
    }
}

/// Hashes of the disk; all zeros means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hashes {
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) sha1: Option<[u8; 20]>,
}

fn some<const N: usize>(bytes: [u8; N]) -> Option<[u8; N]> {
    (bytes != [0; N]).then_some(bytes)
}

/// The MD5 of a hash section; `Err` with its checksum and the right one when that is wrong.
pub(crate) fn hash(bytes: &[u8; HASH_LEN]) -> Result<Result<Hashes, (u32, u32)>> {
    let fields = Bytes::new(bytes, 0);
    let hashes = Hashes { md5: some(fields.array(0)?), sha1: None };
    Ok(wrong_sum(&fields, HASH_LEN - 4)?.map_or(Ok(hashes), Err))
}

/// MD5 and SHA-1 of a digest section, as [`hash`].
pub(crate) fn digest(bytes: &[u8; DIGEST_LEN]) -> Result<Result<Hashes, (u32, u32)>> {
    let fields = Bytes::new(bytes, 0);
    let hashes = Hashes { md5: some(fields.array(0)?), sha1: some(fields.array(16)?) };
    Ok(wrong_sum(&fields, DIGEST_LEN - 4)?.map_or(Ok(hashes), Err))
}

/// As many bytes as `N` from hexadecimal digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != N * 2 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    some(bytes)
}

/// Hexadecimal digits of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
