//! Editing: a file's content is overwritten in the blocks that the file has. Everything is checked before the first write.

use crate::ag::{Ag, Budget};
use crate::error::XfsError;
use crate::extents::{self, Extent};
use crate::fs::XfsFs;
use crate::inode::Inode;
use crate::layout::S_IFREG;
use driver_core::Change;
use format_core::{Error, ErrorKind, Result};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Blocks in front of an allocation group hold four sectors of headers.
const AG_HEADERS: u64 = 4;

/// What an edit will write: nothing in here can fail but the volume.
struct Overwrite {
    inode: Inode,
    extents: Vec<Extent>,
    /// The first byte of the file that changes.
    from: u64,
    /// The file's size afterwards.
    size: u64,
}

impl XfsFs {
    pub(crate) fn refuse_names(&self, what: &str, path: &str) -> Error {
        self.editable().err().unwrap_or_else(|| {
            XfsError::InPlaceOnly(format!("{path} is {what}, and no name can be added or removed")).into()
        })
    }

    /// Whether `change` of what `path` names could be made.
    pub(crate) fn rehearse(&self, path: &str, change: Change) -> Result<()> {
        match change {
            Change::Content { size } => self.prepare(path, 0, size).map(|_| ()),
            Change::Append { bytes } => {
                let size = self.find_kind(path, S_IFREG)?.size;
                self.prepare(path, size, size.saturating_add(bytes)).map(|_| ())
            }
            Change::Create => Err(self.refuse_names("new", path)),
            Change::Remove => Err(self.refuse_names("to be removed", path)),
        }
    }

