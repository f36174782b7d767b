//! Names in a folder: kept in the inode, in one block, or in many with indexes that are not needed to find them all.

use crate::btree::Stamp;
use crate::error::XfsError;
use crate::extents::{self, Extent};
use crate::inode::{Format, Inode};
use crate::layout::{DIR2_LEAF_OFFSET, XFS_DIR2_BLOCK_MAGIC, XFS_DIR2_DATA_MAGIC};
use crate::volume::Medium;
use driver_core::block::{be16, be32, be64, byte};
use format_core::Result;
use std::collections::BTreeMap;

/// Names in one folder at most.
const MAX_ENTRIES: usize = 1 << 20;
/// Bytes of one folder's names at most.
const MAX_BYTES: u64 = 128 << 20;
const STAMP: Stamp = Stamp { crc: 4, block: 8, uuid: 24, owner: 40, wide_owner: true };
/// Bytes in front of the names of a block, in version 4 and 5.
const HEADER: [usize; 2] = [16, 64];
const FREE_TAG: [u8; 2] = [0xff, 0xff];

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) ino: u64,
    /// `XFS_DIR3_FT_*`, 0 where the file system does not say.
    pub(crate) file_type: u8,
}

/// The names of a folder, without `.` and `..`.
pub(crate) type Names = BTreeMap<Vec<u8>, Target>;

/// All names of the folder `inode`.
pub(crate) fn load(medium: &Medium, inode: &Inode) -> Result<Names> {
    let mut folder = Folder { medium, ino: inode.ino, names: Names::new() };
    match inode.format {
        Format::Local => folder.short(inode)?,
        _ => folder.blocks(inode)?,
    }
    Ok(folder.names)
}

struct Folder<'a> {
    medium: &'a Medium,
    ino: u64,
    names: Names,
}

