//! The files that a run reads, in whatever disguise: none of them may be written.

use crate::manifest::{blocks_path, manifest_path};
use format_core::{ChainLink, Error, ErrorKind, FileTarget, OpenedImage, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, for messages and to look at the device that it may be.
    pub path: PathBuf,
    /// Device and inode number.
    pub file_id: (u64, u64),
}

impl SourceFile {
    /// All files of the images and their parents.
    #[must_use]
    pub fn of_images<'a>(images: impl IntoIterator<Item = &'a OpenedImage>) -> Vec<Self> {
        let of_link = |link: &ChainLink| {
            let parts = link.parts.iter().map(|part| (part.path.clone(), part.file_id));
            let files = std::iter::once((link.path.clone(), link.file_id)).chain(parts);
            files.map(|(path, file_id)| Self { path, file_id }).collect::<Vec<_>>()
        };
        images.into_iter().flat_map(|image| &image.chain).flat_map(of_link).collect()
    }
}

/// Refuses to write an image, its manifest or their partial files where a file of one of the `sources` lies: replacing a
/// source by its own copy would leave neither if anything went wrong, and partial files are emptied when a run starts.
///
/// # Errors
/// `Usage` with the names of both, and when one of the names is too long for the host.
pub fn refuse_sources<'a>(target: &Path, sources: impl IntoIterator<Item = &'a OpenedImage>) -> Result<()> {
    refuse_source_files(target, &SourceFile::of_images(sources))
}

/// As [`refuse_sources`] for files.
///
/// # Errors
/// As [`refuse_sources`].
pub fn refuse_source_files(target: &Path, sources: &[SourceFile]) -> Result<()> {
    for path in [target.to_owned(), manifest_path(target), blocks_path(target)] {
        // Only the image has a journal and a marker.
        let own = |path| [FileTarget::journal_path(path), FileTarget::update_marker(path)];
        let more = (path == target).then(|| own(&path)).into_iter().flatten();
        for path in [FileTarget::partial_path(&path), path.clone()].into_iter().chain(more) {
            let found = match std::fs::metadata(&path) {
                Ok(found) => found,
                // Found out now, not when the copy is done and its manifest cannot be written.
                Err(e) if e.kind() == std::io::ErrorKind::InvalidFilename => {
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
