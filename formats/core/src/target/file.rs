//! A target that is a file.

mod left;
mod own;
mod publish;

use super::behind::BehindFile;
use super::reflink::Reflinks;
use crate::fence::Fence;
use crate::{Error, ErrorKind, HostRange, PublishedFile, Result, TargetStorage, codes};
use left::{leave_to_others, open_partial, refuse_unfinished_update, remove_update_marker};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, RenameFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Zeros that are written at once where holes cannot be punched.
const ZEROS: u64 = 1 << 20;

/// A file that is `NAME.partial` until it is committed as `NAME`.
#[derive(Debug)]
pub struct FileTarget {
    file: BehindFile,
    reflinks: Reflinks,
    partial: PathBuf,
    path: PathBuf,
    replace: bool,
    committed: bool,
    /// Device and inode numbers of the files of the source: never to be written.
    sources: Vec<(u64, u64)>,
    /// Whether further files of the image are opened as an interrupted run left them.
    resuming: bool,
    /// Before this there may be bytes of an interrupted run.
    blank_from: AtomicU64,
    /// Whether the partial files of the image stay when they are dropped: a later run can go on with them.
    kept: Arc<AtomicBool>,
    /// The lease that the process works under.
    fence: Option<&'static Fence>,
}

impl FileTarget {
    /// The same target, of which no further file may be one of `sources` (device and inode numbers).
    #[must_use]
    pub fn sparing(mut self, sources: Vec<(u64, u64)>) -> Self {
        self.sources = sources;
        self
    }

    /// The name that `path` has until it is committed.
    #[must_use]
    pub fn partial_path(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        path.with_file_name(name)
    }

    /// Where a run keeps what a later one needs to go on with `path.partial`. Such a file never outlives the partial
    /// file that it tells of.
    #[must_use]
    pub fn journal_path(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial.journal");
        path.with_file_name(name)
    }

    /// The file beside it that says: the partial file is an image whose update was interrupted, not a new one.
    #[must_use]
    pub fn update_marker(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial.sync");
        path.with_file_name(name)
    }

    /// Starts `path` as `path.partial`, empty and locked. What an interrupted run left there is discarded.
    ///
    /// # Errors
    /// `Destination` when the folder is missing, or `path` exists and `replace` is false; `Temporary` when another
    /// run holds the partial file.
    pub fn create(path: &Path, replace: bool) -> Result<Self> {
        let mut target = Self::resume(path, replace)?;
        target.restart()?;
        Ok(target)
    }

    /// Opens and locks `path.partial` as an interrupted run left it, with its further files. Unless
    /// [`TargetStorage::resume_at`] or [`FileTarget::restart`] follows, nothing may be written.
    ///
    /// # Errors
    /// As [`FileTarget::create`].
    pub fn resume(path: &Path, replace: bool) -> Result<Self> {
        Self::resume_under(Fence::of_process()?, path, replace)
    }

