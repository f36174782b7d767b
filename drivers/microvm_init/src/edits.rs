//! Changing a file system.

use crate::failing::{Result, While, os};
use crate::files::open_file;
use crate::ioctl;
use crate::mounts::Mounted;
use crate::place::{find, open, parent};
use crate::serve::Outcome;
use microvm_init::{Content, Failure, FailureKind, How, Owner};
use rustix::fs::{
    AtFlags, FallocateFlags, Gid, Mode, OFlags, RenameFlags, Uid, XattrFlags, chownat, fallocate, fchmod,
    fchown, fgetxattr, fsetxattr, fstatvfs, ftruncate, lsetxattr, mkdirat, openat, renameat_with, symlinkat,
    unlinkat,
};
use rustix::io::{Errno, pwrite};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The label that SELinux gave to the folder is what its policy mostly gives to new files in there.
const INHERITED_XATTR: &str = "security.selinux";
/// Room for what a file system writes besides content: folders, trees, its log.
const SLACK: u64 = 1 << 20;

/// Writes a regular file, all of it, its end, or a new one.
pub(crate) fn write(
    fs: &Mounted,
    path: &str,
    how: How,
    size: u64,
    content: &mut Content<'_, File>,
) -> Outcome<()> {
    match how {
        How::Create(owner) => create(fs, path, owner, size, content),
        How::Replace | How::Append => change(fs, path, how, size, content),
    }
}

/// Whether that could be done, as far as it can be told without writing.
pub(crate) fn fits(fs: &Mounted, path: &str, how: How, size: u64) -> Result<()> {
    match how {
        How::Create(_) => {
            parent(&fs.root, path)?;
            need_space(fs, size)
        }
        How::Replace | How::Append => room_to_change(fs, path, how, size).map(|_| ()),
    }
}

/// The opened file and its size, where its new content fits.
fn room_to_change(fs: &Mounted, path: &str, how: How, size: u64) -> Result<(OwnedFd, u64)> {
    let (file, stat) = open_file(fs, path, OFlags::WRONLY)?;
    let reused = match how {
        // Blocks that a copy-on-write file system shares, or may share, are not there to be written again.
        How::Replace if !fs.copies_on_write() => u64::try_from(stat.st_blocks).unwrap_or_default() * 512,
        _ => 0,
    };
    need_space(fs, size.saturating_sub(reused))?;
    Ok((file, u64::try_from(stat.st_size).unwrap_or_default()))
}

fn create(fs: &Mounted, path: &str, owner: Owner, size: u64, content: &mut Content<'_, File>) -> Outcome<()> {
    let (folder, name) = parent(&fs.root, path)?;
    need_space(fs, size)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        openat(&folder, name, flags, Mode::from_raw_mode(0o600)).map_err(|errno| new_name(path, errno))?;
    let done = inherit_label(&folder, &file).map_err(Into::into);
    let done = done.and_then(|()| fill(&file, path, 0, content));
    let done = done.and_then(|()| Ok(give(&file, owner, path)?));
    // Half a file is none.
    if done.is_err() {
        let _ = unlinkat(&folder, name, AtFlags::empty());
    }
    done
}

/// Content goes through the inode that is there: its owner, attributes and other names stay.
fn change(fs: &Mounted, path: &str, how: How, size: u64, content: &mut Content<'_, File>) -> Outcome<()> {
    let (file, old) = room_to_change(fs, path, how, size)?;
    let (start, end) = if how == How::Append { (old, old.saturating_add(size)) } else { (0, size) };
    if end > old {
        reserve(&file, path, old, end)?;
    }
    fill(&file, path, start, content)?;
    if end < old {
        ftruncate(&file, end).during(path)?;
    }
    Ok(())
}

/// Takes the room before a byte is written; what there is not enough of shows here.
fn reserve(file: &OwnedFd, path: &str, old: u64, end: u64) -> Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, old, end - old) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => {
            let _ = ftruncate(file, old);
            Err(full_or(path, errno))
        }
    }
}

fn fill(file: &OwnedFd, path: &str, mut at: u64, content: &mut Content<'_, File>) -> Outcome<()> {
    loop {
        let piece = content.next_piece()?;
        if piece.is_empty() {
            return Ok(());
        }
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            match pwrite(file, rest, at) {
                Ok(0) => return Err(full_or(path, Errno::NOSPC).into()),
                Ok(done) => {
                    rest = rest.get(done..).unwrap_or_default();
                    at += done as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(os(format!("write {path}"), errno).into()),
            }
        }
    }
}

fn full_or(path: &str, errno: Errno) -> Failure {
    if errno == Errno::NOSPC {
        Failure::new(FailureKind::NoSpace, format!("there is no room for {path}"))
    } else {
        os(format!("write {path}"), errno)
    }
}

