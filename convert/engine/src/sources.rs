//! The files that a run reads, in whatever disguise: none of them may be written.

use crate::manifest::{blocks_path, manifest_path};
use format_core::{ChainLink, Error, ErrorKind, FileStamp, FileTarget, OpenedImage, PartFile, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, for messages and to look at the device that it may be.
    pub path: PathBuf,
    /// Device and inode number.
    pub file_id: (u64, u64),
    /// What the host said of it when it was opened; `None` for a device.
    pub stamp: Option<FileStamp>,
}

impl From<&PartFile> for SourceFile {
    fn from(part: &PartFile) -> Self {
        Self { path: part.path.clone(), file_id: part.file_id, stamp: part.stamp }
    }
}

impl SourceFile {
    /// All files of the images and their parents.
    #[must_use]
    pub fn of_images<'a>(images: impl IntoIterator<Item = &'a OpenedImage>) -> Vec<Self> {
        let of_link = |link: &ChainLink| {
            let own = Self { path: link.path.clone(), file_id: link.file_id, stamp: link.stamp };
            std::iter::once(own).chain(link.parts.iter().map(Self::from)).collect::<Vec<_>>()
        };
        images.into_iter().flat_map(|image| &image.chain).flat_map(of_link).collect()
    }
}

/// Refuses to write an image, its manifest or their partial files where a file of one of the `sources` lies: replacing a
/// source by its own copy would leave neither if anything went wrong, and partial files are emptied when a run starts.
///
/// # Errors
/// `Usage` with the names of both, and when one of the names is too long for the host; `Destination` when something that is no file
/// has the name of a file beside the image.
pub fn refuse_sources<'a>(target: &Path, sources: impl IntoIterator<Item = &'a OpenedImage>) -> Result<()> {
    refuse_source_files(target, &SourceFile::of_images(sources))
}

/// As [`refuse_sources`] for files.
///
/// # Errors
/// As [`refuse_sources`].
pub fn refuse_source_files(target: &Path, sources: &[SourceFile]) -> Result<()> {
    for path in [target.to_owned(), manifest_path(target), blocks_path(target)] {
        // Only the image has a journal and a marker, but a run removes what has their names beside the others.
        let beside = [FileTarget::journal_path(&path), FileTarget::update_marker(&path)];
        let needed = [FileTarget::partial_path(&path), path];
        for (path, is_needed) in
            needed.map(|path| (path, true)).into_iter().chain(beside.map(|path| (path, false)))
        {
            refuse_other_kinds(target, &path)?;
            let found = match std::fs::metadata(&path) {
                Ok(found) => found,
                // Found out now, not when the copy is done and its manifest cannot be written.
                Err(e) if is_needed && e.kind() == std::io::ErrorKind::InvalidFilename => {
                    let what = format!("the name {} would be needed", path.display());
                    return Err(Error::io(what, e).with_kind(ErrorKind::Usage));
                }
                Err(_) => continue,
            };
            refuse_source_file(&path, (found.dev(), found.ino()), sources)?;
        }
    }
    Ok(())
}

/// Whoever can write to the folder can have put a link, pipe or folder where a manifest or a journal goes: found out now, not when the
/// copy is done. The image's own name is looked at where it is opened.
fn refuse_other_kinds(target: &Path, path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(found) if path != target && !found.is_file() => {
            let text = format!("{} is in the way: it is a link, or no file", path.display());
            Err(Error::new(ErrorKind::Destination, text).hint("look who put it there, and move it away"))
        }
        _ => Ok(()),
    }
}

/// Refuses to write `path` when the file with that name is one of the `sources`.
///
/// # Errors
/// `Usage` with the names of both.
pub fn refuse_source_file(path: &Path, file_id: (u64, u64), sources: &[SourceFile]) -> Result<()> {
    let Some(own) = sources.iter().find(|source| source.file_id == file_id) else { return Ok(()) };
    let (written, read) = (path.display(), own.path.display());
    Err(Error::usage(format!("{written} would be written, and is a file of the source: {read}"))
        .hint("choose another name for the target, or move the source first"))
}
