//! Every check of the header and of table entries; no input or output in here.

use crate::error::{Misplaced, QcowError};
use crate::layout::{
    CRYPT_AES, CRYPT_NONE, ENTRY_LEN, HEADER_LEN, Header, MAGIC, MAX_BACKING_NAME, MAX_CLUSTER_BITS,
    MAX_L1_LEN, MAX_L2_BITS, MIN_CLUSTER_BITS, MIN_L2_BITS, OFLAG_COMPRESSED, VERSION,
};
use format_core::units::SECTOR;
use format_core::{Bytes, Score};

pub(crate) fn probe(head: &[u8], _tail: &[u8]) -> Score {
    // Later versions are another format.
    let is_first = Bytes::new(head, 0).u32_be(4).is_ok_and(|version| version == VERSION);
    if head.starts_with(&MAGIC) && is_first { Score::Magic } else { Score::No }
}

/// The sizes that say where everything lies, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    cluster_bits: u8,
    l2_bits: u8,
    pub(crate) l1_table_offset: u64,
    /// Of the disk.
    pub(crate) size: u64,
    pub(crate) file_size: u64,
}

/// What a header says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) geometry: Geometry,
    /// Where the name of the backing file lies, and its length.
    pub(crate) backing_name: Option<(u64, u32)>,
    pub(crate) is_encrypted: bool,
    pub(crate) mtime: u32,
}

/// What an L2 entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// The backing file shows through.
    Unallocated,
    /// At this place of the file.
    Data(u64),
    Compressed {
        offset: u64,
        len: u64,
    },
}

/// Checks a header of a file of `size` bytes.
pub(crate) fn parse_header(header: &Header, size: u64) -> Result<Image, QcowError> {
    if header.magic != MAGIC {
        return Err(QcowError::Magic(header.magic));
    }
    if header.version != VERSION {
        return Err(QcowError::Version(header.version));
    }
    let Header { cluster_bits, l2_bits, crypt_method, .. } = *header;
    if !(MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&cluster_bits) {
        return Err(QcowError::ClusterBits(cluster_bits));
    }
    if !(MIN_L2_BITS..=MAX_L2_BITS).contains(&l2_bits) {
        return Err(QcowError::L2Bits(l2_bits));
    }
    if crypt_method != CRYPT_NONE && crypt_method != CRYPT_AES {
        return Err(QcowError::CryptMethod(crypt_method));
    }
    let l1_table_offset = header.l1_table_offset;
    let geometry = Geometry { cluster_bits, l2_bits, l1_table_offset, size: header.size, file_size: size };
    let len = geometry.l1_len();
    if len > MAX_L1_LEN {
        return Err(QcowError::L1TooLarge { len });
    }
    if !lies_between(l1_table_offset, len, size) {
        return Err(QcowError::L1Place { offset: l1_table_offset, len, size });
    }
    Ok(Image {
        geometry,
        backing_name: backing_place(header, size)?,
        is_encrypted: crypt_method == CRYPT_AES,
        mtime: header.mtime,
    })
}

fn backing_place(header: &Header, size: u64) -> Result<Option<(u64, u32)>, QcowError> {
    let (offset, len) = (header.backing_file_offset, header.backing_file_size);
    if offset == 0 {
        return Ok(None);
    }
    if len == 0 || len > MAX_BACKING_NAME {
        return Err(QcowError::BackingLength { len });
    }
    if !lies_between(offset, len.into(), size) {
        return Err(QcowError::BackingPlace { offset, len, size });
    }
    Ok(Some((offset, len)))
}

/// Whether the bytes lie behind the header and in the file.
fn lies_between(offset: u64, len: u64, size: u64) -> bool {
    offset >= HEADER_LEN as u64 && offset.checked_add(len).is_some_and(|end| end <= size)
}

/// The name from its bytes at `offset`.
pub(crate) fn parse_backing_name(bytes: &[u8], offset: u64) -> Result<String, QcowError> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok("") => Err(QcowError::BackingLength { len: 0 }),
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(QcowError::BackingText { offset }),
    }
}

impl Geometry {
    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an L2 table.
    pub(crate) fn l2_len(&self) -> u64 {
        ENTRY_LEN << self.l2_bits
    }

    /// Guest bytes that one L2 table describes.
    pub(crate) fn l2_coverage(&self) -> u64 {
        1 << (self.cluster_bits + self.l2_bits)
    }

    /// Bytes of the L1 table; a disk of 2^64 bytes needs 2^52.
    pub(crate) fn l1_len(&self) -> u64 {
        self.size.div_ceil(self.l2_coverage()) * ENTRY_LEN
    }

    /// The L2 table of an L1 entry.
    pub(crate) fn l2_table(&self, entry: u64) -> Result<Option<u64>, Misplaced> {
        if entry == 0 {
            return Ok(None);
        }
        self.check_place(entry, self.l2_len()).map(|()| Some(entry))
    }

    /// What the L2 entry for the cluster at guest offset `guest` says.
    pub(crate) fn cluster(&self, entry: u64, guest: u64) -> Result<Cluster, Misplaced> {
        if entry == 0 {
            return Ok(Cluster::Unallocated);
        }
        if entry & OFLAG_COMPRESSED != 0 {
            let shift = 63 - self.cluster_bits;
            let offset = entry & ((1 << shift) - 1);
            let len = entry >> shift & (self.cluster_size() - 1);
            return self.check_place(offset, len).map(|()| Cluster::Compressed { offset, len });
        }
        if !entry.is_multiple_of(SECTOR) {
            return Err(Misplaced::Unaligned { offset: entry });
        }
        // The last cluster has to be there as far as the disk uses it.
        let used = self.size.saturating_sub(guest).min(self.cluster_size()).next_multiple_of(SECTOR);
        self.check_place(entry, used).map(|()| Cluster::Data(entry))
    }

    fn check_place(&self, offset: u64, len: u64) -> Result<(), Misplaced> {
        if offset < HEADER_LEN as u64 {
            return Err(Misplaced::InHeader { offset });
        }
        match offset.checked_add(len) {
            Some(end) if end <= self.file_size => Ok(()),
            _ => Err(Misplaced::Outside { offset, len, size: self.file_size }),
        }
    }
}
