//! What the library calls while it works: reads and writes of bytes. No panic crosses into it.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A read or write that did not work. The implementor of [`BlockIo`] keeps the reason.
#[derive(Clone, Copy, Debug)]
pub struct IoFailed;

/// Where the bytes of a file system are.
pub trait BlockIo: Send {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// When any byte of it could not be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), IoFailed>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When any byte of it could not be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailed>;
}

pub(crate) unsafe extern "C" fn read_block(
    context: *mut c_void,
    offset: u64,
    buffer: *mut c_void,
    length: u64,
) -> c_int {
    let Ok(length) = usize::try_from(length) else { return 1 };
    // SAFETY: `context` is the `Box<dyn BlockIo>` that `Filesystem` owns as long as the library may call.
    let source = unsafe { &*context.cast::<Box<dyn BlockIo>>() };
    // SAFETY: the library passes a buffer of at least `length` bytes; zeroing makes it initialised.
    let buf = unsafe {
        std::ptr::write_bytes(buffer.cast::<u8>(), 0, length);
        std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length)
    };
    match catch_unwind(AssertUnwindSafe(|| source.read_at(offset, buf))) {
        Ok(Ok(())) => 0,
        _ => 1,
    }
}

pub(crate) unsafe extern "C" fn write_block(
    context: *mut c_void,
    offset: u64,
    bytes: *const c_void,
    length: u64,
) -> c_int {
    let Ok(length) = usize::try_from(length) else { return 1 };
    // SAFETY: as in `read_block`.
    let source = unsafe { &*context.cast::<Box<dyn BlockIo>>() };
    // SAFETY: the library passes at least `length` initialised bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    match catch_unwind(AssertUnwindSafe(|| source.write_at(offset, bytes))) {
        Ok(Ok(())) => 0,
        _ => 1,
    }
}
