//! The functions of `shim/shim.h`, as they are declared there.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::marker::{PhantomData, PhantomPinned};

/// 0 or a com_err code.
pub(crate) type Code = c_long;

/// An open file system of the library: never looked into from here.
#[repr(C)]
pub(crate) struct Fs {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
pub(crate) struct Io {
    pub(crate) context: *mut c_void,
    pub(crate) read: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, u64) -> c_int,
    pub(crate) write: unsafe extern "C" fn(*mut c_void, u64, *const c_void, u64) -> c_int,
}

#[repr(C)]
#[derive(Default)]
pub(crate) struct RawInode {
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) flags: u32,
    pub(crate) dtime: u32,
    pub(crate) generation: u32,
    pub(crate) sectors: u32,
}

#[repr(C)]
#[derive(Default)]
pub(crate) struct RawSpace {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
    pub(crate) block_size: u32,
}

#[repr(C)]
#[derive(Default)]
pub(crate) struct RawDamage {
    pub(crate) block: u64,
    pub(crate) ino: u32,
    pub(crate) kind: u32,
}

#[repr(C)]
#[derive(Default)]
pub(crate) struct RawGroup {
    pub(crate) super_block: u64,
    pub(crate) descriptors: u64,
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    pub(crate) descriptor_blocks: u32,
    pub(crate) inode_table_blocks: u32,
    pub(crate) has_super: u32,
    pub(crate) base_end: u64,
    pub(crate) free_clusters: u32,
    pub(crate) no_bitmap: u32,
    pub(crate) descriptor_is_right: u32,
}

pub(crate) type RunFn = unsafe extern "C" fn(*mut c_void, u32, u64, u64, u32) -> c_int;
pub(crate) type EntryFn = unsafe extern "C" fn(*mut c_void, u32, u8, *const c_char, u32) -> c_int;
pub(crate) type BlockFn = unsafe extern "C" fn(*mut c_void, u64, u64) -> c_int;

unsafe extern "C" {
    pub(crate) fn rh_init();
    pub(crate) fn rh_classify(code: Code) -> c_int;
    pub(crate) fn rh_message(code: Code) -> *const c_char;

    pub(crate) fn rh_open(io: *const Io, writable: c_int, out: *mut *mut Fs) -> Code;
    pub(crate) fn rh_free(fs: *mut Fs);
    pub(crate) fn rh_flush(fs: *mut Fs) -> Code;
    pub(crate) fn rh_load_bitmaps(fs: *mut Fs) -> Code;

    pub(crate) fn rh_lookup(
        fs: *mut Fs,
        folder: u32,
        name: *const c_char,
        length: u32,
        ino: *mut u32,
    ) -> Code;
    pub(crate) fn rh_stat(fs: *mut Fs, ino: u32, out: *mut RawInode) -> Code;
    pub(crate) fn rh_list(fs: *mut Fs, folder: u32, each: EntryFn, context: *mut c_void) -> Code;
    pub(crate) fn rh_blocks(fs: *mut Fs, ino: u32, each: BlockFn, context: *mut c_void) -> Code;
    pub(crate) fn rh_read(
        fs: *mut Fs,
        ino: u32,
        offset: u64,
        buffer: *mut c_void,
        length: u64,
        got: *mut u64,
    ) -> Code;
    pub(crate) fn rh_read_link(
        fs: *mut Fs,
        ino: u32,
        buffer: *mut c_char,
        capacity: u64,
        length: *mut u64,
    ) -> Code;
    pub(crate) fn rh_space(fs: *mut Fs, out: *mut RawSpace);
    pub(crate) fn rh_inode_in_use(fs: *mut Fs, ino: u32) -> c_int;

    pub(crate) fn rh_runs(fs: *mut Fs, each: RunFn, context: *mut c_void) -> Code;
    pub(crate) fn rh_group(fs: *mut Fs, group: u32, out: *mut RawGroup) -> c_int;
    pub(crate) fn rh_bitmap_is_right(fs: *mut Fs, group: u32, bitmap: *const c_char, length: u32) -> c_int;

    pub(crate) fn rh_find_damage(fs: *mut Fs, inodes: *const u32, count: u64, out: *mut RawDamage) -> Code;
    pub(crate) fn rh_empty_file(fs: *mut Fs, ino: u32) -> Code;
    pub(crate) fn rh_write(fs: *mut Fs, ino: u32, offset: u64, bytes: *const c_void, length: u64) -> Code;
    pub(crate) fn rh_create_file(
        fs: *mut Fs,
        folder: u32,
        mode: u32,
        uid: u32,
        gid: u32,
        ino: *mut u32,
    ) -> Code;
    pub(crate) fn rh_create_folder(
        fs: *mut Fs,
        folder: u32,
        mode: u32,
        uid: u32,
        gid: u32,
        ino: *mut u32,
    ) -> Code;
    pub(crate) fn rh_create_link(fs: *mut Fs, folder: u32, target: *const c_char, ino: *mut u32) -> Code;
    pub(crate) fn rh_link(fs: *mut Fs, folder: u32, name: *const c_char, ino: u32) -> Code;
    pub(crate) fn rh_unlink(fs: *mut Fs, folder: u32, name: *const c_char, ino: u32) -> Code;
    pub(crate) fn rh_set_links(fs: *mut Fs, ino: u32, links: u32) -> Code;
    pub(crate) fn rh_set_parent(fs: *mut Fs, folder: u32, parent: u32) -> Code;
    pub(crate) fn rh_touch(fs: *mut Fs, ino: u32) -> Code;
    pub(crate) fn rh_release(fs: *mut Fs, ino: u32) -> Code;
    pub(crate) fn rh_cut(fs: *mut Fs, ino: u32) -> Code;
    pub(crate) fn rh_copy_xattr(fs: *mut Fs, from: u32, to: u32, name: *const c_char) -> Code;

    pub(crate) fn rh_clear_orphan_list(fs: *mut Fs);
    pub(crate) fn rh_clear_orphan_present(fs: *mut Fs);
    pub(crate) fn rh_orphan_checksum(
        fs: *mut Fs,
        ino: u32,
        generation: u32,
        block: u64,
        buffer: *mut c_char,
    ) -> u32;
    pub(crate) fn rh_recount_free(fs: *mut Fs);
}
