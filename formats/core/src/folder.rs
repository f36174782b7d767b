//! A folder that the operator named as a source.

use crate::{Error, ErrorKind, FileStorage, PartFile, Result, Storage};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Folders with more entries than this are refused.
const MAX_ENTRIES: usize = 2 << 20;

/// A folder that the operator named, and all below it. No name leads out of it, and no link.
///
/// The names that a room asks for are its own: fixed ones, or ones that it made of numbers and digests and checked. What
/// an image says is a file name goes through the [`crate::Gate`].
#[derive(Debug)]
pub struct SourceFolder {
    path: PathBuf,
    fd: OwnedFd,
    opened: Mutex<Vec<PartFile>>,
}

/// A file or folder in a [`SourceFolder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its name. Names that are no UTF-8 are left out of listings.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Size of a file in bytes.
    pub size: u64,
}

impl SourceFolder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// `SourceMissing`, `Denied`, `Io`; also when it is no folder.
    pub fn open(path: &Path) -> Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|e| Error::io(format!("cannot open the folder {}", path.display()), e.into()))?;
        Ok(Self { path: path.to_owned(), fd, opened: Mutex::default() })
    }

    /// What messages call it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder `levels` above this one: for formats whose data lie beside the folder that was named.
    ///
    /// # Errors
    /// As [`SourceFolder::open`].
    pub fn climb(&self, levels: usize) -> Result<Self> {
        let path = self
            .path
            .canonicalize()
            .map_err(|e| Error::io(format!("cannot find {}", self.path.display()), e))?;
        let above = path.ancestors().nth(levels).ok_or_else(|| {
            Error::new(
                ErrorKind::SourceMissing,
                format!("there are no {levels} folders above {}", path.display()),
            )
        })?;
        Self::open(above)
    }

    /// The files and folders in the folder `inside`, sorted by name, without links; `""` is the folder itself.
    ///
    /// # Errors
    /// As [`SourceFolder::open`]; `Limit` for millions of entries.
    pub fn entries(&self, inside: &str) -> Result<Vec<FolderEntry>> {
        let inside = if inside.is_empty() { "." } else { inside };
        let failed = |e: rustix::io::Errno| self.failed(inside, e);
        let fd = self.open_beneath(inside, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let folder = rustix::fs::Dir::read_from(&fd).map_err(failed)?;
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if entries.len() >= MAX_ENTRIES {
                let text =
                    format!("{} holds more than {MAX_ENTRIES} files", self.path.join(inside).display());
                return Err(Error::new(ErrorKind::Limit, text));
            }
            // A file that went away meanwhile is none.
            let Ok(found) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let kind = FileType::from_raw_mode(found.st_mode);
            let (is_folder, size) = (kind == FileType::Directory, u64::try_from(found.st_size).unwrap_or(0));
            if is_folder || kind == FileType::RegularFile {
                entries.push(FolderEntry { name: name.to_owned(), is_folder, size });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The size in bytes of the regular file `inside`, or `None` when there is none.
    ///
    /// # Errors
    /// `Denied`, `Io` when nobody can tell.
    pub fn file_size(&self, inside: &str) -> Result<Option<u64>> {
        match self.open_beneath(inside, OFlags::PATH) {
            Ok(fd) => {
                let found = rustix::fs::fstat(&fd).map_err(|e| self.failed(inside, e))?;
                let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
                Ok(is_file.then(|| u64::try_from(found.st_size).unwrap_or(0)))
            }
            Err(error) if error.kind() == ErrorKind::SourceMissing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a folder `inside`.
    #[must_use]
    pub fn has_folder(&self, inside: &str) -> bool {
        self.open_beneath(inside, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    /// Opens the file `inside`, which then counts as one of the source: no target can replace it.
    ///
    /// # Errors
    /// `SourceMissing`, `Denied`, `Io`; `Unsupported` for what is no regular file.
    pub fn file(&self, inside: &str) -> Result<FileStorage> {
        let storage = self.piece(inside)?;
        let part = PartFile::of(&storage)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        Ok(storage)
    }

    /// As [`SourceFolder::file`] for one of many: it is opened for a moment and not remembered.
    ///
    /// # Errors
    /// As [`SourceFolder::file`].
    pub fn piece(&self, inside: &str) -> Result<FileStorage> {
        let fd = self.open_beneath(inside, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let storage = FileStorage::from_file(File::from(fd), &self.path.join(inside))?;
        if storage.is_device() {
            let text = format!("{} is a device", storage.path().display());
            return Err(Error::new(ErrorKind::Denied, text));
        }
        Ok(storage)
    }

    /// The whole file `inside`, which must not be larger than `limit` bytes.
    ///
    /// # Errors
    /// As [`SourceFolder::file`]; `Limit` when it is larger.
    pub fn read(&self, inside: &str, limit: u64) -> Result<Vec<u8>> {
        let storage = self.file(inside)?;
        if storage.size() > limit {
            let text = format!("{} has {} bytes, {limit} at most", storage.path().display(), storage.size());
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let mut bytes = vec![0; storage.size() as usize];
        storage.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The files that were opened by [`SourceFolder::file`].
    #[must_use]
    pub fn opened(&self) -> Vec<PartFile> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open_beneath(&self, inside: &str, flags: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.fd, inside, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
            .map_err(|e| self.failed(inside, e))
    }

    fn failed(&self, inside: &str, error: rustix::io::Errno) -> Error {
        let what = format!("cannot open {}", self.path.join(inside).display());
        match error {
            rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => {
                Error::new(ErrorKind::Denied, format!("{what}: it leads out of the folder"))
            }
            other => Error::io(what, other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("a");
        std::fs::create_dir_all(inside.join("b")).unwrap();
        std::fs::write(root.path().join("secret"), b"s").unwrap();
        std::fs::write(inside.join("b/file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("b/file", inside.join("within")).unwrap();
        let folder = SourceFolder::open(&inside).unwrap();
        for name in ["../secret", "out", "/etc/passwd", "b/../../secret"] {
            assert_eq!(folder.file(name).unwrap_err().kind(), ErrorKind::Denied, "{name}");
        }
        assert_eq!(folder.read("b/file", 5).unwrap(), b"bytes");
        assert_eq!(folder.read("within", 5).unwrap(), b"bytes");
        assert_eq!(folder.read("b/file", 4).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(folder.file("b").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(folder.file_size("b/file").unwrap(), Some(5));
        assert_eq!((folder.file_size("b").unwrap(), folder.file_size("no").unwrap()), (None, None));
        assert!(folder.has_folder("b") && !folder.has_folder("b/file"));
        let names: Vec<_> = folder.entries("").unwrap().into_iter().map(|e| (e.name, e.is_folder)).collect();
        assert_eq!(names, [("b".to_owned(), true)]);
        assert_eq!(folder.climb(1).unwrap().read("secret", 9).unwrap(), b"s");
        assert_eq!(folder.opened().len(), 3);
    }
}
