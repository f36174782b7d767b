//! A safe owner of one open file system.

use crate::callbacks::{BlockIo, BlockSink, read_block, take_block, take_entry, write_block};
use crate::raw::{self, RawInode, RawSpace};
use crate::{Error, Result};
use std::ffi::{CString, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Once;

/// Facts of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Bytes.
    pub size: u64,
    /// Type and permission bits (`i_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that lead here.
    pub links: u32,
    /// `i_flags`.
    pub flags: u32,
    /// Time of deletion, or the next inode of the orphan list.
    pub dtime: u32,
    /// `i_generation`.
    pub generation: u32,
    /// 512-byte sectors in use.
    pub sectors: u32,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name's bytes.
    pub name: Vec<u8>,
    /// What it leads to.
    pub ino: u32,
    /// `EXT2_FT_*`, 0 where the file system does not keep it.
    pub file_type: u8,
}

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free blocks, including those reserved for root.
    pub free_blocks: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// Bytes per block.
    pub block_size: u32,
}

/// An open file system. Nothing reaches its superblock, group descriptors and bitmaps before [`Filesystem::flush`].
pub struct Filesystem {
    fs: NonNull<raw::Fs>,
    /// The library keeps pointers to these two until `fs` is freed.
    _io: Box<raw::Io>,
    _source: Box<Box<dyn BlockIo>>,
}

// SAFETY: the library keeps no thread-local state for an open file system, `BlockIo` is `Send`, and everything the
// raw pointers lead to is owned by this value alone. (It is not `Sync`: even reading fills the library's caches.)
unsafe impl Send for Filesystem {}

impl Drop for Filesystem {
    fn drop(&mut self) {
        // SAFETY: `fs` came from `rh_open` and is freed here only; `io` and `source` outlive it as fields.
        unsafe { raw::rh_free(self.fs.as_ptr()) }
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::Library { code: 0, message: format!("{text:?} holds a NUL character") })
}

impl Filesystem {
    pub(crate) fn as_raw(&self) -> *mut raw::Fs {
        self.fs.as_ptr()
    }

    /// Opens the file system on `source`.
    ///
    /// # Errors
    /// What the library finds wrong with the superblock and the group descriptors.
    pub fn open(source: Box<dyn BlockIo>, writable: bool) -> Result<Self> {
        static TABLE: Once = Once::new();
        // SAFETY: registers the library's error table, once.
        TABLE.call_once(|| unsafe { raw::rh_init() });
        let source = Box::new(source);
        let context = std::ptr::from_ref(source.as_ref()).cast_mut().cast::<c_void>();
        let io = Box::new(raw::Io { context, read: read_block, write: write_block });
        let mut fs = std::ptr::null_mut();
        // SAFETY: `io` and what it points to live as long as the returned value; `fs` is an out parameter.
        Error::check(unsafe { raw::rh_open(&raw const *io, c_int::from(writable), &raw mut fs) })?;
        let fs =
            NonNull::new(fs).ok_or_else(|| Error::Library { code: 0, message: "opened nothing".into() })?;
        Ok(Self { fs, _io: io, _source: source })
    }

    /// Loads the bitmaps: needed once before the first edit.
    ///
    /// # Errors
    /// What the library reports; likewise for every method.
    pub fn load_bitmaps(&mut self) -> Result<()> {
        // SAFETY: `fs` is open (so for every call below); the same holds for `&self` methods, since the value is
        // not `Sync` and only one call runs at a time.
        Error::check(unsafe { raw::rh_load_bitmaps(self.fs.as_ptr()) })
    }

