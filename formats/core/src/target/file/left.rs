//! What earlier runs left beside a target, before a new one begins.

use super::destination_error;
use super::sync_folder;
use crate::fence::Fence;
use crate::{Error, ErrorKind, FileTarget, Result};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// An image that is half old and half new can still be completed: it is not discarded unless that was said.
pub(super) fn refuse_unfinished_update(path: &Path, replace: bool) -> Result<()> {
    let (partial, marker) = (FileTarget::partial_path(path), FileTarget::update_marker(path));
    if marker.symlink_metadata().is_ok() && partial.symlink_metadata().is_ok() && !replace {
        let text = format!("{} is what an interrupted --sync left of {}", partial.display(), path.display());
        return Err(Error::new(ErrorKind::Destination, text)
            .hint("run that again with --sync to complete it, or --force to discard it and write it anew"));
    }
    Ok(())
}

/// Takes the partial file's name off what must not be written: an image that has its final name already, what a run that was
/// not known to be dead may still write to (that run then writes into a file without a name), and a file that has other
/// names: whoever linked it wants to keep what it holds.
pub(super) fn leave_to_others(path: &Path, partial: &Path, fence: Option<&Fence>) -> Result<()> {
    let id = |path: &Path| path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()));
    let Some(own) = id(partial) else { return Ok(()) };
    let is_shared = partial.symlink_metadata().is_ok_and(|found| found.is_file() && found.nlink() > 1);
    // What another user made, or may write, would be an image of his, with the guest's disk in it.
    let is_foreign =
        partial.symlink_metadata().is_ok_and(|found| found.is_file() && !FileTarget::is_own(&found, partial));
    let is_fresh = fence.is_some_and(Fence::is_fresh);
    if !is_fresh && !is_shared && !is_foreign && id(path) != Some(own) {
        return Ok(());
    }
    // A journal never outlives the partial file that it tells of.
    let journal = FileTarget::journal_path(path);
    for file in [journal.as_path(), partial] {
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {}", file.display()), e));
            }
            _ => {}
        }
    }
    sync_folder(path)
}

/// Opens the partial file, or makes it. Whoever can write to the folder can have put something else under its name.
pub(super) fn open_partial(partial: &Path) -> Result<File> {
    let in_the_way = |what: &str| {
        let text = format!("{} is in the way: it {what}", partial.display());
        Error::new(ErrorKind::Destination, text).hint("look who put it there, and move it away")
    };
    // Before it is opened: opening a device can do something.
    if partial.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(in_the_way("is a link, or no file"));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags.bits() as i32)
        .open(partial)
        .map_err(|e| destination_error(partial, e))?;
    let found = file.metadata().map_err(|e| destination_error(partial, e))?;
    if !found.is_file() || found.nlink() > 1 || !FileTarget::is_own(&found, partial) {
        return Err(in_the_way("was replaced just now"));
    }
    Ok(file)
}

/// The partial file is ours and will be a new image.
pub(super) fn remove_update_marker(path: &Path) -> Result<()> {
    let marker = FileTarget::update_marker(path);
    match std::fs::remove_file(&marker) {
        Ok(()) => Ok(()),
        // A name that is too long never had a file.
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidFilename) => {
            Ok(())
        }
        Err(e) => Err(Error::io(format!("cannot remove {}", marker.display()), e)),
    }
}