    /// As [`FileTarget::resume`] under this lease.
    fn resume_under(fence: Option<&'static Fence>, path: &Path, replace: bool) -> Result<Self> {
        // The rename would refuse a name that ends like a folder's, but only after the whole copy.
        if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(Error::usage(format!("{} names no file", path.display())));
        }
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                return Err(Error::new(
                    ErrorKind::Destination,
                    format!("{} exists and is no regular file", path.display()),
                ));
            }
            Ok(_) if !replace => {
                return Err(Error::new(ErrorKind::Destination, format!("{} already exists", path.display()))
                    .with_code(&codes::DESTINATION_EXISTS)
                    .hint("choose another name, or --force to replace it"));
            }
            _ => {}
        }
        refuse_unfinished_update(path, replace)?;
        let partial = Self::partial_path(path);
        leave_to_others(path, &partial, fence)?;
        let file = open_partial(&partial)?;
        lock(&file, &partial)?;
        remove_update_marker(path)?;
        let (file, reflinks) = (BehindFile::new(file), Reflinks::default());
        Ok(Self {
            file,
            reflinks,
            partial,
            path: path.to_owned(),
            replace,
            committed: false,
            sources: Vec::new(),
            resuming: true,
            blank_from: AtomicU64::new(u64::MAX),
            kept: Arc::new(AtomicBool::new(true)),
            fence,
        })
    }

    /// Discards what an interrupted run left.
    ///
    /// # Errors
    /// `Io` when the host fails.
    pub fn restart(&mut self) -> Result<()> {
        self.resuming = false;
        self.kept.store(false, Ordering::Relaxed);
        let journal = Self::journal_path(&self.path);
        match std::fs::remove_file(&journal) {
            // Durable before the first new byte: the journal would vouch for what it does not know.
            Ok(()) => sync_folder(&self.path)?,
            // A name that is too long never had a file.
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidFilename) => {
            }
            Err(e) => return Err(Error::io(format!("cannot remove {}", journal.display()), e)),
        }
        self.blank_from = AtomicU64::new(0);
        self.file
            .file()
            .set_len(0)
            .map_err(|e| Error::io(format!("cannot empty {}", self.partial.display()), e))
    }

    /// Notes which image the file is a part of, under the name of a journal: whoever starts the file over removes the note
    /// before the first new byte.
    fn with_owner(self, owner: &[u8]) -> Result<Self> {
        let note = Self::journal_path(&self.path);
        let written = File::create_new(&note).and_then(|mut file| {
            file.write_all(owner)?;
            file.sync_all()
        });
        written.map_err(|e| Error::io(format!("cannot write {}", note.display()), e))?;
        Ok(self)
    }

    /// The same, if it is still what an interrupted run of that image left.
    fn owned_by(self, owner: &[u8]) -> Result<Self> {
        // A journal of the file's own is longer than any name.
        let note = Self::journal_path(&self.path);
        let is_short = note.metadata().is_ok_and(|found| found.len() == owner.len() as u64);
        if is_short && std::fs::read(&note).is_ok_and(|found| found == owner) {
            return Ok(self);
        }
        Err(Error::corrupt(format!("{} is not what the interrupted run left", self.partial.display())))
    }

    /// Size of the partial file in bytes, and its inode number.
    ///
    /// # Errors
    /// `Io` when the host cannot tell.
    pub fn partial_facts(&self) -> Result<(u64, u64)> {
        let found = self.file.file().metadata();
        let found = found.map_err(|e| Error::io(format!("cannot examine {}", self.partial.display()), e))?;
        Ok((found.len(), found.ino()))
    }

    /// What decides whether the partial files stay when the run fails: those of an interrupted run do, new ones do not.
    #[must_use]
    pub fn kept(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.kept)
    }

    fn rename(&self) -> Result<()> {
        let what = || format!("cannot give {} its final name", self.path.display());
        // Before the look at the name, which the run that has taken over took away.
        self.fence.map_or(Ok(()), Fence::check).map_err(|e| e.context(what()))?;
        if !is_named(self.file.file(), &self.partial) {
            let text = format!("{}: {} was replaced meanwhile", what(), self.partial.display());
            return Err(Error::new(ErrorKind::Destination, text));
        }
        if let Some(fence) = self.fence {
            let found = self.file.file().metadata();
            let found =
                found.map_err(|e| Error::io(format!("cannot examine {}", self.partial.display()), e))?;
            fence.publish(PublishedFile::of(&found)).map_err(|e| e.context(what()))?;
            let named = self::publish::name_own(self.file.file(), &self.partial, &self.path, self.replace);
            return named.map_err(|e| Error::io(what(), e.into()).with_kind(ErrorKind::Destination));
        }
        let here = rustix::fs::CWD;
        let result = match self.replace {
            true => rustix::fs::renameat(here, &self.partial, here, &self.path),
            false => rename_new(&self.partial, &self.path),
        };
        result.map_err(|e| Error::io(what(), e.into()).with_kind(ErrorKind::Destination))
    }
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |e| Error::io(format!("cannot make the folder {} durable", folder.display()), e);
    File::open(folder).map_err(failed)?.sync_all().map_err(failed)
}

fn destination_error(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot create {}", path.display()), error);
    if missing {
        error.with_kind(ErrorKind::Destination).hint("create the folder first, or mount its volume")
    } else {
        error
    }
}

/// Two runs must not write one file; and the file locked must still be the one with that name.
pub(super) fn lock(file: &File, path: &Path) -> Result<()> {
    let busy = || {
        Error::new(ErrorKind::Temporary, format!("{} is being written by another run", path.display()))
            .with_code(&codes::DESTINATION_LOCKED)
            .hint("wait for it to end, then run this again")
    };
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
        Errno::WOULDBLOCK => busy(),
        other => Error::io(format!("cannot lock {}", path.display()), other.into()),
    })?;
    if is_named(file, path) { Ok(()) } else { Err(busy()) }
}

