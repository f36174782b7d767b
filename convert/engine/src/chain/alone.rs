//! Images one at a time, without their parents: what is left to look at when a chain is broken, and the way to see who is
//! whose parent in a folder.

use crate::observer::Control;
use format_core::{
    ChainLink, Disk, Error, ErrorKind, ExtentKind, FileStorage, FolderGate, Format, Gate, Layer, OpenOptions,
    OpenedImage, ParentRef, Result, Score, open_image, probe_formats,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One image of a chain.
#[derive(Clone)]
pub(crate) struct Alone {
    pub(crate) link: ChainLink,
    pub(crate) layer: Arc<dyn Layer>,
}

impl Alone {
    /// Opens the image at `path` and nothing else.
    ///
    /// # Errors
    /// As [`open_image`].
    pub(crate) fn open(path: &Path, format: Option<&'static Format>, options: &OpenOptions) -> Result<Self> {
        let mut options = OpenOptions { format, ..options.clone() };
        options.access.ignore_parents = true;
        Self::of_opened(&open_image(path, &options)?).into_iter().next().ok_or_else(empty)
    }

    /// The images of an opened chain, top first.
    pub(crate) fn of_opened(opened: &OpenedImage) -> Vec<Self> {
        let links = opened.chain.iter().cloned().zip(opened.disk.layers().iter().cloned());
        links.map(|(link, layer)| Self { link, layer }).collect()
    }

    /// The folder that it lies in.
    pub(crate) fn folder(&self) -> PathBuf {
        folder_of(&self.link.path)
    }

    /// The file of its parent, and the format if the image says that. `children` are passed over where the operator names
    /// parents: a new snapshot of VMware has the identity of its parent.
    ///
    /// # Errors
    /// `SourceMissing` when none of the files exists, `Denied` when the gate is shut.
    pub(crate) fn find_parent(
        &self,
        parent: &ParentRef,
        options: &OpenOptions,
        children: &[Self],
    ) -> Result<(PathBuf, Option<&'static Format>)> {
        for path in &options.parents {
            let Some(wanted) = parent.identity.as_deref() else { break };
            let found = Self::open(path, None, options)?;
            let is_child = children.iter().any(|child| child.link.file_id == found.link.file_id);
            if !is_child && found.layer.is_identified_by(wanted) {
                return Ok((path.clone(), None));
            }
        }
        let allowed: Vec<_> =
            options.allow_parents.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let gate = FolderGate::new(self.folder(), allowed.into());
        let mut missing = None;
        for name in &parent.names {
            match gate.open(name) {
                Err(e) if e.kind() == ErrorKind::SourceMissing => missing = missing.or(Some(e)),
                Err(e) => return Err(e),
                Ok(found) => {
                    let named = parent.format.as_deref();
                    let format = options.formats.iter().find(|f| named.is_some_and(|name| f.is_called(name)));
                    return Ok((found.storage.path().to_owned(), format.copied()));
                }
            }
        }
        Err(missing.unwrap_or_else(|| {
            let text = "the image is a difference and does not say which file its parent is";
            Error::new(ErrorKind::SourceMissing, text)
        }))
    }

    /// Bytes of the disk that this image holds itself.
    ///
    /// # Errors
    /// What the image reports; `Temporary` when interrupted.
    pub(crate) fn held_bytes(&self, control: Control<'_>) -> Result<u64> {
        // Alone, what only a parent would hold is a hole.
        let disk = Disk::new(vec![Arc::clone(&self.layer)])?;
        let mut total = 0u64;
        for extent in disk.extents(0, disk.virtual_size()) {
            control.check()?;
            let extent = extent?;
            if extent.kind == ExtentKind::Data {
                total = total.saturating_add(extent.len);
            }
        }
        Ok(total)
    }
}

fn empty() -> Error {
    Error::contract("an image without layers")
}

/// The folder of a file, which is `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The file's format, where its first or last bytes say that it is an image which can be opened at any place. Compressed
/// files and backups are none: nobody is anybody's parent in there.
///
/// # Errors
/// `SourceMissing`, `Denied`, `Io` from the file.
pub(crate) fn image_format(
    path: &Path,
    formats: &'static [&'static Format],
) -> Result<Option<&'static Format>> {
    let storage = FileStorage::open(path)?;
    let is_image = |format: &Format| format.open_layer.is_some() && format.open_container.is_none();
    let mut found = probe_formats(&storage, formats)?.into_iter();
    Ok(found.find(|(format, score)| *score == Score::Magic && is_image(format)).map(|(format, _)| format))
}

/// Whether the format of an image was told, by the operator, its child or its name, and not only guessed: a guessed one may
/// name no other file.
pub(crate) fn may_name_files(link: &ChainLink, told: bool) -> bool {
    let extension = link.path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    told || extension.is_some_and(|extension| link.format.extensions.contains(&extension.as_str()))
}
