//! Images beside the chain that need a file which would go.

use super::kinship::{Bond, Removed};
use crate::chain::{Alone, image_format, images_in};
use crate::observer::Control;
use format_core::{Error, OpenOptions, Result};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Refuses when an image in `folder` that is none of the chain's `own` files has one of `removed` for its parent, uses one of its files, or
/// does not tell. Images elsewhere cannot be seen.
///
/// # Errors
/// `NeedsPerson` with the names of both, and for an image that does not say whose difference it is.
pub(super) fn refuse_forks(
    folder: &Path,
    own: &BTreeSet<(u64, u64)>,
    removed: &Removed<'_>,
    options: &OpenOptions,
    control: Control<'_>,
) -> Result<()> {
    let open = |path: &Path| {
        if path.metadata().is_ok_and(|found| own.contains(&(found.dev(), found.ino()))) {
            return Ok(None);
        }
        match image_format(path, options.formats)? {
            Some(format) => match Alone::open(path, Some(format), options) {
                // A copy that was not finished: it is of no use to anybody.
                Err(_) if path.extension().is_some_and(|extension| extension == "partial") => Ok(None),
                other => other.map(Some),
            },
            None => Ok(None),
        }
    };
    for (path, opened) in images_in(folder, open, control)? {
        refuse_fork(folder, &path, &opened.map_err(|e| unopened(&path, e))?, removed)?;
    }
    Ok(())
}

fn refuse_fork(folder: &Path, path: &Path, image: &Alone, removed: &Removed<'_>) -> Result<()> {
    if let Some(part) = image.link.file_ids().find_map(|id| removed.file(id)) {
        return Err(needed(format!("{} uses {}", path.display(), part.display())));
    }
    let Some(parent) = image.layer.parent() else { return Ok(()) };
    match removed.bond(parent, folder) {
        Bond::None => Ok(()),
        Bond::Needs(old) => Err(needed(format!("{} is based on {}", path.display(), old.display()))),
        Bond::Unknown(name) => {
            let text = format!(
                "{} is based on {name:?}, which cannot be followed: it may be one of the files that would go",
                path.display()
            );
            Err(Error::needs_person(text)
                .hint("move it to another folder if it is not based on these images"))
        }
    }
}

fn needed(text: String) -> Error {
    let hint = "keep more points, flatten that image first, or remove it if nobody needs it";
    Error::needs_person(format!("{text}, which would be removed")).hint(hint)
}

/// Whatever it is called: overlays of virsh are `disk.SNAPSHOT`, and disks of Proxmox have no extension.
fn unopened(path: &Path, error: Error) -> Error {
    let text = format!(
        "{} begins like an image and cannot be opened, so nobody knows whose difference it is",
        path.display()
    );
    Error::needs_person(text)
        .with_source(error)
        .hint("move it to another folder if it is not based on these images, also if it is a raw disk")
}
