//! What a consolidation does to files: locks, looks, swaps and removals, each of which is whole or did not happen.

use format_core::{Error, ErrorKind, FileTarget, Result, codes};
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file whose lock says that a consolidation works in its folder.
const LOCK: &str = ".rehome-consolidate.lock";

/// What a file is known by. All files of one run lie on one file system, so no device number is among it: that can be another
/// one after a restart of the host. An inode number alone is not enough: a new file gets that of one that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileFacts {
    /// A plain name.
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, i64),
    /// When the file was made, where the file system tells.
    #[serde(default)]
    pub(super) born: Option<(u64, u32)>,
    /// When anything about it changed, its names and owner too.
    #[serde(default)]
    pub(super) changed: Option<(i64, i64)>,
}

impl FileFacts {
    /// # Errors
    /// `SourceMissing`, `Io` from the host; `Usage` for a name that is no text.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let found = look(path)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let unnamed = || Error::usage(format!("the name {} is no UTF-8", path.display()));
        Ok(Self {
            name: name.ok_or_else(unnamed)?.to_owned(),
            inode: found.ino(),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            born: born(&found),
            changed: Some((found.ctime(), found.ctime_nsec())),
        })
    }

    /// Whether the file at `path` is this one, and its content is unchanged; it may have got another name.
    pub(super) fn is_unchanged_at(&self, path: &Path) -> bool {
        self.is_at(path)
            && look(path).is_ok_and(|found| {
                (found.len(), (found.mtime(), found.mtime_nsec())) == (self.size, self.modified)
            })
    }

    /// Whether nobody did anything to the file at `path`, we included.
    pub(super) fn is_untouched_at(&self, path: &Path) -> bool {
        let now = || look(path).ok().map(|found| (found.ctime(), found.ctime_nsec()));
        self.is_unchanged_at(path) && self.changed.is_none_or(|changed| Some(changed) == now())
    }

    /// Whether the file at `path` is this one, whatever was written to it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        look(path).is_ok_and(|found| {
            let same = self.born.is_none_or(|born_then| born(&found).is_none_or(|now| now == born_then));
            found.is_file() && found.ino() == self.inode && same
        })
    }
}

fn born(found: &Metadata) -> Option<(u64, u32)> {
    let since = found.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((since.as_secs(), since.subsec_nanos()))
}

/// What the host says of a name, without following a link.
pub(super) fn look(path: &Path) -> Result<Metadata> {
    path.symlink_metadata().map_err(|e| Error::io(format!("cannot examine {}", path.display()), e))
}

/// Held while a consolidation works in a folder.
pub(super) struct FolderLock {
    path: PathBuf,
    _file: File,
}

impl FolderLock {
    /// # Errors
    /// `Temporary` when another run works there; `Denied`, `Destination`, `Io` when the folder cannot be written.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let failed = |e: std::io::Error| Error::io(format!("cannot lock {}", path.display()), e);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path).map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let text = format!("another consolidation is at work in {}", folder.display());
                    return Err(Error::new(ErrorKind::Temporary, text)
                        .with_code(&codes::DESTINATION_LOCKED)
                        .hint("wait for it to end"));
                }
                Err(e) => return Err(failed(e.into())),
            }
            // The run before may have removed the name between our opening and our locking.
            let ours = file.metadata().map_err(failed)?;
            if path.symlink_metadata().is_ok_and(|named| named.ino() == ours.ino()) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // While it is still locked; a lock file that stays harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Refuses a file that a hypervisor holds open, since QEMU locks what it uses; and one that `goes` and cannot be written to.
///
/// # Errors
/// `Temporary` for the one, `Denied` for the other.
pub(super) fn refuse_in_use(path: &Path, goes: bool) -> Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        // It stays as it is.
        Err(_) if !goes => return Ok(()),
        Err(e) => {
            let error = Error::io(format!("{} cannot be written to", path.display()), e);
            let hint = "it would be replaced or removed: that is what read-only forbids";
            return Err(error.with_kind(ErrorKind::Denied).hint(hint));
        }
    };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::ACCESS | Errno::AGAIN) => {
            let text = format!("{} is open in another program", path.display());
            Err(Error::new(ErrorKind::Temporary, text)
                .with_code(&codes::IN_USE)
                .hint("stop the machine or the backup that uses it"))
        }
        // Where locks are unknown, nobody holds one.
        _ => Ok(()),
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot make the folder {} durable", folder.display()), e);
    File::open(folder).map_err(failed)?.sync_all().map_err(failed)
}

/// `NAME.old` beside the file that takes NAME's place.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Gives `new` the place of `old` in one step. What was `old` is at `new` then, or at `new.old` where the file system cannot
/// exchange two names.
///
/// # Errors
/// `Destination` when the host refuses; then nothing changed.
pub(super) fn exchange(new: &Path, old: &Path) -> Result<()> {
    match rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => exchange_by_link(new, old),
        Err(e) => Err(not_exchanged(new, old, e.into())),
    }
}

