//! Files that a report names with their digests, so that a signature of the report covers them too.

use crate::model::Evidence;
use format_core::{Error, Result};
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `O_NONBLOCK` of Linux: opening a FIFO that nobody writes must not wait for ever.
const NONBLOCK: i32 = 0o4000;

/// What a named file is today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// What it was.
    Same,
    /// Something else.
    Changed,
    /// Gone, or no file.
    Missing,
    /// It is there and cannot be read.
    Unreadable,
}

impl Evidence {
    /// The file at `path` as it is now, named relative to `folder`, the report's, when it is below it.
    ///
    /// # Errors
    /// What reading reports; `Usage` when it is no file.
    pub fn of(folder: &Path, path: &Path) -> Result<Self> {
        let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
        let mut file = open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::usage(format!("{} is not a file", path.display())));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(failed)?;
        let absolute = |path: &Path| path.canonicalize();
        let (folder, whole) = (absolute(folder).map_err(failed)?, absolute(path).map_err(failed)?);
        let named = whole.strip_prefix(&folder).unwrap_or(&whole);
        let named = named.to_str().ok_or_else(|| {
            Error::unsupported(format!("the name {} is not UTF-8, and a report is", path.display()))
        })?;
        Ok(Self {
            path: named.to_owned(),
            size: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Where it is, for a report in `folder`.
    #[must_use]
    pub fn place(&self, folder: &Path) -> PathBuf {
        folder.join(&self.path)
    }

    /// Compares with the file as it is now. A file of another size is not read.
    #[must_use]
    pub fn check(&self, folder: &Path) -> FileState {
        let path = self.place(folder);
        let Ok(metadata) = path.metadata() else { return FileState::Missing };
        if !metadata.is_file() {
            return FileState::Missing;
        }
        if metadata.len() != self.size {
            return FileState::Changed;
        }
        let mut hasher = blake3::Hasher::new();
        let read = open(&path).and_then(|file| hasher.update_reader(file.take(self.size + 1)).map(|_| ()));
        match read {
            Err(_) => FileState::Unreadable,
            Ok(()) if hasher.count() == self.size && hasher.finalize().to_hex().as_str() == self.blake3 => {
                FileState::Same
            }
            Ok(()) => FileState::Changed,
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).custom_flags(NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_from_the_reports_folder_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("jobs");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.json"), "content").unwrap();
        let found = Evidence::of(folder.path(), &inside.join("a.json")).unwrap();
        assert_eq!((found.path.as_str(), found.size), ("jobs/a.json", 7));
        // As b3sum prints it for the seven bytes.
        assert_eq!(found.blake3, blake3::hash(b"content").to_hex().as_str());
        assert_eq!(found.check(folder.path()), FileState::Same);
        std::fs::write(inside.join("a.json"), "contend").unwrap();
        assert_eq!(found.check(folder.path()), FileState::Changed);
        std::fs::write(inside.join("a.json"), "longer content").unwrap();
        assert_eq!(found.check(folder.path()), FileState::Changed);
        std::fs::remove_file(inside.join("a.json")).unwrap();
        assert_eq!(found.check(folder.path()), FileState::Missing);
        let outside = Evidence::of(&inside, &folder.path().join("b"));
        assert_eq!(outside.unwrap_err().kind(), format_core::ErrorKind::SourceMissing);
        std::fs::write(folder.path().join("b"), "x").unwrap();
        let outside = Evidence::of(&inside, &folder.path().join("b")).unwrap();
        assert!(Path::new(&outside.path).is_absolute() && outside.check(&inside) == FileState::Same);
    }

    #[test]
    fn a_folder_or_a_pipe_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Evidence::of(folder.path(), folder.path()).is_err());
        let named = Evidence { path: ".".into(), size: 0, blake3: String::new() };
        assert_eq!(named.check(folder.path()), FileState::Missing);
        let device = Evidence { path: "/dev/zero".into(), size: 0, blake3: String::new() };
        assert_eq!(device.check(folder.path()), FileState::Missing);
    }
}
