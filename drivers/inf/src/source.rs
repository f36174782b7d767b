//! Where packages come from: a folder of this machine, or a disc image.

use crate::disc::{Disc, DiscFile};
use format_core::{Error, ErrorKind, FileStorage, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bounds of a folder.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 100_000;

/// A folder or a disc.
pub(crate) enum Source {
    Folder(PathBuf),
    Disc(Disc),
}

/// A file of a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// On a disc: where.
    on_disc: Option<DiscFile>,
}

impl SourceFile {
    /// Folder and name.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.path.rsplit_once('/').unwrap_or(("", &self.path))
    }
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let metadata =
            std::fs::metadata(path).map_err(|e| Error::io(format!("cannot open {}", path.display()), e))?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let storage = Arc::new(FileStorage::open(path)?);
        match Disc::open(storage).map_err(|error| error.context(path.display().to_string()))? {
            Some(disc) => Ok(Self::Disc(disc)),
            None => {
                let message = format!("{} is neither a folder nor an ISO 9660 image", path.display());
                Err(Error::usage(message).hint("give the folder or the ISO image of the drivers"))
            }
        }
    }

    /// All regular files, sorted by path. Symbolic links are not followed, and names must be UTF-8.
    pub(crate) fn files(&self) -> Result<Vec<SourceFile>> {
        let mut files = match self {
            Self::Folder(root) => folder_files(root)?,
            Self::Disc(disc) => {
                let file =
                    |it: DiscFile| SourceFile { path: it.path.clone(), size: it.size, on_disc: Some(it) };
                disc.files()?.into_iter().map(file).collect()
            }
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The content of a file of at most `limit` bytes.
    pub(crate) fn read(&self, file: &SourceFile, limit: u64) -> Result<Vec<u8>> {
        match (self, &file.on_disc) {
            (Self::Disc(disc), Some(on_disc)) => disc.read(on_disc, limit),
            (Self::Folder(root), _) => read_host(&root.join(&file.path), limit),
            (Self::Disc(_), None) => Err(Error::contract(format!("{} is on no disc", file.path))),
        }
    }
}

fn folder_files(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut entries = 0_usize;
    let mut folders = vec![(String::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let full = root.join(&folder);
        let failed = |e| Error::io(format!("cannot list {}", full.display()), e);
        for entry in std::fs::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries += 1;
            if entries > MAX_ENTRIES {
                let message = format!("{} has more than {MAX_ENTRIES} entries", root.display());
                return Err(
                    Error::new(ErrorKind::Limit, message).hint("give the folder of the drivers alone")
                );
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            // Neither follows a link.
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() {
                let size = entry.metadata().map_err(failed)?.len();
                files.push(SourceFile { path, size, on_disc: None });
            }
        }
    }
    Ok(files)
}

/// Reads a file that was regular when its folder was listed, and must still be.
fn read_host(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::new(ErrorKind::Io, format!("{} is no file any more", path.display())));
    }
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        let message = format!("{} has more than {limit} bytes", path.display());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(content)
}
