//! Facts of files as the kernel wants them.

use driver_core::{FileKind, FileMeta};
use format_core::{Error, ErrorKind};
use fuser::{Errno, FileAttr, FileType, INodeNo};
use std::time::{Duration, SystemTime};

/// How long the kernel may believe what it was told: nothing changes while it is mounted.
pub(crate) const TTL: Duration = Duration::from_secs(3600);
const BLOCK: u32 = 4096;

/// Who mounts: the owner of what is not the guest's.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

fn attributes(inode: u64, kind: FileType, size: u64, perm: u16, owner: Owner) -> FileAttr {
    // File systems of guests are read without their times.
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: 1,
        uid: owner.uid,
        gid: owner.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

/// Those of a folder of the mount itself.
pub(crate) fn of_folder(inode: u64, owner: Owner) -> FileAttr {
    attributes(inode, FileType::Directory, 0, 0o555, owner)
}

/// Those of a volume, which only its owner may read: it holds what the guest keeps from its users.
pub(crate) fn of_volume(inode: u64, size: u64, owner: Owner) -> FileAttr {
    attributes(inode, FileType::RegularFile, size, 0o400, owner)
}

/// Those of a guest's file.
pub(crate) fn of_guest(inode: u64, meta: &FileMeta) -> FileAttr {
    let owner = Owner { uid: meta.uid, gid: meta.gid };
    attributes(inode, file_type(meta.kind), meta.size, (meta.mode & 0o7777) as u16, owner)
}

/// A node of which nothing is known but that it is no file is shown as a socket: nobody can open that.
pub(crate) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Folder => FileType::Directory,
        FileKind::Link => FileType::Symlink,
        FileKind::Other => FileType::Socket,
    }
}

/// The error as a program of the host gets it.
pub(crate) fn errno(error: &Error) -> Errno {
    match error.kind() {
        ErrorKind::NeedsPerson | ErrorKind::Denied => Errno::EACCES,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        ErrorKind::Limit => Errno::EFBIG,
        _ => Errno::EIO,
    }
}