    /// Writes superblock, group descriptors and bitmaps.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn flush(&mut self) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_flush(self.fs.as_ptr()) })
    }

    /// The inode that `name` leads to in the folder `folder`, without following links.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn lookup(&self, folder: u32, name: &str) -> Result<Option<u32>> {
        let Ok(length) = u32::try_from(name.len()) else { return Ok(None) };
        let mut ino = 0;
        // SAFETY: see `load_bitmaps`; `name` has `length` bytes.
        let code =
            unsafe { raw::rh_lookup(self.fs.as_ptr(), folder, name.as_ptr().cast(), length, &raw mut ino) };
        match Error::check(code) {
            Ok(()) => Ok(Some(ino)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Facts of an inode.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn stat(&self, ino: u32) -> Result<Inode> {
        let mut raw = RawInode::default();
        // SAFETY: see `load_bitmaps`; `raw` has the shim's layout.
        Error::check(unsafe { raw::rh_stat(self.fs.as_ptr(), ino, &raw mut raw) })?;
        let RawInode { size, mode, uid, gid, links, flags, dtime, generation, sectors } = raw;
        Ok(Inode { size, mode, uid, gid, links, flags, dtime, generation, sectors })
    }

    /// The first `limit` names of a folder, with `.` and `..`.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn list(&self, folder: u32, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.for_each_entry(folder, &mut |entry| {
            let fits = entries.len() < limit;
            if fits {
                entries.push(entry);
            }
            fits
        })?;
        Ok(entries)
    }

    /// Calls `visit` with each name of a folder, `.` and `..` included, until it returns `false`.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn for_each_entry(&self, folder: u32, mut visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        let context = (&raw mut visit).cast();
        // SAFETY: see `load_bitmaps`; `visit` lives for the call and `take_entry` expects it.
        Error::check(unsafe { raw::rh_list(self.fs.as_ptr(), folder, take_entry, context) })
    }

    /// The first `limit` blocks of an inode's content: (logical, physical).
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn blocks(&self, ino: u32, limit: usize) -> Result<Vec<(u64, u64)>> {
        let mut sink = BlockSink { blocks: Vec::new(), limit };
        let context = (&raw mut sink).cast();
        // SAFETY: see `load_bitmaps`; `sink` lives for the call and `take_block` expects it.
        Error::check(unsafe { raw::rh_blocks(self.fs.as_ptr(), ino, take_block, context) })?;
        Ok(sink.blocks)
    }

    /// Reads from a regular file; returns how many bytes there were.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn read(&self, ino: u32, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        let (at, length) = (buf.as_mut_ptr().cast(), buf.len() as u64);
        // SAFETY: see `load_bitmaps`; `buf` has `length` bytes.
        let code = unsafe { raw::rh_read(self.fs.as_ptr(), ino, offset, at, length, &raw mut got) };
        Error::check(code)?;
        Ok(usize::try_from(got).map_or(buf.len(), |got| got.min(buf.len())))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn read_link(&self, ino: u32) -> Result<Vec<u8>> {
        let mut target = vec![0u8; 65536];
        let mut length = 0;
        let (at, capacity) = (target.as_mut_ptr().cast(), target.len() as u64);
        // SAFETY: see `load_bitmaps`; `target` has `capacity` bytes.
        let code = unsafe { raw::rh_read_link(self.fs.as_ptr(), ino, at, capacity, &raw mut length) };
        Error::check(code)?;
        target.truncate(usize::try_from(length).unwrap_or(0));
        Ok(target)
    }

    /// What is free by the group descriptors.
    #[must_use]
    pub fn space(&self) -> Space {
        let mut raw = RawSpace::default();
        // SAFETY: see `load_bitmaps`; `raw` has the shim's layout.
        unsafe { raw::rh_space(self.fs.as_ptr(), &raw mut raw) };
        let RawSpace { free_blocks, free_inodes, block_size } = raw;
        Space { free_blocks, free_inodes, block_size }
    }

    /// Whether the inode bitmap (loaded before) says that an inode is in use.
    #[must_use]
    pub fn inode_in_use(&self, ino: u32) -> bool {
        // SAFETY: see `load_bitmaps`; the shim checks the range and whether the bitmap is loaded.
        unsafe { raw::rh_inode_in_use(self.fs.as_ptr(), ino) != 0 }
    }

    /// Frees all content of a regular file.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn empty_file(&mut self, ino: u32) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_empty_file(self.fs.as_ptr(), ino) })
    }

    /// Writes into a regular file, which grows as needed.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn write(&mut self, ino: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let (at, length) = (bytes.as_ptr().cast(), bytes.len() as u64);
        // SAFETY: see `load_bitmaps`; `bytes` has `length` bytes.
        Error::check(unsafe { raw::rh_write(self.fs.as_ptr(), ino, offset, at, length) })
    }

    /// A new regular file without a name, near `folder`, that counts one link.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn create_file(&mut self, folder: u32, mode: u32, uid: u32, gid: u32) -> Result<u32> {
        let mut ino = 0;
        // SAFETY: see `load_bitmaps`.
        let code = unsafe { raw::rh_create_file(self.fs.as_ptr(), folder, mode, uid, gid, &raw mut ino) };
        Error::check(code).map(|()| ino)
    }

    /// A new folder without a name in `folder`, whose links are not counted up.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn create_folder(&mut self, folder: u32, mode: u32, uid: u32, gid: u32) -> Result<u32> {
        let mut ino = 0;
        // SAFETY: see `load_bitmaps`.
        let code = unsafe { raw::rh_create_folder(self.fs.as_ptr(), folder, mode, uid, gid, &raw mut ino) };
        Error::check(code).map(|()| ino)
    }

    /// A new symbolic link without a name, near `folder`.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn create_link(&mut self, folder: u32, target: &str) -> Result<u32> {
        let target = c_string(target)?;
        let mut ino = 0;
        // SAFETY: see `load_bitmaps`; `target` is NUL-terminated.
        let code = unsafe { raw::rh_create_link(self.fs.as_ptr(), folder, target.as_ptr(), &raw mut ino) };
        Error::check(code).map(|()| ino)
    }

    /// Gives an inode a name. Counts no links.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn link(&mut self, folder: u32, name: &str, ino: u32) -> Result<()> {
        let name = c_string(name)?;
        // SAFETY: see `load_bitmaps`; `name` is NUL-terminated.
        Error::check(unsafe { raw::rh_link(self.fs.as_ptr(), folder, name.as_ptr(), ino) })
    }

    /// Takes a name away. Counts no links.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn unlink(&mut self, folder: u32, name: &str, ino: u32) -> Result<()> {
        let name = c_string(name)?;
        // SAFETY: see `load_bitmaps`; `name` is NUL-terminated.
        Error::check(unsafe { raw::rh_unlink(self.fs.as_ptr(), folder, name.as_ptr(), ino) })
    }

    /// Sets `i_links_count`.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn set_links(&mut self, ino: u32, links: u16) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_set_links(self.fs.as_ptr(), ino, links.into()) })
    }

    /// Points `..` of a folder to another parent.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn set_parent(&mut self, folder: u32, parent: u32) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_set_parent(self.fs.as_ptr(), folder, parent) })
    }

    /// Sets the times of the last change to now.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn touch(&mut self, ino: u32) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_touch(self.fs.as_ptr(), ino) })
    }

    /// Frees an inode that no name leads to: its attributes, content and number.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn release(&mut self, ino: u32) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_release(self.fs.as_ptr(), ino) })
    }

    /// Frees what lies behind the end of a file and takes the inode off the orphan list.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn cut(&mut self, ino: u32) -> Result<()> {
        // SAFETY: see `load_bitmaps`.
        Error::check(unsafe { raw::rh_cut(self.fs.as_ptr(), ino) })
    }

    /// Copies one extended attribute, if there is one.
    ///
    /// # Errors
    /// As [`Filesystem::load_bitmaps`].
    pub fn copy_xattr(&mut self, from: u32, to: u32, name: &str) -> Result<()> {
        let name = c_string(name)?;
        // SAFETY: see `load_bitmaps`; `name` is NUL-terminated.
        Error::check(unsafe { raw::rh_copy_xattr(self.fs.as_ptr(), from, to, name.as_ptr()) })
    }

    /// Empties the superblock's orphan list.
    pub fn clear_orphan_list(&mut self) {
        // SAFETY: see `load_bitmaps`.
        unsafe { raw::rh_clear_orphan_list(self.fs.as_ptr()) }
    }

    /// Clears the `orphan_present` feature.
    pub fn clear_orphan_present(&mut self) {
        // SAFETY: see `load_bitmaps`.
        unsafe { raw::rh_clear_orphan_present(self.fs.as_ptr()) }
    }

    /// The checksum of one block of the orphan file. `block` must have the file system's block size.
    #[must_use]
    pub fn orphan_checksum(&self, ino: u32, generation: u32, at: u64, block: &mut [u8]) -> Option<u32> {
        let size = usize::try_from(self.space().block_size).ok()?;
        if block.len() != size {
            return None;
        }
        let bytes = block.as_mut_ptr().cast();
        // SAFETY: see `load_bitmaps`; `block` is exactly one block, which is what the library reads.
        Some(unsafe { raw::rh_orphan_checksum(self.fs.as_ptr(), ino, generation, at, bytes) })
    }

    /// Recomputes the superblock's free counts from the group descriptors.
    pub fn recount_free(&mut self) {
        // SAFETY: see `load_bitmaps`.
        unsafe { raw::rh_recount_free(self.fs.as_ptr()) }
    }
}
