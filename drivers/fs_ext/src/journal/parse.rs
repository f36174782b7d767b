//! Blocks of the journal to trusted values. Pure.

use super::layout::{
    DEFAULT_FAST_COMMIT_BLOCKS, FC_TAG_HEAD, FEATURE_COMPAT_CHECKSUM, FEATURE_INCOMPAT_64BIT,
    FEATURE_INCOMPAT_CSUM_V2, FEATURE_INCOMPAT_CSUM_V3, FEATURE_INCOMPAT_FAST_COMMIT, FEATURE_INCOMPAT_KNOWN,
    FLAG_LAST_TAG, FLAG_SAME_UUID, H_CHKSUM, HEADER_LEN, JBD2_CRC32_CHKSUM, JBD2_CRC32_CHKSUM_SIZE,
    JBD2_CRC32C_CHKSUM, JBD2_MAGIC_NUMBER, JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2, REVOKE_HEADER_LEN,
    S_CHECKSUM, S_SEQUENCE, S_START, SUPERBLOCK_LEN,
};
use crate::checksum::crc32c;
use crate::error::JournalError;
use driver_core::block::{be16, be32, be64, le16, le32, put};

/// The journal's superblock, checked.
#[derive(Clone)]
pub(crate) struct JournalSuperblock {
    raw: Vec<u8>,
    compat: u32,
    incompat: u32,
    /// First block of the log.
    pub(crate) first: u32,
    /// One behind the last block of the log; the fast-commit area starts here, where there is one.
    pub(crate) last: u32,
    /// Sequence of the first transaction to look for.
    pub(crate) sequence: u32,
    /// Block where the log starts, 0 when it is empty.
    pub(crate) start: u32,
    seed: u32,
}

/// `journal_header_t`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) block_type: u32,
    pub(crate) sequence: u32,
}

/// One `journal_block_tag`: a block of the file system that follows in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) block: u64,
    pub(crate) flags: u32,
    pub(crate) checksum: u32,
}

impl Header {
    /// The header of a block, `None` when it is none of the journal's own.
    pub(crate) fn parse(block: &[u8]) -> Option<Self> {
        (block.len() >= HEADER_LEN && be32(block, 0) == JBD2_MAGIC_NUMBER)
            .then(|| Self { block_type: be32(block, 4), sequence: be32(block, 8) })
    }
}

impl JournalSuperblock {
    /// The superblock in the first block of a journal that has `mapped` blocks.
    pub(crate) fn parse(block: &[u8], block_size: u32, mapped: u64) -> Result<Self, JournalError> {
        let raw = block.get(..SUPERBLOCK_LEN).unwrap_or_default().to_vec();
        let known = Header::parse(&raw)
            .filter(|header| [JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2].contains(&header.block_type));
        let Some(header) = known else {
            let possible = format!("{JBD2_MAGIC_NUMBER:#x} with block type 3 or 4");
            return Err(wrong("s_header", be32(&raw, 0), possible));
        };
        let feature = |at| if header.block_type == JBD2_SUPERBLOCK_V2 { be32(&raw, at) } else { 0 };
        let (compat, incompat, ro_compat) = (feature(0x24), feature(0x28), feature(0x2c));
        if incompat & !FEATURE_INCOMPAT_KNOWN != 0 || ro_compat != 0 {
            return Err(JournalError::Features(incompat));
        }
        let maxlen = be32(&raw, 0x10);
        let fast = match be32(&raw, 0x54) {
            _ if incompat & FEATURE_INCOMPAT_FAST_COMMIT == 0 => 0,
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            blocks => blocks,
        };
        let sb = Self {
            compat,
            incompat,
            first: be32(&raw, 0x14),
            last: maxlen.saturating_sub(fast),
            sequence: be32(&raw, S_SEQUENCE),
            start: be32(&raw, S_START),
            seed: crc32c(!0, raw.get(0x30..0x40).unwrap_or_default()),
            raw,
        };
        sb.check(block_size, maxlen, mapped)?;
        Ok(sb)
    }

