//! Images beside the chain that need a file which would go.

use crate::chain::{Alone, image_format, images_in};
use crate::observer::Control;
use format_core::{ChainLink, Error, ErrorKind, FolderGate, Gate, Layer, OpenOptions, ParentRef, Result};
use std::path::Path;
use std::sync::Arc;

/// Refuses when an image in `folder` that is not of the chain has one of `removed` for its parent. Images elsewhere cannot be
/// seen.
///
/// # Errors
/// `NeedsPerson` with the names of both, and for an image that does not say whose difference it is.
pub(super) fn refuse_forks(
    folder: &Path,
    chain: &[ChainLink],
    removed: &[(&ChainLink, &dyn Layer)],
    options: &OpenOptions,
    control: Control<'_>,
) -> Result<()> {
    let gate = FolderGate::new(folder.to_owned(), Arc::new([]));
    let open = |path: &Path| match image_format(path, options.formats)? {
        Some(format) => match Alone::open(path, Some(format), options) {
            // Not finished, or a raw disk that begins like an image.
            Err(_) if is_named_otherwise(path, format) => Ok(None),
            other => other.map(Some),
        },
        None => Ok(None),
    };
    for (path, opened) in images_in(folder, open, control)? {
        let image = match opened {
            Ok(image) => image,
            Err(e) => {
                let text =
                    format!("{} cannot be opened, so nobody knows whose difference it is", path.display());
                let hint = "move it to another folder if it is not based on these images";
                return Err(Error::needs_person(text).with_source(e).hint(hint));
            }
        };
        let is_of_chain = chain.iter().any(|link| link.file_ids().any(|id| id == image.link.file_id));
        let Some(parent) = image.layer.parent().filter(|_| !is_of_chain) else { continue };
        if let Some(needed) = removed.iter().find(|old| needs(parent, old, &gate)) {
            let text =
                format!("{} is based on {}, which would be removed", path.display(), needed.0.path.display());
            let hint = "keep more points, flatten that image first, or remove it if nobody needs it";
            return Err(Error::needs_person(text).hint(hint));
        }
    }
    Ok(())
}

fn is_named_otherwise(path: &Path, format: &format_core::Format) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    !extension.is_some_and(|extension| format.extensions.contains(&extension.as_str()))
}

/// Whether the parent is this image: by the file, by a name that cannot be followed, or by the identity.
fn needs(parent: &ParentRef, (link, layer): &(&ChainLink, &dyn Layer), gate: &FolderGate) -> bool {
    for name in &parent.names {
        match gate.open(name) {
            Ok(found) => return found.storage.file_id().is_ok_and(|id| id == link.file_id),
            Err(e) if e.kind() == ErrorKind::SourceMissing => {}
            // `json:{…}`, absolute names of this or another host: what looks like it counts as it.
            Err(_) => {
                let own = link.path.file_name().and_then(|own| own.to_str());
                if own.is_some_and(|own| name.contains(own)) {
                    return true;
                }
            }
        }
    }
    parent.identity.as_deref().is_some_and(|wanted| layer.is_identified_by(wanted))
}
