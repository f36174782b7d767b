//! Where a path leads in a file system, without following links and without leaving it.

use crate::failing::{Result, os};
use microvm_init::Failure;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// No link is followed, no mount crossed, and `..` leads nowhere out.
fn strict() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
}

/// The path below the root, `.` for the root itself.
fn relative(path: &str) -> Result<&str> {
    let inner = path.strip_prefix('/').ok_or_else(|| Failure::usage(format!("{path:?} is not absolute")))?;
    if inner.split('/').any(|name| name == ".." || name == ".") || inner.contains('\0') {
        return Err(Failure::usage(format!("{path:?} is no path")));
    }
    let inner = inner.trim_matches('/');
    Ok(if inner.is_empty() { "." } else { inner })
}

/// Opens what `path` names, a link itself when it is one; `None` when there is no such.
pub(crate) fn find(root: impl AsFd, path: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(root, relative(path)?, flags, Mode::empty(), strict()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(os(format!("open {path}"), errno)),
    }
}

/// The same where there must be something.
pub(crate) fn open(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd> {
    find(root, path, flags)?.ok_or_else(|| Failure::usage(format!("there is no {path:?}")))
}

/// The folder that holds the last name of `path`, and that name.
pub(crate) fn parent(root: impl AsFd, path: &str) -> Result<(OwnedFd, &str)> {
    let inner = relative(path)?;
    let (folder, name) = inner.rsplit_once('/').unwrap_or(("", inner));
    if name == "." {
        return Err(Failure::usage("the root folder cannot be edited"));
    }
    let folder = find(root, &format!("/{folder}"), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let folder = folder.ok_or_else(|| Failure::usage(format!("there is no folder for {path:?}")))?;
    Ok((folder, name))
}