/// Whether `path` is a name of the open file.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    let named = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    match (rustix::fs::fstat(file), named) {
        (Ok(ours), Ok(named)) => (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino),
        _ => false,
    }
}

/// Renames to a name that nothing has.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<(), Errno> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL) => rename_without_flags(from, to),
        other => other,
    }
}

/// Renames where the file system knows no flags, as network file systems do: a hard link never replaces a file either.
fn rename_without_flags(from: &Path, to: &Path) -> Result<(), Errno> {
    let here = rustix::fs::CWD;
    match rustix::fs::linkat(here, from, here, to, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(here, from, AtFlags::empty()),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        // No links either. What remains is a look before the leap.
        Err(_) => match rustix::fs::statat(here, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => rustix::fs::renameat(here, from, here, to),
            _ => Err(Errno::EXIST),
        },
    }
}

impl TargetStorage for FileTarget {
    fn gathers_writes(&self) -> bool {
        true
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| {
            Error::io(format!("cannot write {:#x} bytes to {}", bytes.len(), self.partial.display()), e)
                .at(offset)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file
            .file()
            .set_len(len)
            .map_err(|e| Error::io(format!("cannot set {} to {len:#x} bytes", self.partial.display()), e))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|e| Error::io(format!("cannot make {} durable", self.partial.display()), e))
    }

    fn share(&self, offset: u64, source: &HostRange) -> Result<bool> {
        let Some(file) = source.storage.as_file() else { return Ok(false) };
        self.reflinks.share((file, source.offset), (self.file.file(), offset), source.len).map_err(|e| {
            Error::io(format!("cannot share bytes with {}", self.partial.display()), e).at(offset)
        })
    }

    fn resume_at(&self, len: u64) -> Result<()> {
        let (found, _) = self.partial_facts()?;
        if found < len {
            let path = self.partial.display();
            return Err(Error::corrupt(format!("{path} has {found:#x} bytes, {len:#x} were made durable")));
        }
        self.blank_from.store(len, Ordering::Relaxed);
        self.set_len(len)
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len).min(self.blank_from.load(Ordering::Relaxed));
        if offset >= end {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(self.file.file(), hole, offset, end - offset) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            other => {
                let what = || format!("cannot write zeros to {}", self.partial.display());
                return other.map_err(|e| Error::io(what(), e.into()).at(offset));
            }
        }
        let zeros = vec![0; (end - offset).min(ZEROS) as usize];
        (offset..end)
            .step_by(ZEROS as usize)
            .try_for_each(|at| self.write_all_at(at, &zeros[..(end - at).min(ZEROS) as usize]))
    }

    fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    fn sibling(&self, name: &str) -> Result<Box<dyn TargetStorage>> {
        if Path::new(name).file_name() != Some(OsStr::new(name)) {
            return Err(Error::contract(format!("{name:?} names no file beside the image")));
        }
        let path = self.path.with_file_name(name);
        let marker = Self::update_marker(&path);
        for path in [Self::partial_path(&path), Self::journal_path(&path), marker, path.clone()] {
            let found = rustix::fs::stat(&path).map(|found| (found.st_dev, found.st_ino));
            if found.is_ok_and(|found| self.sources.contains(&found)) {
                return Err(Error::usage(format!(
                    "{} would be written, and is a file of the source",
                    path.display()
                ))
                .hint("choose another name for the target, or move the source first"));
            }
        }
        let owner = self.path.file_name().unwrap_or_default().as_bytes();
        let mut sibling = if self.resuming {
            Self::resume(&path, self.replace)?.owned_by(owner)?
        } else {
            Self::create(&path, self.replace)?.with_owner(owner)?
        };
        sibling.kept = self.kept();
        Ok(Box::new(sibling.sparing(self.sources.clone())))
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.sync()?;
        self.rename()?;
        self.committed = true;
        sync_folder(&self.path)?;
        // Best effort: without its partial file it means nothing, and the next run that writes here removes it.
        let _ = std::fs::remove_file(Self::journal_path(&self.path));
        Ok(())
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        if !self.committed && !self.kept.load(Ordering::Relaxed) && is_named(self.file.file(), &self.partial)
        {
            // Best effort: a left-over .partial is not taken for an image, and the next run discards it.
            let _ = std::fs::remove_file(Self::journal_path(&self.path));
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests;
