//! The folder into which old files are moved instead of being removed.

use super::host::FileFacts;
use format_core::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The operator's folder, which must be another one of the same file system: moving is renaming.
///
/// # Errors
/// `Usage` for what is no other folder, `Destination` for one of another file system, `Io` from the host.
pub(super) fn usable(named: Option<&Path>, folder: &Path) -> Result<Option<PathBuf>> {
    let Some(path) = named else { return Ok(None) };
    let failed = |e| Error::io(format!("cannot use the folder {}", path.display()), e);
    let (own, found) = (folder.metadata().map_err(failed)?, path.metadata().map_err(failed)?);
    let path = path.canonicalize().map_err(failed)?;
    if !found.is_dir() || path == folder {
        return Err(Error::usage(format!("{} is no other folder", path.display())));
    }
    if found.dev() != own.dev() {
        let text = format!("{} lies on another file system than the images", path.display());
        return Err(Error::new(ErrorKind::Destination, text).hint("old files are moved, not copied"));
    }
    Ok(Some(path))
}

/// Refuses a folder in which one of the names is taken, before anything is copied: the full image of one run is an old image of
/// a later one, and has the name of the difference that the first run moved there.
///
/// # Errors
/// `Destination` with the name.
pub(super) fn refuse_taken<'a>(away: &Path, files: impl Iterator<Item = &'a FileFacts>) -> Result<()> {
    let paths = files.map(|file| away.join(&file.name));
    let taken: Vec<_> = paths.filter(|path| path.symlink_metadata().is_ok()).collect();
    let Some(first) = taken.first() else { return Ok(()) };
    let more = match taken.len() {
        1 => String::new(),
        many => format!(", as do {} of the other names", many - 1),
    };
    let text = format!("{} exists already{more}: an old image would be moved there", first.display());
    Err(Error::new(ErrorKind::Destination, text)
        .hint("name an empty folder with --keep-old: each run needs one of its own"))
}
