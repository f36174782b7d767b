//! The functions of `shim/shim.h`, as they are declared there.

use std::ffi::{c_char, c_int, c_void};
use std::marker::{PhantomData, PhantomPinned};

/// An open file system of the library: never looked into from here.
#[repr(C)]
pub(crate) struct Fs {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
pub(crate) struct Io {
    pub(crate) context: *mut c_void,
    pub(crate) size: u64,
    pub(crate) read: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, u64) -> c_int,
    pub(crate) write: unsafe extern "C" fn(*mut c_void, u64, *const c_void, u64) -> c_int,
}

unsafe extern "C" {
    pub(crate) fn rn_classify(code: c_int) -> c_int;
    pub(crate) fn rn_message() -> *const c_char;
    pub(crate) fn rn_forget_message();

    pub(crate) fn rn_open(io: *const Io, out: *mut *mut Fs) -> c_int;
    pub(crate) fn rn_close(fs: *mut Fs) -> c_int;
    pub(crate) fn rn_sync(fs: *mut Fs) -> c_int;
    pub(crate) fn rn_state(fs: *mut Fs, state: *mut u32) -> c_int;
    pub(crate) fn rn_free_space(fs: *mut Fs, clusters: *mut u64) -> c_int;

    pub(crate) fn rn_descriptor(
        fs: *mut Fs,
        file: u64,
        buffer: *mut c_void,
        capacity: u32,
        length: *mut u32,
    ) -> c_int;
    pub(crate) fn rn_create(
        fs: *mut Fs,
        folder: u64,
        name: *const u16,
        length: u8,
        is_folder: c_int,
        descriptor: *const c_void,
        descriptor_length: u32,
        file: *mut u64,
    ) -> c_int;
    pub(crate) fn rn_write(fs: *mut Fs, file: u64, offset: u64, bytes: *const c_void, length: u64) -> c_int;
    pub(crate) fn rn_cut(fs: *mut Fs, file: u64) -> c_int;
    pub(crate) fn rn_make_plain(
        fs: *mut Fs,
        file: u64,
        drop_reparse: c_int,
        stream: *const u16,
        stream_length: u32,
    ) -> c_int;
    pub(crate) fn rn_link(fs: *mut Fs, file: u64, folder: u64, name: *const u16, length: u8) -> c_int;
    pub(crate) fn rn_unlink(fs: *mut Fs, file: u64, folder: u64, name: *const u16, length: u8) -> c_int;
}
