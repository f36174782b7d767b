//! A file that is brought up to date: it loses its name before the first byte changes, and gets it back when all are right.

use super::write_zeros;
use crate::target::behind::BehindFile;
use crate::target::file::{is_named, lock, rename_new, sync_folder};
use crate::{
    Error, ErrorKind, Extent, Fence, FileStorage, FileTarget, Result, Storage, UpdateStorage, codes,
};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An image file that is changed in place. Before the first change it becomes `NAME.partial`, with a marker
/// `NAME.partial.sync` beside it and without a manifest; [`FileInPlace::commit`] gives the name back. An interrupted run
/// leaves all that, and [`FileInPlace::open`] finds it again.
#[derive(Debug)]
pub struct FileInPlace {
    file: BehindFile,
    reading: FileStorage,
    path: PathBuf,
    partial: PathBuf,
    /// What the marker says.
    note: String,
    /// Files that speak of the old content.
    stale: Vec<PathBuf>,
    /// Whether the file is `NAME.partial` now.
    begun: Mutex<bool>,
    was_unfinished: bool,
}

impl FileInPlace {
    /// Opens the image that is, or is to be, `path`; nothing changes yet. The marker will say `note`, and the files `stale`
    /// will be removed before the first change.
    ///
    /// # Errors
    /// `Destination` when there is no such regular file, or something else has the name it will need; `Temporary` when
    /// another program holds it; `Io`.
    pub fn open(path: &Path, note: &str, stale: Vec<PathBuf>) -> Result<Self> {
        let partial = FileTarget::partial_path(path);
        let was_unfinished = Self::unfinished(path)?.is_some();
        let name = if was_unfinished { &partial } else { path };
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(name)
            .map_err(|e| cannot_open(name, e))?;
        let found =
            file.metadata().map_err(|e| Error::io(format!("cannot examine {}", name.display()), e))?;
        if !found.is_file() {
            let text = format!("{} is no regular file", name.display());
            return Err(Error::new(ErrorKind::Destination, text));
        }
        // Whoever linked it wants to keep what it holds.
        if found.nlink() > 1 {
            let text = format!("{} has other names (hard links), which would change too", name.display());
            return Err(Error::new(ErrorKind::Destination, text)
                .hint("give it a copy of its own first, or convert anew with --force and without --sync"));
        }
        lock(&file, name)?;
        refuse_in_use(&file, name)?;
        let twin = file.try_clone().map_err(|e| Error::io(format!("cannot open {}", name.display()), e))?;
        Ok(Self {
            reading: FileStorage::from_file(twin, name)?,
            file: BehindFile::new(file),
            path: path.to_owned(),
            partial,
            note: note.to_owned(),
            stale,
            begun: Mutex::new(was_unfinished),
            was_unfinished,
        })
    }

    /// What the marker says when an interrupted run left `path` unfinished.
    ///
    /// # Errors
    /// `Destination` when an image, or the rest of a conversion, has a name that is needed; `Io` when the marker cannot be
    /// read.
    pub fn unfinished(path: &Path) -> Result<Option<String>> {
        let (partial, marker) = (FileTarget::partial_path(path), FileTarget::update_marker(path));
        if partial.symlink_metadata().is_err() {
            return Ok(None);
        }
        let in_the_way = |why: &str| {
            let text = format!("{} is in the way: {why}", partial.display());
            Err(Error::new(ErrorKind::Destination, text).hint("look whether it is needed, then remove it"))
        };
        if marker.symlink_metadata().is_err() {
            return in_the_way("it is what an unfinished conversion left");
        }
        if path.symlink_metadata().is_ok() {
            return in_the_way("it is what an unfinished --sync left, and another file has the image's name");
        }
        let failed = |e| Error::io(format!("cannot read {}", marker.display()), e);
        read_marker(&marker).map(|text| Some(text.trim().to_owned())).map_err(failed)
    }

    /// The name that the file has until the first change.
    #[must_use]
    pub fn name(&self) -> &Path {
        if self.was_unfinished { &self.partial } else { &self.path }
    }

    /// Whether it is the file with these device and inode numbers.
    #[must_use]
    pub fn is(&self, file_id: (u64, u64)) -> bool {
        self.reading.file_id().is_ok_and(|own| own == file_id)
    }

    /// Whether the image was changed, by this run or an interrupted one, and is to be committed.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an interrupted run had begun to change it.
    #[must_use]
    pub fn was_unfinished(&self) -> bool {
        self.was_unfinished
    }