fn need_space(fs: &Mounted, bytes: u64) -> Result<()> {
    let space = fstatvfs(&fs.root).during("ask for free space")?;
    let free = space.f_bfree.saturating_mul(space.f_frsize);
    // FAT counts no inodes.
    let no_inode = space.f_files > 0 && space.f_ffree == 0;
    let slack = SLACK.min(space.f_blocks.saturating_mul(space.f_frsize) / 64);
    if free >= bytes.saturating_add(slack) && !no_inode {
        return Ok(());
    }
    let text = if no_inode { "no free inode".to_owned() } else { format!("needs {bytes} bytes, has {free}") };
    Err(Failure::new(FailureKind::NoSpace, text))
}

fn new_name(path: &str, errno: Errno) -> Failure {
    match errno {
        Errno::EXIST => Failure::usage(format!("{path:?} exists")),
        Errno::NAMETOOLONG => Failure::usage(format!("the name of {path:?} is too long")),
        errno => full_or(path, errno),
    }
}

/// A new file gets its folder's label, if that has one.
fn inherit_label(folder: &OwnedFd, file: impl AsFd) -> Result<()> {
    let Some(label) = label_of(folder)? else { return Ok(()) };
    fsetxattr(file, INHERITED_XATTR, &label, XattrFlags::empty()).during("label a new file")
}

fn label_of(folder: &OwnedFd) -> Result<Option<Vec<u8>>> {
    let mut label = vec![0; 4096];
    match fgetxattr(folder, INHERITED_XATTR, label.as_mut_slice()) {
        Ok(length) => {
            label.truncate(length);
            Ok(Some(label))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(os("read a label", errno)),
    }
}

fn give(file: impl AsFd, owner: Owner, path: &str) -> Result<()> {
    let done = fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
    // FAT has no owners: root's is what all files have there.
    match done {
        Err(Errno::PERM | Errno::OPNOTSUPP) if owner.uid == 0 && owner.gid == 0 => {}
        done => done.during(path)?,
    }
    match fchmod(file, Mode::from_raw_mode(owner.mode & 0o7777)) {
        Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        done => done.during(path),
    }
}

pub(crate) fn make_folder(fs: &Mounted, path: &str, owner: Owner) -> Result<()> {
    let (folder, name) = parent(&fs.root, path)?;
    need_space(fs, 0)?;
    mkdirat(&folder, name, Mode::from_raw_mode(0o700)).map_err(|errno| new_name(path, errno))?;
    let made = open(&fs.root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    inherit_label(&folder, &made)?;
    give(&made, owner, path)
}

pub(crate) fn make_link(fs: &Mounted, path: &str, target: &str) -> Result<()> {
    let (folder, name) = parent(&fs.root, path)?;
    if target.is_empty() || target.len() > 4095 || target.contains('\0') {
        return Err(Failure::usage("a link's target must have 1 to 4095 bytes and no NUL character"));
    }
    need_space(fs, 0)?;
    symlinkat(target, &folder, name).map_err(|errno| new_name(path, errno))?;
    if let Some(label) = label_of(&folder)? {
        // There is no call for the attributes of a link by its folder.
        let at = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        lsetxattr(at, INHERITED_XATTR, &label, XattrFlags::empty()).during("label a new link")?;
    }
    let root = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    chownat(&folder, name, Some(Uid::ROOT), Some(Gid::ROOT), root).during(path)
}

pub(crate) fn rename(fs: &Mounted, from: &str, to: &str) -> Result<()> {
    find(&fs.root, from, OFlags::PATH)?.ok_or_else(|| Failure::usage(format!("there is no {from:?}")))?;
    let (old_folder, old_name) = parent(&fs.root, from)?;
    let (new_folder, new_name_) = parent(&fs.root, to)?;
    match renameat_with(&old_folder, old_name, &new_folder, new_name_, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => Err(Failure::usage(format!("{to:?} lies in {from:?}"))),
        Err(errno) => Err(new_name(to, errno)),
    }
}

pub(crate) fn remove(fs: &Mounted, path: &str) -> Result<()> {
    let meta = crate::files::stat(fs, path)?;
    let meta = meta.ok_or_else(|| Failure::usage(format!("there is no {path:?}")))?;
    let (folder, name) = parent(&fs.root, path)?;
    let is_folder = meta.kind == microvm_init::Kind::Folder;
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match unlinkat(&folder, name, flags) {
        Err(Errno::NOTEMPTY) => Err(Failure::usage(format!("the folder {path:?} is not empty"))),
        done => done.during(format_args!("remove {path}")),
    }
}

pub(crate) fn sync(fs: &Mounted) -> Result<()> {
    rustix::fs::syncfs(&fs.root).during(format_args!("write out {}", fs.device))
}

/// Bytes that the device was told it need not keep.
pub(crate) fn trim(fs: &Mounted) -> Result<u64> {
    ioctl::trim(&fs.root).during(format_args!("trim {}", fs.device))
}