    fn check(&self, block_size: u32, maxlen: u32, mapped: u64) -> Result<(), JournalError> {
        if be32(&self.raw, 0x0c) != block_size {
            return Err(wrong("s_blocksize", be32(&self.raw, 0x0c), format!("{block_size:#x}")));
        }
        if u64::from(maxlen) > mapped || maxlen < 2 {
            return Err(wrong("s_maxlen", maxlen, format!("2 to {mapped:#x}")));
        }
        if self.first == 0 || self.first >= self.last {
            return Err(wrong("s_first", self.first, format!("1 to {:#x}", self.last)));
        }
        if self.start != 0 && !(self.first..self.last).contains(&self.start) {
            return Err(wrong("s_start", self.start, format!("0 or {:#x} to {:#x}", self.first, self.last)));
        }
        let both = FEATURE_INCOMPAT_CSUM_V2 | FEATURE_INCOMPAT_CSUM_V3;
        let v1 = self.compat & FEATURE_COMPAT_CHECKSUM != 0;
        if self.incompat & both == both || (v1 && self.has_csum_v2_or_v3()) {
            return Err(wrong("s_feature_incompat", self.incompat, "one version of checksums".into()));
        }
        if self.has_csum_v2_or_v3() {
            let kind = self.raw.get(0x50).copied().unwrap_or_default();
            if kind != JBD2_CRC32C_CHKSUM {
                return Err(wrong("s_checksum_type", kind.into(), "4".into()));
            }
            let (stored, computed) = (be32(&self.raw, S_CHECKSUM), self.checksum());
            if stored != computed {
                return Err(JournalError::SuperblockChecksum { stored, computed });
            }
        }
        match be32(&self.raw, 0x20).cast_signed() {
            0 => Ok(()),
            errno => Err(JournalError::Errno(errno)),
        }
    }

    /// The bytes of a superblock that says "empty; the next transaction is `sequence`".
    pub(crate) fn emptied(&self, sequence: u32) -> Vec<u8> {
        let mut sb = self.clone();
        put(&mut sb.raw, S_SEQUENCE, &sequence.to_be_bytes());
        put(&mut sb.raw, S_START, &0u32.to_be_bytes());
        if self.has_csum_v2_or_v3() {
            let checksum = sb.checksum();
            put(&mut sb.raw, S_CHECKSUM, &checksum.to_be_bytes());
        }
        sb.raw
    }

    fn checksum(&self) -> u32 {
        let mut raw = self.raw.clone();
        put(&mut raw, S_CHECKSUM, &[0; 4]);
        crc32c(!0, &raw)
    }

