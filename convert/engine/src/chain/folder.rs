//! All chains of a folder: who is whose parent.

use super::{Alone, ChainImage, ImageState, facts, image_format, may_name_files, newer_parents};
use crate::observer::Control;
use format_core::{Error, ErrorKind, OpenOptions, ParentRef, Result, Warning, codes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An image of a folder with its place in the trees.
#[derive(Clone, Debug, Serialize)]
pub struct TreeImage {
    /// The image.
    #[serde(flatten)]
    pub image: ChainImage,
    /// The index of its parent in the list, where that was found.
    pub parent_index: Option<usize>,
    /// The indices of those that are differences to it.
    pub children: Vec<usize>,
}

/// The images of a folder.
#[derive(Debug)]
pub struct FolderChains {
    /// The images, by their paths.
    pub images: Vec<TreeImage>,
    /// The indices of those that are nobody's parent.
    pub tops: Vec<usize>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What is broken: the first is the one that decides about the exit code.
    pub errors: Vec<Error>,
}

/// An image while the trees are being put together.
struct Node {
    alone: Alone,
    state: ImageState,
    parent: Option<usize>,
}

/// Looks at the images in `folder` and at all their parents. Files that are no images, raw disks that nobody is based on among
/// them, are passed over.
///
/// # Errors
/// What listing the folder reports, and `Temporary` when interrupted. Broken chains are part of the result.
pub fn chains_in_folder(folder: &Path, options: &OpenOptions, control: Control<'_>) -> Result<FolderChains> {
    let (mut warnings, mut errors, mut nodes) = (Vec::new(), Vec::new(), Vec::<Node>::new());
    let mut known = BTreeMap::new();
    let mut open = Vec::new();
    for (path, opened) in images_in(folder, |path| image_in(path, options), control)? {
        match opened {
            Ok(alone) => open.push(place(alone, &mut nodes, &mut known)),
            Err(e) => errors.push(e.context(format!("open {}", path.display()))),
        }
    }
    while let Some(index) = open.pop() {
        control.check()?;
        let Some(child) = nodes.get(index).map(|node| node.alone.clone()) else { continue };
        let Some(parent) = child.layer.parent().cloned() else { continue };
        let (state, found) = match parent_of(&child, &parent, options) {
            Ok(alone) => {
                let is_wanted = parent.identity.as_deref().is_none_or(|id| alone.layer.is_identified_by(id));
                let state = if is_wanted { ImageState::Ok } else { ImageState::ParentChanged };
                warnings.extend(newer_parents(&[child.clone(), alone.clone()]));
                let before = nodes.len();
                let at = place(alone, &mut nodes, &mut known);
                open.extend((nodes.len() > before).then_some(at));
                errors.extend((!is_wanted).then(|| another_parent(&child, &parent)));
                (state, Some(at))
            }
            Err(e) => {
                let state = ImageState::of_error(&e);
                errors.push(e.context(format!("parent of {}", child.link.path.display())));
                (state, None)
            }
        };
        if let Some(node) = nodes.get_mut(index) {
            (node.state, node.parent) = (state, found);
        }
    }
    errors.extend(circles(&nodes));
    let images = trees(&nodes, control)?;
    let tops = (0..images.len()).filter(|at| images.get(*at).is_some_and(|image| image.children.is_empty()));
    Ok(FolderChains { tops: tops.collect(), images, warnings, errors })
}

/// The regular files of a folder, by their names.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(format!("cannot list {}", folder.display()), e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What `open` makes of the files of a folder, without those that are parts of other images there.
pub(crate) fn images_in(
    folder: &Path,
    open: impl Fn(&Path) -> Result<Option<Alone>>,
    control: Control<'_>,
) -> Result<Vec<(PathBuf, Result<Alone>)>> {
    let mut images = Vec::new();
    for path in files_of(folder)? {
        control.check()?;
        images.extend(open(&path).transpose().map(|opened| (path, opened)));
    }
    let opened = images.iter().filter_map(|(_, opened)| opened.as_ref().ok());
    let parts: BTreeSet<_> =
        opened.flat_map(|image| &image.link.parts).filter_map(|part| part.path.canonicalize().ok()).collect();
    images.retain(|(path, _)| path.canonicalize().map_or(true, |path| !parts.contains(&path)));
    Ok(images)
}

/// The image in the file, alone; `None` where it is none.
fn image_in(path: &Path, options: &OpenOptions) -> Result<Option<Alone>> {
    let Some(format) = image_format(path, options.formats)? else { return Ok(None) };
    // A file that is named like a raw disk is one, whatever a guest wrote into it.
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    let named = |format: &&&format_core::Format| {
        extension.as_deref().is_some_and(|extension| format.extensions.contains(&extension))
    };
    if options.formats.iter().find(named).is_some_and(|named| named.name == "raw") {
        return Ok(None);
    }
    Alone::open(path, Some(format), options).map(Some)
}

fn place(alone: Alone, nodes: &mut Vec<Node>, known: &mut BTreeMap<(u64, u64), usize>) -> usize {
    *known.entry(alone.link.file_id).or_insert_with(|| {
        let state = if alone.layer.parent().is_some() { ImageState::Ok } else { ImageState::Base };
        nodes.push(Node { alone, state, parent: None });
        nodes.len() - 1
    })
}

fn parent_of(child: &Alone, parent: &ParentRef, options: &OpenOptions) -> Result<Alone> {
    if !may_name_files(&child.link, false) {
        let text = format!("the image refers to {:?}, but its format was only guessed", parent.names.first());
        return Err(Error::new(ErrorKind::Denied, text).hint("give the file the extension of its format"));
    }
    let (path, format) = child.find_parent(parent, options, std::slice::from_ref(child))?;
    Alone::open(&path, format, options)
}

fn another_parent(child: &Alone, parent: &ParentRef) -> Error {
    let (path, wanted) = (child.link.path.display(), parent.identity.as_deref().unwrap_or("none"));
    Error::corrupt(format!("{path} wants the parent {wanted}, what it names is another image"))
        .with_code(&codes::PARENT_WRONG)
        .hint("the parent was changed or is another file: look for the right one")
}

/// Images whose parents lead back to themselves.
fn circles(nodes: &[Node]) -> Vec<Error> {
    let leads_out = |start: usize| {
        let mut at = Some(start);
        for _ in 0..=nodes.len() {
            match at {
                Some(index) => at = nodes.get(index).and_then(|node| node.parent),
                None => return true,
            }
        }
        false
    };
    let error =
        |node: &Node| Error::corrupt(format!("{} is its own ancestor", node.alone.link.path.display()));
    (0..nodes.len()).filter(|at| !leads_out(*at)).filter_map(|at| nodes.get(at)).map(error).collect()
}

/// The nodes by their paths.
fn trees(nodes: &[Node], control: Control<'_>) -> Result<Vec<TreeImage>> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by(|a, b| {
        nodes.get(*a).map(|n| &n.alone.link.path).cmp(&nodes.get(*b).map(|n| &n.alone.link.path))
    });
    let place_of = |index: usize| order.iter().position(|at| *at == index);
    let mut images = Vec::with_capacity(nodes.len());
    for index in &order {
        let Some(node) = nodes.get(*index) else { continue };
        let image = facts(&node.alone, node.state, control)?;
        images.push(TreeImage { image, parent_index: node.parent.and_then(place_of), children: Vec::new() });
    }
    for child in 0..images.len() {
        let parent = images.get(child).and_then(|image| image.parent_index);
        if let Some(parent) = parent.and_then(|at| images.get_mut(at)) {
            parent.children.push(child);
        }
    }
    Ok(images)
}

/// The image in `folder` that a child which wants this identity means, other than the child itself.
pub(super) fn image_with_identity(
    folder: &Path,
    wanted: &str,
    child: &Alone,
    options: &OpenOptions,
) -> Option<PathBuf> {
    let files = files_of(folder).ok()?;
    let is_it = |path: &PathBuf| {
        let Ok(Some(found)) = image_in(path, options) else { return false };
        found.link.file_id != child.link.file_id && found.layer.is_identified_by(wanted)
    };
    files.into_iter().find(is_it)
}

impl FolderChains {
    /// The indices of the images that no parent was found of: where the trees begin.
    #[must_use]
    pub fn roots(&self) -> Vec<usize> {
        let is_root = |at: &usize| self.images.get(*at).is_some_and(|image| image.parent_index.is_none());
        (0..self.images.len()).filter(is_root).collect()
    }
}
