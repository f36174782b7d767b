//! Blocks of B+trees and what version 5 stamps into every metadata block: where it belongs, to whom, and a checksum.

use crate::checksum::checksum;
use crate::error::XfsError;
use crate::layout::BBSIZE;
use crate::superblock::Superblock;
use crate::volume::Medium;
use driver_core::block::{array as uuid, be16, be32, be64, le32};
use format_core::Result;

/// Levels that no tree exceeds (`XFS_BTREE_MAXLEVELS`).
pub(crate) const MAX_LEVELS: u16 = 9;

/// Where a block's stamp lies.
pub(crate) struct Stamp {
    pub(crate) crc: usize,
    pub(crate) block: usize,
    pub(crate) uuid: usize,
    pub(crate) owner: usize,
    /// The owner's number has 8 bytes, else 4.
    pub(crate) wide_owner: bool,
}

impl Stamp {
    /// Whether `bytes`, which lie at `offset` and belong to `owner`, say so themselves.
    pub(crate) fn check(
        &self,
        sb: &Superblock,
        bytes: &[u8],
        offset: u64,
        owner: u64,
        what: &str,
    ) -> Result<(), XfsError> {
        let (stored, computed) = (le32(bytes, self.crc), checksum(bytes, self.crc));
        let what = || format!("{what} at {offset:#x}");
        if stored != computed {
            return Err(XfsError::Checksum { what: what(), stored, computed });
        }
        if uuid(bytes, self.uuid) != sb.meta_uuid {
            return Err(XfsError::Structure(format!("{} belongs to another file system", what())));
        }
        let found = if self.wide_owner { be64(bytes, self.owner) } else { be32(bytes, self.owner).into() };
        for (field, value, wanted) in
            [("its own place", be64(bytes, self.block), offset / BBSIZE), ("its owner", found, owner)]
        {
            if value != wanted {
                return Err(XfsError::Field { what: what(), field, value, possible: format!("{wanted:#x}") });
            }
        }
        Ok(())
    }
}

/// How the blocks of a tree begin.
pub(crate) struct Form {
    /// Bytes of the header in version 4 and 5.
    header: [usize; 2],
    stamp: Stamp,
}

/// Trees of an allocation group: pointers of 4 bytes.
pub(crate) const SHORT: Form =
    Form { header: [16, 56], stamp: Stamp { crc: 52, block: 16, uuid: 32, owner: 48, wide_owner: false } };
/// Trees of an inode: pointers of 8 bytes.
pub(crate) const LONG: Form =
    Form { header: [24, 72], stamp: Stamp { crc: 64, block: 24, uuid: 40, owner: 56, wide_owner: true } };

/// One checked block of a tree.
pub(crate) struct Node {
    bytes: Vec<u8>,
    header: usize,
    pub(crate) count: usize,
}

/// What a block is expected to be.
pub(crate) struct Expected<'a> {
    pub(crate) what: &'a str,
    pub(crate) magic: [u32; 2],
    pub(crate) owner: u64,
    pub(crate) level: u16,
    /// Bytes of one entry: a record, or key and pointer.
    pub(crate) entry_len: usize,
}

impl Form {
    pub(crate) fn load(&self, medium: &Medium, offset: u64, expected: &Expected<'_>) -> Result<Node> {
        let sb = &medium.sb;
        let bytes = medium.volume.read(offset, sb.block_size as usize)?;
        let header = self.header[sb.generation()];
        let most = (bytes.len() - header) / expected.entry_len;
        let magic = expected.magic[sb.generation()];
        let count = usize::from(be16(&bytes, 6));
        let wrong = |field, value: u64, possible: String| {
            let what = format!("{} block at {offset:#x}", expected.what);
            XfsError::Field { what, field, value, possible }
        };
        if be32(&bytes, 0) != magic {
            return Err(wrong("bb_magic", be32(&bytes, 0).into(), format!("{magic:#x}")).into());
        }
        if sb.is_v5() {
            self.stamp.check(sb, &bytes, offset, expected.owner, expected.what)?;
        }
        if be16(&bytes, 4) != expected.level {
            return Err(wrong("bb_level", be16(&bytes, 4).into(), format!("{:#x}", expected.level)).into());
        }
        // The root of an empty tree is a leaf without records.
        if count > most || (count == 0 && expected.level > 0) {
            return Err(wrong("bb_numrecs", count as u64, format!("1 to {most:#x}")).into());
        }
        Ok(Node { bytes, header, count })
    }
}

impl Node {
    /// Entry `index` of entries of `len` bytes each.
    pub(crate) fn entry(&self, index: usize, len: usize) -> &[u8] {
        let at = self.header + index * len;
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    /// Pointer `index` behind room for all keys of `key_len` bytes.
    pub(crate) fn pointer(&self, index: usize, key_len: usize, pointer_len: usize) -> u64 {
        let most = (self.bytes.len() - self.header) / (key_len + pointer_len);
        let at = self.header + most * key_len + index * pointer_len;
        if pointer_len == 8 { be64(&self.bytes, at) } else { be32(&self.bytes, at).into() }
    }
}
