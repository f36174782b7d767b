//! Which blocks belong to which inode, and which to the file system itself.

use crate::callbacks::take_run;
use crate::raw::{self, RawGroup};
use crate::{Error, Filesystem, Result};

/// What a run of blocks is to its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// The content of a file or folder.
    Content,
    /// Where its content lies: indirect blocks, nodes of the extent tree.
    Mapping,
    /// Extended attributes.
    Attributes,
    /// None: the inode's blocks cannot be followed any further.
    Broken,
}

impl RunKind {
    pub(crate) fn of(raw: u32) -> Self {
        match raw {
            0 => Self::Content,
            1 => Self::Mapping,
            2 => Self::Attributes,
            _ => Self::Broken,
        }
    }
}

/// Neighbouring blocks of one inode. The numbers are as found: they can lie anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The inode.
    pub ino: u32,
    /// The first block.
    pub block: u64,
    /// How many.
    pub count: u64,
    /// What they are.
    pub kind: RunKind,
}

/// Where a block group has its own structures, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The superblock or its backup, where the group has one.
    pub super_block: Option<u64>,
    /// First block and number of blocks of the group descriptors or their backup; 0 blocks where there is none.
    pub descriptors: (u64, u64),
    /// The block bitmap.
    pub block_bitmap: u64,
    /// The inode bitmap.
    pub inode_bitmap: u64,
    /// First block and number of blocks of the inode table.
    pub inode_table: (u64, u64),
    /// Where the blocks at the group's start end that hold superblock, descriptors and the room for more of them.
    pub base_end: u64,
    /// Free clusters, as its descriptor says; a cluster is a block without the feature `bigalloc`.
    pub free_clusters: u32,
    /// Whether its block bitmap was never written: then nothing but metadata is in use.
    pub no_bitmap: bool,
    /// Whether the descriptor's checksum is right, or there is none.
    pub descriptor_is_right: bool,
}

impl Filesystem {
    /// Calls `visit` with the blocks of every inode that has a name, until it returns `false`.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`], for the inode tables.
    pub fn for_each_run(&self, mut visit: &mut dyn FnMut(Run) -> bool) -> Result<()> {
        let context = (&raw mut visit).cast();
        // SAFETY: `as_raw` is open and used by one call at a time: `visit` cannot reach this value, which is not `Sync`,
        // but through `&self`, whose methods the library allows while it scans. `take_run` expects the visitor.
        Error::check(unsafe { raw::rh_runs(self.as_raw(), take_run, context) })
    }

    /// The block group `number`, `None` behind the last one.
    #[must_use]
    pub fn group(&self, number: u32) -> Option<Group> {
        let mut found = RawGroup::default();
        // SAFETY: `as_raw` is open and used by one call at a time; `found` has the shim's layout.
        let exists = unsafe { raw::rh_group(self.as_raw(), number, &raw mut found) } != 0;
        exists.then(|| Group {
            super_block: (found.has_super != 0).then_some(found.super_block),
            descriptors: (found.descriptors, found.descriptor_blocks.into()),
            block_bitmap: found.block_bitmap,
            inode_bitmap: found.inode_bitmap,
            inode_table: (found.inode_table, found.inode_table_blocks.into()),
            base_end: found.base_end,
            free_clusters: found.free_clusters,
            no_bitmap: found.no_bitmap != 0,
            descriptor_is_right: found.descriptor_is_right != 0,
        })
    }

    /// Whether `bitmap`, the bytes of the block bitmap of group `number` that have bits, has the checksum that the group's
    /// descriptor names, or there is none.
    #[must_use]
    pub fn bitmap_is_right(&self, number: u32, bitmap: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bitmap.len()) else { return false };
        // SAFETY: `as_raw` is open and used by one call at a time; the library reads `length` bytes and keeps nothing.
        unsafe { raw::rh_bitmap_is_right(self.as_raw(), number, bitmap.as_ptr().cast(), length) != 0 }
    }
}