    pub(crate) fn has_incompat(&self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    pub(crate) fn has_csum_v1(&self) -> bool {
        self.compat & FEATURE_COMPAT_CHECKSUM != 0
    }

    pub(crate) fn has_csum_v2_or_v3(&self) -> bool {
        self.incompat & (FEATURE_INCOMPAT_CSUM_V2 | FEATURE_INCOMPAT_CSUM_V3) != 0
    }

    fn has_csum_v3(&self) -> bool {
        self.has_incompat(FEATURE_INCOMPAT_CSUM_V3)
    }

    fn has_64bit(&self) -> bool {
        self.has_incompat(FEATURE_INCOMPAT_64BIT)
    }

    /// Whether the checksum in the last four bytes of a descriptor or revoke block is right.
    pub(crate) fn tail_is_right(&self, block: &[u8]) -> bool {
        if !self.has_csum_v2_or_v3() {
            return true;
        }
        let body = block.len().saturating_sub(4);
        let sum = crc32c(self.seed, block.get(..body).unwrap_or_default());
        crc32c(sum, &[0; 4]) == be32(block, body)
    }

    /// Whether a commit block's own checksum (v2, v3) is right.
    pub(crate) fn commit_is_right(&self, block: &[u8]) -> bool {
        let mut plain = block.to_vec();
        put(&mut plain, H_CHKSUM, &[0; 4]);
        crc32c(self.seed, &plain) == be32(block, H_CHKSUM)
    }

    /// Whether a commit block's checksum over its transaction (v1) is `computed`, or absent.
    pub(crate) fn transaction_is_right(block: &[u8], computed: u32) -> bool {
        let kind = block.get(HEADER_LEN..HEADER_LEN + 2).unwrap_or_default();
        match (kind, be32(block, H_CHKSUM)) {
            ([0, 0], 0) => true,
            (&[JBD2_CRC32_CHKSUM, JBD2_CRC32_CHKSUM_SIZE], found) => found == computed,
            _ => false,
        }
    }

    /// Whether a tag's checksum of its block, as it is in the log, is right.
    pub(crate) fn block_is_right(&self, tag_checksum: u32, sequence: u32, block: &[u8]) -> bool {
        if !self.has_csum_v2_or_v3() {
            return true;
        }
        let sum = crc32c(crc32c(self.seed, &sequence.to_be_bytes()), block);
        if self.has_csum_v3() { sum == tag_checksum } else { sum & 0xffff == tag_checksum }
    }

    /// The tags of a descriptor block.
    pub(crate) fn tags(&self, block: &[u8]) -> Vec<Tag> {
        let length = self.tag_length();
        let tail = if self.has_csum_v2_or_v3() { 4 } else { 0 };
        let end = block.len().saturating_sub(tail);
        let mut tags = Vec::new();
        let mut at = HEADER_LEN;
        while let Some(raw) = block.get(at..end).and_then(|rest| rest.get(..length)) {
            let tag = self.tag(raw);
            at += length + if tag.flags & FLAG_SAME_UUID == 0 { 16 } else { 0 };
            tags.push(tag);
            if tag.flags & FLAG_LAST_TAG != 0 {
                break;
            }
        }
        tags
    }

    fn tag_length(&self) -> usize {
        match (self.has_csum_v3(), self.has_incompat(FEATURE_INCOMPAT_CSUM_V2), self.has_64bit()) {
            (true, ..) => 16,
            (false, csum_v2, wide) => 8 + if csum_v2 { 2 } else { 0 } + if wide { 4 } else { 0 },
        }
    }

    fn tag(&self, raw: &[u8]) -> Tag {
        let high = if self.has_64bit() { u64::from(be32(raw, 8)) << 32 } else { 0 };
        let block = high | u64::from(be32(raw, 0));
        if self.has_csum_v3() {
            Tag { block, flags: be32(raw, 4), checksum: be32(raw, 12) }
        } else {
            Tag { block, flags: be16(raw, 6).into(), checksum: be16(raw, 4).into() }
        }
    }

    /// The blocks that a revoke block revokes, `None` when its count is impossible.
    pub(crate) fn revoked<'a>(&self, block: &'a [u8]) -> Option<impl Iterator<Item = u64> + 'a> {
        let width = if self.has_64bit() { 8 } else { 4 };
        let tail = if self.has_csum_v2_or_v3() { 4 } else { 0 };
        let count = be32(block, HEADER_LEN) as usize;
        if count > block.len().saturating_sub(tail) {
            return None;
        }
        let records = block.get(REVOKE_HEADER_LEN..count).unwrap_or_default();
        Some(
            records
                .chunks_exact(width)
                .map(move |record| if width == 8 { be64(record, 0) } else { be32(record, 0).into() }),
        )
    }
}

/// When a transaction was committed, in seconds.
pub(crate) fn commit_time(block: &[u8]) -> u64 {
    be64(block, 0x30)
}

/// The transaction that the fast commit starting in this block belongs to, `None` when none starts here.
pub(crate) fn fast_commit_transaction(block: &[u8]) -> Option<u32> {
    (le16(block, 0) == FC_TAG_HEAD && le16(block, 2) >= 8).then(|| le32(block, 8))
}

fn wrong(field: &'static str, value: u32, possible: String) -> JournalError {
    JournalError::Superblock { field, value: value.into(), possible }
}

/// CRC-32 as v1 checksums use it: the Ethernet polynomial, most significant bit first, not inverted.
pub(crate) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes.iter().fold(seed, |sum, byte| {
        let index = (sum >> 24) as u8 ^ byte;
        sum << 8 ^ TABLE.get(usize::from(index)).copied().unwrap_or_default()
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 != 0 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_the_catalogue() {
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_e6e7, "CRC-32/MPEG-2");
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283, "CRC-32C before inverting");
    }

    #[test]
    fn a_v1_commit_without_a_checksum_is_right() {
        let mut block = vec![0; 1024];
        assert!(JournalSuperblock::transaction_is_right(&block, 7));
        put(&mut block, HEADER_LEN, &[JBD2_CRC32_CHKSUM, JBD2_CRC32_CHKSUM_SIZE]);
        put(&mut block, H_CHKSUM, &7u32.to_be_bytes());
        assert!(JournalSuperblock::transaction_is_right(&block, 7));
        assert!(!JournalSuperblock::transaction_is_right(&block, 8));
    }
}
