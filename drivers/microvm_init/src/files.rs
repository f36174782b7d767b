//! Reading a file system.

use crate::failing::{Result, While, os};
use crate::mounts::Mounted;
use crate::place::{find, open};
use crate::serve::{Channel, Outcome};
use microvm_init::{Answer, Failure, FailureKind, Kind, Listed, Meta, Owner, Reply};
use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Stat, fstat, readlinkat, statat};
use rustix::io::{Errno, read as read_fd};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Names in one folder at most.
const MAX_NAMES: usize = 1 << 20;
/// Names in one message: 255 bytes and their facts fit into a frame so often.
const NAMES_PER_MESSAGE: usize = 2000;
/// What is read at once.
const PIECE: usize = 256 << 10;

/// Facts of what `path` names.
pub(crate) fn stat(fs: &Mounted, path: &str) -> Result<Option<Meta>> {
    let Some(file) = find(&fs.root, path, OFlags::PATH)? else { return Ok(None) };
    Ok(Some(meta(&fstat(&file).during(path)?)))
}

fn meta(stat: &Stat) -> Meta {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    Meta {
        kind,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        owner: Owner { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid },
        inode: stat.st_ino,
    }
}

/// The names in a folder with their facts.
pub(crate) fn list(channel: &mut Channel, fs: &Mounted, path: &str) -> Outcome<Reply> {
    let missing = || Failure::usage(format!("{path:?} is no folder"));
    if !stat(fs, path)?.is_some_and(|meta| meta.kind == Kind::Folder) {
        return Err(missing().into());
    }
    let folder = find(&fs.root, path, OFlags::RDONLY | OFlags::DIRECTORY)?.ok_or_else(missing)?;
    let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut listed = Vec::new();
    let mut count = 0_usize;
    while let Some(entry) = entries.next() {
        let entry = entry.during(path)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        count += 1;
        if count > MAX_NAMES {
            let text = format!("{path:?} has more than {MAX_NAMES} names");
            return Err(Failure::new(FailureKind::Limit, text).into());
        }
        let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
            .during(format_args!("{path}/{}", name.to_string_lossy()))?;
        listed.push(Listed { name: shown(name.to_bytes()), meta: meta(&stat) });
        if listed.len() == NAMES_PER_MESSAGE {
            channel.answer(&Answer::Listed(std::mem::take(&mut listed)))?;
        }
    }
    channel.answer(&Answer::Listed(listed))?;
    Ok(Reply::Done)
}

/// A name that could not be opened is shown so that it cannot be mistaken for one that can.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(['/', '\0'], "\u{fffd}")
}

/// Opens a regular file, and nothing else: opening a pipe or a device does things.
pub(crate) fn open_file(fs: &Mounted, path: &str, flags: OFlags) -> Result<(OwnedFd, Stat)> {
    let meta = stat(fs, path)?.ok_or_else(|| Failure::usage(format!("there is no {path:?}")))?;
    if meta.kind != Kind::File {
        return Err(Failure::usage(format!("{path:?} is not a regular file")));
    }
    let file = open(&fs.root, path, flags)?;
    let stat = fstat(&file).during(path)?;
    Ok((file, stat))
}

/// Sends the content of a regular file.
pub(crate) fn read(channel: &mut Channel, fs: &Mounted, path: &str, limit: u64) -> Outcome<()> {
    let (file, stat) = open_file(fs, path, OFlags::RDONLY)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size > limit {
        let text = format!("{path:?} has {size:#x} bytes, the limit is {limit:#x}");
        return Err(Failure::new(FailureKind::Limit, text).into());
    }
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let got = match read_fd(&file, &mut piece) {
            Ok(got) => got,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(os(format!("read {path}"), errno).into()),
        };
        let bytes = piece.get(..got).unwrap_or_default();
        left = match left.checked_sub(got as u64) {
            Some(left) if got > 0 => left,
            _ => return Err(Failure::new(FailureKind::Corrupt, format!("{path:?} ends early")).into()),
        };
        channel.data(bytes)?;
    }
    Ok(())
}

/// Where a link points.
pub(crate) fn read_link(fs: &Mounted, path: &str) -> Result<String> {
    let no_link = || Failure::usage(format!("{path:?} is not a symbolic link"));
    if !stat(fs, path)?.is_some_and(|meta| meta.kind == Kind::Link) {
        return Err(no_link());
    }
    let link = find(&fs.root, path, OFlags::PATH)?.ok_or_else(no_link)?;
    let target = readlinkat(&link, "", Vec::new()).during(path)?;
    target
        .into_string()
        .map_err(|_| Failure::new(FailureKind::Corrupt, format!("the target of {path:?} is no UTF-8")))
}
