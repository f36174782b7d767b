//! What the library calls while it works: reads and writes of blocks, and one call for each name or block it lists. No
//! panic crosses into it.

use crate::filesystem::Entry;
use crate::owners::{Run, RunKind};
use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A read or write that did not work. The implementor of [`BlockIo`] keeps the reason.
#[derive(Clone, Copy, Debug)]
pub struct IoFailed;

/// Where the bytes of a file system are.
pub trait BlockIo: Send {
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

/// Who is told of each name in a folder; `false` ends the listing.
pub(crate) type EntryVisitor<'a> = &'a mut dyn FnMut(Entry) -> bool;

pub(crate) unsafe extern "C" fn take_entry(
    context: *mut c_void,
    ino: u32,
    file_type: u8,
    name: *const c_char,
    length: u32,
) -> c_int {
    // SAFETY: `context` is the `EntryVisitor` that `Filesystem::for_each_entry` borrows for the call.
    let visit = unsafe { &mut *context.cast::<EntryVisitor<'_>>() };
    // SAFETY: the library checked that the entry's name of `length` bytes lies inside its block.
    let name = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), length as usize) }.to_vec();
    let goes_on = catch_unwind(AssertUnwindSafe(|| visit(Entry { name, ino, file_type })));
    c_int::from(!goes_on.unwrap_or(false))
}

/// Who is told of each run of blocks; `false` ends the walk.
pub(crate) type RunVisitor<'a> = &'a mut dyn FnMut(Run) -> bool;

pub(crate) unsafe extern "C" fn take_run(
    context: *mut c_void,
    ino: u32,
    block: u64,
    count: u64,
    kind: u32,
) -> c_int {
    // SAFETY: `context` is the `RunVisitor` that `Filesystem::for_each_run` borrows for the call.
    let visit = unsafe { &mut *context.cast::<RunVisitor<'_>>() };
    let run = Run { ino, block, count, kind: RunKind::of(kind) };
    c_int::from(!catch_unwind(AssertUnwindSafe(|| visit(run))).unwrap_or(false))
}

/// What [`take_block`] fills.
pub(crate) struct BlockSink {
    pub(crate) blocks: Vec<(u64, u64)>,
    pub(crate) limit: usize,
}

pub(crate) unsafe extern "C" fn take_block(context: *mut c_void, logical: u64, physical: u64) -> c_int {
    // SAFETY: `context` is the `BlockSink` that `Filesystem::blocks` borrows for the call.
    let sink = unsafe { &mut *context.cast::<BlockSink>() };
    if sink.blocks.len() >= sink.limit {
        return 1;
    }
    sink.blocks.push((logical, physical));
    0
}