/// The same for file systems that know no exchange: a second name keeps the old file, then the new one replaces it.
pub(super) fn exchange_by_link(new: &Path, old: &Path) -> Result<()> {
    let kept = beside(new);
    let failed = |e| not_exchanged(new, old, e);
    match std::fs::remove_file(&kept) {
        // Of a run that was killed between the two steps: the file has its own name still.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    std::fs::hard_link(old, &kept).map_err(failed)?;
    std::fs::rename(new, old).map_err(failed)
}

fn not_exchanged(new: &Path, old: &Path, error: std::io::Error) -> Error {
    let text = format!("cannot give {} the place of {}", new.display(), old.display());
    Error::io(text, error).with_kind(ErrorKind::Destination)
}

/// Undoes [`exchange`].
pub(super) fn exchange_back(new: &Path, old: &Path) -> Result<()> {
    let kept = beside(new);
    if kept.symlink_metadata().is_err() {
        return exchange(new, old);
    }
    let failed = |e| not_exchanged(&kept, old, e);
    std::fs::hard_link(old, new).map_err(failed)?;
    std::fs::rename(&kept, old).map_err(failed)
}

/// Removes the file, or moves it into `to`, if it is still the one that is meant and has its content. One that is gone was
/// removed before.
///
/// # Errors
/// `Destination` when another file has its name, here or there; `Io`, `Denied` when the host refuses.
pub(super) fn put_away(path: &Path, facts: &FileFacts, to: Option<&Path>) -> Result<u64> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        _ if !facts.is_unchanged_at(path) => {
            let text =
                format!("{} is another file by now, or was written to: it is left alone", path.display());
            let hint =
                "move it away, or remove it if nobody needs it; then run the same command again to finish";
            return Err(Error::new(ErrorKind::Destination, text).hint(hint));
        }
        _ => {}
    }
    let failed = |e: std::io::Error| Error::io(format!("cannot remove {}", path.display()), e);
    let room = look(path)?.blocks().saturating_mul(512);
    match to {
        None => std::fs::remove_file(path).map_err(failed)?,
        Some(folder) => {
            let target = folder.join(&facts.name);
            let moved = rustix::fs::renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE);
            let moved = match moved {
                Err(Errno::INVAL) if target.symlink_metadata().is_err() => {
                    rustix::fs::renameat(CWD, path, CWD, &target)
                }
                other => other,
            };
            moved.map_err(|e| {
                let text = format!("cannot move {} to {}", path.display(), target.display());
                let error = Error::io(text, e.into()).with_kind(ErrorKind::Destination);
                match e {
                    Errno::EXIST => error.hint(format!(
                        "all kept points are in place; move {} away or name another folder with --keep-old, then run this again",
                        target.display()
                    )),
                    _ => error,
                }
            })?;
        }
    }
    Ok(room)
}

/// Bytes that can still be written in `folder`.
pub(super) fn free_bytes(folder: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(folder);
    let found = found.map_err(|e| Error::io(format!("cannot examine {}", folder.display()), e.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Gives `new` owner, mode and time of `old`, durably: children of VHDs know their parents by the time, too.
pub(super) fn dress_like(new: &Path, old: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot give {} what {} has", new.display(), old.display()), e);
    let wanted = look(old)?;
    let file = OpenOptions::new().read(true).write(true).open(new).map_err(failed)?;
    let own = file.metadata().map_err(failed)?;
    if (own.uid(), own.gid()) != (wanted.uid(), wanted.gid()) {
        std::os::unix::fs::fchown(&file, Some(wanted.uid()), Some(wanted.gid())).map_err(failed)?;
    }
    file.set_permissions(wanted.permissions()).map_err(failed)?;
    file.set_modified(wanted.modified().map_err(failed)?).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Replaces a small file in one durable step.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    use format_core::TargetStorage;
    let file = Box::new(FileTarget::create(path, true)?);
    file.write_all_at(0, bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_change_places_and_back_with_and_without_the_kernels_help() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        for swap in [exchange, exchange_by_link] {
            std::fs::write(&new, "N").unwrap();
            std::fs::write(&old, "O").unwrap();
            swap(&new, &old).unwrap();
            assert_eq!(read(&old), "N");
            let kept = if beside(&new).exists() { beside(&new) } else { new.clone() };
            assert_eq!(read(&kept), "O");
            exchange_back(&new, &old).unwrap();
            assert_eq!((read(&new), read(&old)), ("N".into(), "O".into()));
            assert!(!beside(&new).exists());
        }
    }

    #[test]
    fn only_the_file_that_is_meant_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "1").unwrap();
        let facts = FileFacts::of(&path).unwrap();
        std::fs::write(folder.path().join("b"), "2").unwrap();
        std::fs::rename(folder.path().join("b"), &path).unwrap();
        assert_eq!(put_away(&path, &facts, None).unwrap_err().kind(), ErrorKind::Destination);
        assert!(path.exists());
        // A new file with the number of the old one, as ext4 gives it.
        let reused = FileFacts { size: 9, born: None, changed: None, ..FileFacts::of(&path).unwrap() };
        assert_eq!(put_away(&path, &reused, None).unwrap_err().kind(), ErrorKind::Destination);
        let facts = FileFacts::of(&path).unwrap();
        let away = folder.path().join("away");
        std::fs::create_dir(&away).unwrap();
        put_away(&path, &facts, Some(&away)).unwrap();
        assert!(!path.exists() && away.join("a").exists());
        assert_eq!(put_away(&path, &facts, Some(&away)).unwrap(), 0, "done before");
    }

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        assert_eq!(FolderLock::take(folder.path()).err().unwrap().kind(), ErrorKind::Temporary);
        drop(first);
        assert!(!folder.path().join(LOCK).exists());
        FolderLock::take(folder.path()).unwrap();
    }
}