impl Folder<'_> {
    fn broken(&self, why: impl std::fmt::Display) -> XfsError {
        XfsError::Structure(format!("folder with inode {:#x}: {why}", self.ino))
    }

    /// `xfs_dir2_sf_hdr`: names in the inode, with inode numbers of 4 or 8 bytes.
    fn short(&mut self, inode: &Inode) -> Result<(), XfsError> {
        let bytes = inode.fork().get(..inode.size as usize).unwrap_or_default();
        let (count, wide) = (byte(bytes, 0), byte(bytes, 1) != 0);
        let number_len = if wide { 8 } else { 4 };
        let type_len = usize::from(self.medium.sb.has_file_types());
        let mut at = 2 + number_len;
        for _ in 0..count {
            let len = usize::from(byte(bytes, at));
            let end = at + 3 + len + type_len + number_len;
            if end > bytes.len() {
                return Err(self.broken(format!("the name at {at:#x} leaves the inode")));
            }
            let name = bytes.get(at + 3..at + 3 + len).unwrap_or_default();
            let file_type = if type_len == 1 { byte(bytes, at + 3 + len) } else { 0 };
            let number_at = end - number_len;
            let ino = if wide { be64(bytes, number_at) } else { be32(bytes, number_at).into() };
            self.add(name, Target { ino, file_type })?;
            at = end;
        }
        Ok(())
    }

    fn blocks(&mut self, inode: &Inode) -> Result<()> {
        let block_len = u64::from(self.medium.sb.dir_block_size());
        if !inode.size.is_multiple_of(block_len) || inode.size > DIR2_LEAF_OFFSET {
            return Err(self.broken(format!("its size {:#x} is not one of a folder", inode.size)).into());
        }
        let extents = extents::load(self.medium, inode)?;
        let per_block = block_len / u64::from(self.medium.sb.block_size);
        let (mut next, mut seen) = (0, 0);
        for extent in &extents {
            let last = extent.end().div_ceil(per_block).min(inode.size / block_len);
            for number in next.max(extent.start / per_block)..last {
                seen += block_len;
                if seen > MAX_BYTES {
                    let what = format!("folder with inode {:#x}", self.ino);
                    return Err(XfsError::Limit { what, limit: MAX_BYTES, of: "bytes" }.into());
                }
                self.block(&extents, number * per_block, per_block)?;
                next = number + 1;
            }
        }
        Ok(())
    }

    /// The names in the block of the folder that begins at block `start` of its data.
    fn block(&mut self, extents: &[Extent], start: u64, per_block: u64) -> Result<()> {
        let sb = &self.medium.sb;
        let place = |block: u64| {
            let extent = extents.get(extents.partition_point(|extent| extent.end() <= block))?;
            (extent.start <= block && !extent.unwritten)
                .then(|| sb.block_offset(extent.block + (block - extent.start)))
        };
        let mut bytes = Vec::with_capacity(sb.dir_block_size() as usize);
        for block in start..start + per_block {
            let at = place(block).ok_or_else(|| self.broken(format!("its block {block:#x} is a hole")))?;
            bytes.extend(self.medium.volume.read(at, sb.block_size as usize)?);
        }
        let offset = place(start).unwrap_or_default();
        let magics = [XFS_DIR2_BLOCK_MAGIC, XFS_DIR2_DATA_MAGIC].map(|pair| pair[sb.generation()]);
        let magic = be32(&bytes, 0);
        if !magics.contains(&magic) || (magic == magics[0] && start > 0) {
            return Err(self.broken(format!("the block at {offset:#x} has the magic {magic:#x}")).into());
        }
        if sb.is_v5() {
            STAMP.check(sb, &bytes, offset, self.ino, "folder block")?;
        }
        let mut end = bytes.len();
        if magic == magics[0] {
            // Hashes of the names and their count lie at the end.
            let count = be32(&bytes, end - 8) as usize;
            let tail = count.checked_mul(8).and_then(|len| len.checked_add(8)).filter(|len| *len <= end);
            end -=
                tail.ok_or_else(|| self.broken(format!("{count:#x} hashes in the block at {offset:#x}")))?;
        }
        Ok(self.data(bytes.get(..end).unwrap_or_default(), offset)?)
    }

    /// Names and gaps, one after the other.
    fn data(&mut self, bytes: &[u8], offset: u64) -> Result<(), XfsError> {
        let type_len = usize::from(self.medium.sb.has_file_types());
        let mut at = HEADER[self.medium.sb.generation()];
        while at < bytes.len() {
            let here = offset + at as u64;
            let is_gap = bytes.get(at..at + 2) == Some(&FREE_TAG);
            let len = match is_gap {
                true => usize::from(be16(bytes, at + 2)),
                false => (11 + usize::from(byte(bytes, at + 8)) + type_len).next_multiple_of(8),
            };
            let tag = (at + len).checked_sub(2).map(|tag_at| be16(bytes, tag_at));
            if len < 8 || !len.is_multiple_of(8) || at + len > bytes.len() || tag != Some(at as u16) {
                return Err(self.broken(format!("the entry at {here:#x} has {len:#x} bytes or a wrong tag")));
            }
            if !is_gap {
                let name_len = usize::from(byte(bytes, at + 8));
                let name = bytes.get(at + 9..at + 9 + name_len).unwrap_or_default();
                let file_type = if type_len == 1 { byte(bytes, at + 9 + name_len) } else { 0 };
                self.add(name, Target { ino: be64(bytes, at), file_type })?;
            }
            at += len;
        }
        Ok(())
    }

    fn add(&mut self, name: &[u8], target: Target) -> Result<(), XfsError> {
        if name == b"." || name == b".." {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(name);
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(self.broken(format!("{shown:?} is no name")));
        }
        if self.medium.sb.inode_place(target.ino).is_none() {
            return Err(
                self.broken(format!("{shown:?} has inode {:#x}, outside the file system", target.ino))
            );
        }
        if self.names.len() >= MAX_ENTRIES {
            let what = format!("folder with inode {:#x}", self.ino);
            return Err(XfsError::Limit { what, limit: MAX_ENTRIES as u64, of: "names" });
        }
        match self.names.insert(name.to_vec(), target) {
            None => Ok(()),
            Some(_) => Err(self.broken(format!("{shown:?} is in it twice"))),
        }
    }
}
