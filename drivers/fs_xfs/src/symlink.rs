//! Where symbolic links point: in the inode, or in blocks that version 5 gives a header.

use crate::btree::Stamp;
use crate::error::XfsError;
use crate::extents;
use crate::inode::{Format, Inode};
use crate::layout::{SYMLINK_MAXLEN, XFS_SYMLINK_MAGIC};
use crate::volume::Medium;
use driver_core::block::be32;
use format_core::Result;

const STAMP: Stamp = Stamp { crc: 12, block: 40, uuid: 16, owner: 32, wide_owner: true };
const HEADER: usize = 56;

pub(crate) fn load(medium: &Medium, inode: &Inode) -> Result<Vec<u8>> {
    let broken = |why: String| XfsError::Structure(format!("link with inode {:#x}: {why}", inode.ino));
    if inode.size == 0 || inode.size > SYMLINK_MAXLEN {
        return Err(broken(format!("its size is {:#x}", inode.size)).into());
    }
    let size = inode.size as usize;
    if inode.format == Format::Local {
        return Ok(inode.fork().get(..size).unwrap_or_default().to_vec());
    }
    let sb = &medium.sb;
    let mut target = Vec::new();
    for extent in extents::load(medium, inode)? {
        let left = size - target.len();
        if left == 0 {
            break;
        }
        // A target takes two blocks of 1 KiB or three of 512 bytes at most.
        let len = extent.count.saturating_mul(sb.block_size.into());
        if len > 2 * SYMLINK_MAXLEN.max(sb.block_size.into()) {
            return Err(broken(format!("an extent of {len:#x} bytes")).into());
        }
        let offset = sb.block_offset(extent.block);
        let bytes = medium.volume.read(offset, len as usize)?;
        if !sb.is_v5() {
            target.extend_from_slice(bytes.get(..left).unwrap_or(&bytes));
            continue;
        }
        if be32(&bytes, 0) != XFS_SYMLINK_MAGIC {
            return Err(
                broken(format!("the block at {offset:#x} has the magic {:#x}", be32(&bytes, 0))).into()
            );
        }
        STAMP.check(sb, &bytes, offset, inode.ino, "link block")?;
        let (at, count) = (be32(&bytes, 4) as usize, be32(&bytes, 8) as usize);
        let part = bytes
            .get(HEADER..)
            .and_then(|rest| rest.get(..count))
            .filter(|_| at == target.len() && count <= left);
        let part = part.ok_or_else(|| broken(format!("{count:#x} bytes of it at {at:#x}")))?;
        target.extend_from_slice(part);
    }
    match target.len() == size {
        true => Ok(target),
        false => {
            Err(broken(format!("{:#x} of {size:#x} bytes of its target are there", target.len())).into())
        }
    }
}