    pub(crate) fn replace(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let overwrite = self.prepare(path, 0, content.len() as u64)?;
        self.overwrite(&overwrite, content)
    }

    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let from = self.find_kind(path, S_IFREG)?.size;
        let overwrite = self.prepare(path, from, from.saturating_add(bytes.len() as u64))?;
        self.overwrite(&overwrite, bytes)
    }

    /// Checks that bytes `from` to `size` of the file can be written where they are, and that the file can end at `size`.
    fn prepare(&self, path: &str, from: u64, size: u64) -> Result<Overwrite> {
        self.editable()?;
        self.find_kind(path, S_IFREG)?;
        let mut chain = self.chain(path)?.unwrap_or_default();
        let inode = chain.pop().ok_or_else(|| Error::usage(format!("there is no {path:?}")))?;
        if inode.is_realtime() {
            return Err(XfsError::Realtime(path.to_owned()).into());
        }
        self.check_all(path, &chain, inode, from, size).map_err(|error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Limit => {
                XfsError::Unsafe { what: path.to_owned(), reason: error.message().to_owned() }.into()
            }
            _ => error,
        })
    }

    fn check_all(
        &self,
        path: &str,
        folders: &[Inode],
        inode: Inode,
        from: u64,
        size: u64,
    ) -> Result<Overwrite> {
        let sb = &self.medium.sb;
        let block_size = u64::from(sb.block_size);
        let (extents, tree) = extents::load_with_tree(&self.medium, &inode)?;
        let (first, end) = (from / block_size, size.div_ceil(block_size));
        let room = written_until(&extents, first);
        if room < end {
            let (needed, has) = (size, room * block_size);
            let text =
                format!("{path} would need {needed} bytes, and {has} are allocated and written for it");
            return Err(XfsError::InPlaceOnly(text).into());
        }
        let budget = Budget::default();
        self.check_inode(&inode, &budget)?;
        let touched = extents.iter().filter_map(|extent| {
            let start = extent.start.max(first);
            let count = extent.end().min(end).saturating_sub(start);
            let block = extent.block + (start - extent.start).min(extent.count);
            (count > 0).then_some(Extent { start, block, count, unwritten: false })
        });
        let touched: Vec<Extent> = touched.collect();
        for extent in &touched {
            self.check_blocks(path, &inode, *extent, &budget)?;
        }
        self.check_apart(&touched, folders, &inode, &tree)?;
        Ok(Overwrite { inode, extents, from, size })
    }

    /// The inode must be one by the tree of inodes too.
    fn check_inode(&self, inode: &Inode, budget: &Budget) -> Result<()> {
        let place = self.medium.sb.inode_place(inode.ino);
        let (ag, number, _) = place.ok_or_else(|| unsafe_blocks(inode, "the inode is outside"))?;
        match Ag::load(&self.medium, ag, budget)?.is_inode_used(number)? {
            true => Ok(()),
            false => Err(unsafe_blocks(inode, "the inode is free").into()),
        }
    }

    /// The blocks must be this file's, and its alone.
    fn check_blocks(&self, path: &str, inode: &Inode, extent: Extent, budget: &Budget) -> Result<()> {
        let sb = &self.medium.sb;
        let (ag_number, start) = sb.split_block(extent.block);
        let blocks = start..start + extent.count;
        let headers = (AG_HEADERS * u64::from(sb.sector_size)).div_ceil(sb.block_size.into());
        let (log_ag, log_start) = sb.split_block(sb.log_start);
        let log = log_start..log_start + u64::from(sb.log_blocks);
        let in_log = log_ag == ag_number && blocks.start < log.end && blocks.end > log.start;
        if blocks.start < headers || in_log {
            return Err(unsafe_blocks(inode, "a block of it is the file system's own").into());
        }
        let ag = Ag::load(&self.medium, ag_number as u32, budget)?;
        if ag.has_roots(&blocks) {
            return Err(unsafe_blocks(inode, "a block of it is the file system's own").into());
        }
        if ag.has_free(blocks.clone())? {
            return Err(unsafe_blocks(inode, "a block of it is free").into());
        }
        if ag.has_inodes(blocks.clone())? {
            return Err(unsafe_blocks(inode, "a block of it holds inodes").into());
        }
        if ag.has_shared(blocks.clone())? {
            let text = format!("{path} shares blocks with another file (a reflink copy)");
            return Err(XfsError::InPlaceOnly(text).into());
        }
        let Some(owners) = ag.owners(blocks.clone())? else { return Ok(()) };
        let mut next = blocks.start;
        for owner in owners {
            let from = owner.blocks.start.max(next);
            let in_file = owner.offset.checked_add(from - owner.blocks.start);
            if owner.ino != inode.ino || from != next || in_file != Some(extent.start + (from - start)) {
                break;
            }
            next = owner.blocks.end;
        }
        match next >= blocks.end {
            true => Ok(()),
            false => Err(unsafe_blocks(inode, "a block of it belongs to something else").into()),
        }
    }

    /// No block may be written twice, nor be one that leads to the file: a damaged file system without a tree of owners shows
    /// it in no other way.
    fn check_apart(&self, touched: &[Extent], folders: &[Inode], inode: &Inode, tree: &[u64]) -> Result<()> {
        let size = u64::from(self.medium.sb.block_size);
        let range = |block: u64, count: u64| {
            let start = self.medium.sb.block_offset(block);
            start..start + count * size
        };
        let mut ranges: Vec<(Range<u64>, bool)> =
            touched.iter().map(|extent| (range(extent.block, extent.count), true)).collect();
        ranges.extend(tree.iter().map(|block| (range(*block, 1), false)));
        for inode in folders.iter().chain([inode]) {
            let block = inode.offset / size * size;
            ranges.push((block..block + size, false));
        }
        for folder in folders {
            let (extents, tree) = extents::load_with_tree(&self.medium, folder)?;
            ranges.extend(extents.iter().map(|extent| (range(extent.block, extent.count), false)));
            ranges.extend(tree.iter().map(|block| (range(*block, 1), false)));
        }
        ranges.sort_unstable_by_key(|(range, _)| range.start);
        let (mut written, mut known) = (0, 0);
        for (range, is_written) in ranges {
            if range.start < written || (is_written && range.start < known) {
                return Err(unsafe_blocks(inode, "a block of it is used twice").into());
            }
            let end = if is_written { &mut written } else { &mut known };
            *end = range.end.max(*end);
        }
        Ok(())
    }

    /// Writes the data, zeros up to the end of the last block, then the inode.
    fn overwrite(&mut self, overwrite: &Overwrite, bytes: &[u8]) -> Result<()> {
        let block_size = u64::from(self.medium.sb.block_size);
        let Overwrite { inode, extents, from, size } = overwrite;
        let tail = vec![0; (size.next_multiple_of(block_size) - size) as usize];
        self.write_content(extents, *from, bytes)?;
        self.write_content(extents, *size, &tail)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.medium.volume.write(inode.offset, &inode.changed(*size, now))
    }

    fn write_content(&self, extents: &[Extent], offset: u64, bytes: &[u8]) -> Result<()> {
        let sb = &self.medium.sb;
        let size = u64::from(sb.block_size);
        let end = offset + bytes.len() as u64;
        for extent in extents {
            let (from, to) = ((extent.start * size).max(offset), (extent.end() * size).min(end));
            if from < to {
                let part = bytes.get((from - offset) as usize..(to - offset) as usize).unwrap_or_default();
                self.medium
                    .volume
                    .write(sb.block_offset(extent.block) + (from - extent.start * size), part)?;
            }
        }
        Ok(())
    }
}

fn unsafe_blocks(inode: &Inode, reason: &str) -> XfsError {
    XfsError::Structure(format!("inode {:#x}: {reason}", inode.ino))
}

/// The first block from `first` on that is not there, or not written yet.
fn written_until(extents: &[Extent], first: u64) -> u64 {
    let mut next = first;
    for extent in extents.iter().filter(|extent| extent.end() > first) {
        if extent.start > next || extent.unwritten {
            break;
        }
        next = extent.end();
    }
    next
}
