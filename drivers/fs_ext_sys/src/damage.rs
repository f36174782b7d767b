//! What is wrong with inodes that are to be edited.

use crate::raw::{self, RawDamage};
use crate::{Error, Filesystem, Result};
use std::fmt;

/// Why an inode must not be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A name leads to an inode that no name may lead to.
    NotAFile,
    /// The inode bitmap says that the inode is free.
    FreeInode,
    /// It maps this block outside the file system.
    Outside(u64),
    /// It maps this block of the file system itself: superblocks, descriptors, bitmaps, inodes, the journal.
    Own(u64),
    /// It maps this block, which the block bitmap says is free.
    Free(u64),
    /// It maps this block, which it or another of the inodes maps too.
    Twice(u64),
}

impl Damage {
    fn of(raw: &RawDamage) -> Option<Self> {
        Some(match raw.kind {
            0 => return None,
            1 => Self::NotAFile,
            2 => Self::FreeInode,
            3 => Self::Outside(raw.block),
            4 => Self::Own(raw.block),
            5 => Self::Free(raw.block),
            _ => Self::Twice(raw.block),
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => f.write_str("is not one of a file or folder"),
            Self::FreeInode => f.write_str("is marked free"),
            Self::Outside(block) => write!(f, "maps block {block:#x} outside the file system"),
            Self::Own(block) => write!(f, "maps block {block:#x} of the file system's own structures"),
            Self::Free(block) => write!(f, "maps block {block:#x} that is marked free"),
            Self::Twice(block) => write!(f, "maps block {block:#x} that is mapped a second time"),
        }
    }
}

impl Filesystem {
    /// Walks all blocks of `inodes`, which must be different ones, also those of their mapping and attributes. Returns
    /// the first inode that an edit would do harm with. The bitmaps must be loaded.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn find_damage(&self, inodes: &[u32]) -> Result<Option<(u32, Damage)>> {
        let mut found = RawDamage::default();
        let (at, count) = (inodes.as_ptr(), inodes.len() as u64);
        // SAFETY: `as_raw` is open and used by one call at a time; `inodes` has `count` numbers, `found` has the
        // shim's layout.
        Error::check(unsafe { raw::rh_find_damage(self.as_raw(), at, count, &raw mut found) })?;
        Ok(Damage::of(&found).map(|damage| (found.ino, damage)))
    }
}
