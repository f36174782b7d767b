//! The index of a disk: a digest for each of its chunks.

use crate::digest::{Digest, digest_of_zeros, hex};
use crate::error::PbsError;
use crate::layout::{CHUNK_SIZES, DIGEST, DYNAMIC_MAGIC, FIXED_MAGIC, INDEX_HEADER, at};
use format_core::{Bytes, Page, PageCache, Result, Storage};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The digests stay in the file: a disk of 16 TiB has 128 MiB of them.
pub(crate) struct Index {
    storage: Arc<dyn Storage>,
    pages: PageCache,
    /// What the header says.
    pub(crate) header: Header,
    /// Digests of chunks of zeros: of whole ones and of the last one, with and without a key.
    zeros: Vec<(u64, Digest)>,
}

/// The header of an index, checked against the size of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Size of the disk in bytes.
    pub(crate) size: u64,
    /// Bytes of all chunks but the last.
    pub(crate) chunk_size: u64,
    /// How many chunks.
    pub(crate) chunks: u64,
    /// When the index was made, in seconds since 1970.
    pub(crate) time: i64,
    /// A number of its own.
    pub(crate) uuid: [u8; 16],
    /// SHA-256 of the digests.
    pub(crate) sum: Digest,
}

impl Header {
    /// Reads the header in `bytes`, the beginning of a file of `file_size` bytes.
    pub(crate) fn parse(bytes: &[u8], file_size: u64) -> Result<Self, PbsError> {
        let short = |_| PbsError::IndexShort { size: file_size };
        let fields = Bytes::new(bytes, 0);
        let magic: [u8; 8] = fields.array(0).map_err(short)?;
        if magic == DYNAMIC_MAGIC {
            return Err(PbsError::Archive);
        }
        if magic != FIXED_MAGIC {
            return Err(PbsError::IndexMagic { found: u64::from_be_bytes(magic) });
        }
        if bytes.len() < INDEX_HEADER {
            return Err(PbsError::IndexShort { size: file_size });
        }
        let size = fields.u64_le(at::SIZE).map_err(short)?;
        let chunk_size = fields.u64_le(at::CHUNK_SIZE).map_err(short)?;
        if !chunk_size.is_power_of_two() || !CHUNK_SIZES.contains(&chunk_size) {
            return Err(PbsError::ChunkSize { found: chunk_size });
        }
        if size == 0 {
            return Err(PbsError::Empty);
        }
        let chunks = size.div_ceil(chunk_size);
        let wanted = chunks.saturating_mul(DIGEST as u64).saturating_add(INDEX_HEADER as u64);
        if wanted != file_size {
            return Err(PbsError::IndexLength { found: file_size, wanted, chunks, size });
        }
        Ok(Self {
            size,
            chunk_size,
            chunks,
            time: fields.u64_le(at::TIME).map_err(short)?.cast_signed(),
            uuid: fields.array(at::UUID).map_err(short)?,
            sum: fields.array(at::SUM).map_err(short)?,
        })
    }

    /// How many bytes the chunk with this number has.
    pub(crate) fn len_of(&self, number: u64) -> u64 {
        self.size.saturating_sub(number.saturating_mul(self.chunk_size)).min(self.chunk_size)
    }
}

/// The header of the index in `storage`.
pub(crate) fn load_header(storage: &dyn Storage) -> Result<Header> {
    let size = storage.size();
    let mut bytes = vec![0; size.min(INDEX_HEADER as u64) as usize];
    storage.read_exact_at(0, &mut bytes)?;
    Ok(Header::parse(&bytes, size)?)
}

impl Index {
    /// Opens the index in `storage` and compares the digests with their checksum. `suffix` is the key's part of digests.
    pub(crate) fn open(storage: Arc<dyn Storage>, suffix: Option<&[u8]>) -> Result<Self> {
        let header = load_header(storage.as_ref())?;
        let found = sum_of(storage.as_ref())?;
        if found != header.sum {
            return Err(PbsError::IndexSum { found: hex(&found), wanted: hex(&header.sum) }.into());
        }
        let last = header.len_of(header.chunks.saturating_sub(1));
        let lens = [header.chunk_size, last];
        let suffixes = [Some(&[][..]), suffix];
        let zeros = lens
            .iter()
            .flat_map(|len| suffixes.iter().flatten().map(|suffix| (*len, digest_of_zeros(*len, suffix))));
        let zeros = zeros.collect();
        Ok(Self { storage, pages: PageCache::default(), header, zeros })
    }

    /// The digest of the chunk with this number.
    pub(crate) fn digest(&self, number: u64) -> Result<Digest> {
        let (page, inside) = self.page_of(number)?;
        Bytes::new(&page, INDEX_HEADER as u64).array(inside)
    }

    /// The page with the digest of the chunk with this number, and where in it that lies.
    fn page_of(&self, number: u64) -> Result<(Page, usize)> {
        const IN_PAGE: u64 = (PageCache::MAX_PAGE / DIGEST) as u64;
        let first = number / IN_PAGE * IN_PAGE;
        let len = self.header.chunks.saturating_sub(first).min(IN_PAGE) as usize * DIGEST;
        let page_at = (INDEX_HEADER as u64).saturating_add(first.saturating_mul(DIGEST as u64));
        let page = self.pages.page(self.storage.as_ref(), page_at, len)?;
        Ok((page, (number - first) as usize * DIGEST))
    }

    /// Whether the chunk with this number and digest holds nothing but zeros.
    pub(crate) fn is_zero(&self, number: u64, digest: &Digest) -> bool {
        let len = self.header.len_of(number);
        self.zeros.iter().any(|(zeros, known)| *zeros == len && known == digest)
    }

    /// Whether the chunk with this number is one of zeros, and how many from it on are alike, itself included; it looks
    /// no further than a page.
    pub(crate) fn run_at(&self, number: u64) -> Result<(bool, u64)> {
        let (page, inside) = self.page_of(number)?;
        let (digests, _) = page.get(inside..).unwrap_or_default().as_chunks();
        let kinds = digests.iter().zip(number..).map(|(digest, number)| self.is_zero(number, digest));
        let mut kinds = kinds.peekable();
        let is_zero = kinds.peek().copied().unwrap_or(false);
        let alike = kinds.take_while(|kind| *kind == is_zero).count();
        Ok((is_zero, (alike as u64).max(1)))
    }
}

/// SHA-256 of the digests in an index.
fn sum_of(storage: &dyn Storage) -> Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = INDEX_HEADER as u64;
    while offset < storage.size() {
        let part = (storage.size() - offset).min(buffer.len() as u64);
        let bytes = &mut buffer[..part as usize];
        storage.read_exact_at(offset, bytes)?;
        hasher.update(&*bytes);
        offset += part;
    }
    Ok(hasher.finalize().into())
}