    /// Gives the image its name back, if it lost it, and removes the marker. What was written has to be durable by now.
    ///
    /// # Errors
    /// `Destination` when the name was taken meanwhile, `Io` when the host fails.
    pub fn commit(&self) -> Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let marker = FileTarget::update_marker(&self.path);
        if !*begun {
            // Left by a run that was killed just before its end, or just before its beginning.
            return remove(&marker);
        }
        if let Some(fence) = Fence::of_process()? {
            fence
                .check()
                .map_err(|e| e.context(format!("cannot give {} its name back", self.path.display())))?;
        }
        self.take_name(&self.partial, &self.path)?;
        *begun = false;
        // Without the partial file it means nothing: a crash before this leaves nothing wrong.
        remove(&marker)?;
        sync_folder(&self.path)
    }

    /// Once, before the first change. A file that is not what its name says is never seen under its name.
    fn begin(&self) -> Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if *begun {
            return Ok(());
        }
        let marker = FileTarget::update_marker(&self.path);
        let failed = |e| Error::io(format!("cannot create {}", marker.display()), e);
        remove(&marker)?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).open(&marker).map_err(failed)?;
        file.write_all(format!("{}\n", self.note).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        self.stale.iter().try_for_each(|path| remove(path))?;
        // The marker is there before the name is: without it the partial file would be taken for a conversion's.
        sync_folder(&self.path)?;
        if let Err(error) = self.take_name(&self.path, &self.partial) {
            // Whatever has that name is not what the marker would say it is.
            let _ = std::fs::remove_file(&marker);
            return Err(error);
        }
        *begun = true;
        Ok(())
    }

    fn take_name(&self, from: &Path, to: &Path) -> Result<()> {
        let what = format!("cannot rename {} to {}", from.display(), to.display());
        if !is_named(self.file.file(), from) {
            let text = format!("{what}: it was replaced meanwhile");
            return Err(Error::new(ErrorKind::Destination, text));
        }
        rename_new(from, to).map_err(|e| Error::io(what, e.into()).with_kind(ErrorKind::Destination))?;
        sync_folder(to)
    }

    fn failed(&self, what: &str, offset: u64, error: std::io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.partial.display()), error).at(offset)
    }
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot open {} for writing", path.display()), error);
    match missing {
        true => error
            .with_kind(ErrorKind::Destination)
            .hint("there is nothing to bring up to date: leave --sync away to write it anew"),
        false => error,
    }
}

/// Other programs tell by record locks that they use an image; QEMU does for a running guest.
fn refuse_in_use(file: &File, path: &Path) -> Result<()> {
    match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let text = format!("{} is in use by another program", path.display());
            Err(Error::new(ErrorKind::Temporary, text)
                .with_code(&codes::IN_USE)
                .hint("shut the guest that runs on it down first"))
        }
        // A file system without such locks has nobody who holds one.
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

impl Storage for FileInPlace {
    fn size(&self) -> u64 {
        // A file that is open can be asked.
        self.file.file().metadata().map_or(self.reading.size(), |found| found.len())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.file().read_exact_at(buf, offset).map_err(|e| {
            let cut_off = e.kind() == std::io::ErrorKind::UnexpectedEof;
            let error = self.failed("read from", offset, e);
            if cut_off { error.with_kind(ErrorKind::Corrupt) } else { error }
        })
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        self.reading.data_at(offset)
    }
}

/// Markers hold a format's name. Anything can have that file name: it must neither block nor be without end.
fn read_marker(path: &Path) -> std::io::Result<String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

impl UpdateStorage for FileInPlace {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.begin()?;
        self.file.write_all_at(bytes, offset).map_err(|e| self.failed("write to", offset, e))
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.begin()?;
        let len = len.min(self.size().saturating_sub(offset));
        if len == 0 {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(self.file.file(), hole, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            other => return other.map_err(|e| self.failed("write zeros to", offset, e.into())),
        }
        write_zeros(offset, len, |at, zeros| self.write_all_at(at, zeros))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.begin()?;
        self.file.file().set_len(len).map_err(|e| self.failed("set the size of", len, e))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.failed("make durable", 0, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_is_lost_with_the_first_byte_and_comes_back_with_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (path, stale) = (folder.path().join("d.raw"), folder.path().join("d.raw.rehome.json"));
        std::fs::write(&path, b"old content").unwrap();
        std::fs::write(&stale, b"{}").unwrap();
        let open = || FileInPlace::open(&path, "raw", vec![stale.clone()]);
        let first = open().unwrap();
        assert_eq!(open().unwrap_err().kind(), ErrorKind::Temporary, "held by the first");
        first.commit().unwrap();
        drop(first);
        assert_eq!(names(folder.path()), ["d.raw", "d.raw.rehome.json"], "nothing was touched");

        let second = open().unwrap();
        second.write_all_at(0, b"new").unwrap();
        drop(second);
        assert_eq!(names(folder.path()), ["d.raw.partial", "d.raw.partial.sync"]);
        assert_eq!(FileInPlace::unfinished(&path).unwrap().as_deref(), Some("raw"));

        let third = open().unwrap();
        assert!(third.was_unfinished());
        third.zero_range(4, 1 << 40).unwrap();
        third.commit().unwrap();
        assert_eq!(names(folder.path()), ["d.raw"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"new \0\0\0\0\0\0\0");
    }

    #[test]
    fn what_has_a_name_that_is_needed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.raw");
        let kind = || FileInPlace::open(&path, "raw", Vec::new()).unwrap_err().kind();
        assert_eq!(kind(), ErrorKind::Destination, "there is none");
        std::fs::write(folder.path().join("d.raw.partial"), b"of a conversion").unwrap();
        assert_eq!(kind(), ErrorKind::Destination, "a conversion's");
        std::fs::write(&path, b"image").unwrap();
        assert_eq!(kind(), ErrorKind::Destination, "both");
        std::fs::write(folder.path().join("d.raw.partial.sync"), b"raw").unwrap();
        assert_eq!(kind(), ErrorKind::Destination, "two images");
        std::fs::remove_file(folder.path().join("d.raw.partial")).unwrap();
        let target = FileInPlace::open(&path, "raw", Vec::new()).unwrap();
        std::fs::write(folder.path().join("d.raw.partial"), b"appeared").unwrap();
        assert_eq!(target.write_all_at(0, b"x").unwrap_err().kind(), ErrorKind::Destination);
        assert_eq!(std::fs::read(&path).unwrap(), b"image");
        std::os::unix::fs::symlink("d.raw", folder.path().join("link")).unwrap();
        assert!(FileInPlace::open(&folder.path().join("link"), "raw", Vec::new()).is_err());
    }
}
