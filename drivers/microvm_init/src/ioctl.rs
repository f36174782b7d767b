//! Calls of the kernel that no crate has: those of the device mapper, BLKPG, FITRIM, and the search in a btrfs's trees.
//!
//! All unsafe code of this crate is here. Each call hands the kernel one buffer that this module made, at least as long as the kernel
//! reads or writes for that call, and that lives until the call returns.
#![allow(unsafe_code)]

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use std::ffi::c_void;
use std::os::fd::AsFd;

/// `struct dm_ioctl` (`linux/dm-ioctl.h`).
const DM_HEADER: usize = 312;
/// `struct fstrim_range` (`linux/fs.h`).
const TRIM_RANGE: usize = 24;
/// `struct btrfs_ioctl_search_args` and `btrfs_ioctl_ino_lookup_args` (`linux/btrfs.h`).
const BTRFS_ARGS: usize = 4096;

/// A call that reads and writes one buffer.
struct InPlace<'a> {
    opcode: Opcode,
    buffer: &'a mut [u8],
}

// SAFETY: the pointer is that of a buffer borrowed for as long as this lives, and `in_place` is only called with buffers of
// at least the length that the kernel uses.
unsafe impl Ioctl for InPlace<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

fn in_place(fd: impl AsFd, opcode: Opcode, buffer: &mut [u8]) -> Result<()> {
    // SAFETY: see `InPlace`; each caller below says how long the buffer is that its call uses.
    unsafe { rustix::ioctl::ioctl(fd, InPlace { opcode, buffer }) }
}

/// A command of the device mapper.
#[derive(Clone, Copy)]
pub(crate) enum DmCommand {
    Create = 3,
    Remove = 4,
    Resume = 6,
    Load = 9,
}

/// Calls the device mapper. `buffer` begins with a `struct dm_ioctl`, whose length fields are filled in here.
pub(crate) fn device_mapper(control: impl AsFd, command: DmCommand, buffer: &mut Vec<u8>) -> Result<()> {
    if buffer.len() < DM_HEADER {
        buffer.resize(DM_HEADER, 0);
    }
    // The kernel uses `data_size` bytes of the buffer, and that is how long it is.
    let size = u32::try_from(buffer.len()).map_err(|_| Errno::TOOBIG)?;
    for (at, value) in [(0_usize, 4_u32), (4, 0), (8, 0), (12, size), (16, DM_HEADER as u32)] {
        if let Some(field) = buffer.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
    }
    in_place(control, opcode::read_write::<[u8; DM_HEADER]>(0xfd, command as u8), buffer)
}

/// `struct blkpg_ioctl_arg` (`linux/blkpg.h`).
#[repr(C)]
struct BlkpgArg {
    op: i32,
    flags: i32,
    length: i32,
    data: *mut BlkpgPartition,
}

/// `struct blkpg_partition`; offsets and lengths are bytes.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// Tells the kernel of a partition that is in no table it reads.
pub(crate) fn add_partition(disk: impl AsFd, start: u64, length: u64, number: i32) -> Result<()> {
    const BLKPG: Opcode = opcode::none(0x12, 105);
    const ADD: i32 = 1;
    let start = i64::try_from(start).map_err(|_| Errno::INVAL)?;
    let length = i64::try_from(length).map_err(|_| Errno::INVAL)?;
    let mut partition = BlkpgPartition { start, length, number, names: [0; 128] };
    let size = size_of::<BlkpgPartition>() as i32;
    let mut argument = BlkpgArg { op: ADD, flags: 0, length: size, data: &raw mut partition };
    // SAFETY: BLKPG reads a `blkpg_ioctl_arg`, and the `blkpg_partition` that it points to; both live until the call returns.
    unsafe { rustix::ioctl::ioctl(disk, rustix::ioctl::Updater::<BLKPG, BlkpgArg>::new(&mut argument)) }
}

/// FITRIM over the whole file system; bytes that were trimmed.
pub(crate) fn trim(folder: impl AsFd) -> Result<u64> {
    let mut range = [0; TRIM_RANGE];
    if let Some(length) = range.get_mut(8..16) {
        length.copy_from_slice(&u64::MAX.to_ne_bytes());
    }
    in_place(folder, opcode::read_write::<[u8; TRIM_RANGE]>(b'X', 121), &mut range)?;
    let trimmed = range.get(8..16).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    Ok(u64::from_ne_bytes(trimmed))
}

/// BTRFS_IOC_TREE_SEARCH: the arguments begin with a key.
pub(crate) fn btrfs_search(folder: impl AsFd, arguments: &mut [u8; BTRFS_ARGS]) -> Result<()> {
    in_place(folder, opcode::read_write::<[u8; BTRFS_ARGS]>(0x94, 17), arguments)
}

/// BTRFS_IOC_INO_LOOKUP: the arguments begin with a tree's id and an inode's.
pub(crate) fn btrfs_path(folder: impl AsFd, arguments: &mut [u8; BTRFS_ARGS]) -> Result<()> {
    in_place(folder, opcode::read_write::<[u8; BTRFS_ARGS]>(0x94, 18), arguments)
}
