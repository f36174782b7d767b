//! From a path to a disk: probe, open, follow the parents.

use crate::gate::Recorder;
use crate::link::ChainLink;
use crate::remote::address;
use crate::source::Source;
use crate::{
    Access, Container, Disk, DiskEntry, Error, ErrorKind, FolderGate, Format, Gate, InnerImage, Layer,
    LayerContext, Origin, ParentRef, Remotes, Result, Score, SourceFolder, Spool, TimedOpen, Warning, codes,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest chain of parents that is followed.
pub const MAX_CHAIN: usize = 256;

/// How to open an image.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// All formats that may be found, normally `format_all::FORMATS`.
    pub formats: &'static [&'static Format],
    /// The format that the operator named; `None` probes.
    pub format: Option<&'static Format>,
    /// Folders outside the image's own in which parents and extent files may lie.
    pub allow_parents: Vec<PathBuf>,
    /// Images that the operator names as parents. Where an image says the identity of its parent and one of these has
    /// it, that one is taken, whatever file the image names.
    pub parents: Vec<PathBuf>,
    /// How images are read; the snapshot is the top image's.
    pub access: Access,
    /// Where bytes go that can only be read from their start to their end.
    pub spool: Spool,
    /// What opens addresses that the operator gives instead of a path.
    pub remotes: Option<Arc<dyn Remotes>>,
}

impl OpenOptions {
    /// Opens with nothing allowed and nothing special.
    #[must_use]
    pub fn new(formats: &'static [&'static Format], format: Option<&'static Format>) -> Self {
        let (allow_parents, parents) = (Vec::new(), Vec::new());
        let (access, spool) = (Access::default(), Spool::default());
        Self { formats, format, allow_parents, parents, access, spool, remotes: None }
    }
}

/// An opened image with all its parents.
pub struct OpenedImage {
    /// The guest's disk.
    pub disk: Disk,
    /// The files, top first.
    pub chain: Vec<ChainLink>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// Where the disk lies in a container.
    pub inside: Option<Inside>,
}

/// The container that a disk lies in.
#[derive(Clone)]
pub struct Inside {
    /// The container.
    pub container: Arc<dyn Container>,
    /// The disk's index in [`Container::disks`].
    pub index: usize,
    /// The disk's own format, where it is an image file of its own.
    pub format: Option<&'static Format>,
}

impl OpenedImage {
    /// What the container calls the disk, where it lies in one.
    #[must_use]
    pub fn name_inside(&self) -> Option<&str> {
        let inside = self.inside.as_ref()?;
        inside.container.disks().get(inside.index).map(|disk| disk.name.as_str())
    }
}

/// Opens the image at `path` and the chain below it: the only disk there, or the one that [`Access::pick`] says.
///
/// # Errors
/// `SourceMissing`, `Denied`, `Corrupt`, `Unsupported`, `Io` from the files; `Usage` when the format or the disk has to be
/// named.
pub fn open_image(path: &Path, options: &OpenOptions) -> Result<OpenedImage> {
    let failed = |e: Error| e.context(format!("open {}", path.display()));
    let _opening = TimedOpen::begin(format!("open {}", path.display()));
    let (source, format) = open_source(path, options)?;
    match format.open_container {
        None => open_chain(source, format, options).map_err(failed),
        Some(open) => {
            let container = open_container(source, format, open, options).map_err(failed)?;
            let index = container.pick(options.access.pick.as_deref()).map_err(failed)?;
            container.image(index).map_err(failed)
        }
    }
}

/// Opens all the disks at `path`: those of a container, the boot disk first, or one image; with [`Access::pick`] only that
/// disk.
///
/// # Errors
/// As [`open_image`].
pub fn open_images(path: &Path, options: &OpenOptions) -> Result<Vec<OpenedImage>> {
    let failed = |e: Error| e.context(format!("open {}", path.display()));
    let _opening = TimedOpen::begin(format!("open {}", path.display()));
    let (source, format) = open_source(path, options)?;
    let Some(open) = format.open_container else {
        return Ok(vec![open_chain(source, format, options).map_err(failed)?]);
    };
    let opened = open_container(source, format, open, options).map_err(failed)?;
    let picked = options.access.pick.as_deref();
    let indices = match picked {
        Some(_) => vec![opened.pick(picked).map_err(failed)?],
        None => (0..opened.container.disks().len()).collect(),
    };
    if indices.is_empty() {
        return Err(failed(
            Error::unsupported(format!("the {} holds no disk", format.name)).in_format(format.name),
        ));
    }
    indices.into_iter().map(|index| opened.image(index).map_err(failed)).collect()
}

/// The image at `path`, unpacked and with its format.
pub(crate) fn open_source(path: &Path, options: &OpenOptions) -> Result<(Source, &'static Format)> {
    if let Some((address, remotes)) = address(path, options.remotes.as_deref()) {
        let source = Source::of_remote(address, remotes.open(address)?);
        return source.resolve(options.format, options).map_err(|e| e.context(format!("open {address}")));
    }
    let inside = options.formats.iter().filter_map(|format| Some((*format, path.join(format.folder_entry?))));
    let (path, named) = match inside.filter(|_| path.is_dir()).find(|(_, path)| path.is_file()) {
        Some((format, path)) => (path, Some(format)),
        None if path.is_dir() => return open_folder(path, options),
        None => (path.to_owned(), options.format),
    };
    let failed = |e: Error| e.context(format!("open {}", path.display()));
    source_at(&path, options)?.resolve(named, options).map_err(failed)
}

/// The file at `path`, with the gate and the folder beside it.
pub(crate) fn source_at(path: &Path, options: &OpenOptions) -> Result<Source> {
    let parent = path.parent().map(Path::to_owned).unwrap_or_default();
    let gate = Arc::new(FolderGate::new(parent.clone(), canonical(&options.allow_parents)?));
    let mut source = Source::of_path(path, gate)?;
    // Who may only open the file itself has no folder.
    source.folder = SourceFolder::open(&parent).ok().map(Arc::new);
    Ok(source)
}

fn open_folder(path: &Path, options: &OpenOptions) -> Result<(Source, &'static Format)> {
    let folder = Arc::new(SourceFolder::open(path)?);
    let claims = |format: &Format| (format.probe_folder)(&folder) == Score::Magic;
    let format = options.format.or_else(|| options.formats.iter().copied().find(|format| claims(format)));
    let format = match format {
        Some(format) if format.open_container.is_some() => format,
        Some(format) if format.way_out.is_some() => return Err(cannot_read(format)),
        _ => {
            let text = format!("{} is a folder, and no backup or image that is known", path.display());
            return Err(Error::unsupported(text).hint("name the image in it"));
        }
    };
    let gate = Arc::new(FolderGate::new(path.to_owned(), canonical(&options.allow_parents)?));
    Ok((Source::of_folder(path, folder, gate), format))
}

type OpenContainer = fn(Origin, &LayerContext) -> Result<Box<dyn Container>>;

/// An opened container and the files that it lies in.
pub(crate) struct OpenedContainer {
    pub(crate) container: Arc<dyn Container>,
    format: &'static Format,
    source: Source,
}

pub(crate) fn open_container(
    mut source: Source,
    format: &'static Format,
    open: OpenContainer,
    options: &OpenOptions,
) -> Result<OpenedContainer> {
    if options.access.at.is_some() && !format.has_points {
        return Err(Error::usage(format!(
            "{} holds one point in time only: leave --at away",
            format.description
        )));
    }
    if options.access.snapshot.is_some() && !format.has_snapshots {
        return Err(Error::usage(format!("{} images have no snapshots inside", format.name)));
    }
    let recorder = Recorder::new(Arc::clone(&source.gate));
    let context = source.context(Arc::clone(&recorder) as Arc<dyn Gate>, options);
    let origin = match &source.folder {
        Some(folder) if source.is_folder => Origin::Folder(Arc::clone(folder)),
        _ => Origin::File(Arc::clone(&source.storage)),
    };
    let container: Arc<dyn Container> = open(origin, &context)?.into();
    source.parts.extend(recorder.take());
    source.parts.extend(source.folder.iter().flat_map(|folder| folder.opened()));
    Ok(OpenedContainer { container, format, source })
}

impl OpenedContainer {
    /// The index of the disk that the operator means.
    fn pick(&self, wanted: Option<&str>) -> Result<usize> {
        DiskEntry::pick(self.container.disks(), wanted, self.format.name)
    }

    fn image(&self, index: usize) -> Result<OpenedImage> {
        let InnerImage { disk, format, warnings } = self.container.open_disk(index)?;
        let Source { path, file_size, allocated_size, file_id, stamp, parts, remote, .. } =
            self.source.clone();
        let link = ChainLink {
            path,
            format: self.format,
            file_size,
            allocated_size,
            virtual_size: disk.virtual_size(),
            chunk_size: disk.layers().first().map_or(1, |layer| layer.chunk_size()),
            file_id: file_id.unwrap_or_default(),
            stamp,
            parts,
            remote,
        };
        let warnings =
            [&self.source.warnings, self.container.warnings(), &warnings].into_iter().flatten().cloned();
        let inside = Inside { container: Arc::clone(&self.container), index, format };
        Ok(OpenedImage { disk, chain: vec![link], warnings: warnings.collect(), inside: Some(inside) })
    }
}

/// An image inside of another: for rooms.
pub(crate) fn open_inner(source: Source, options: &OpenOptions) -> Result<InnerImage> {
    let (source, format) = source.resolve(None, options)?;
    match format.open_container {
        None => {
            let OpenedImage { disk, warnings, .. } = open_chain(source, format, options)?;
            Ok(InnerImage { disk, format: Some(format), warnings })
        }
        Some(open) => {
            let opened = open_container(source, format, open, options)?;
            let image = opened.image(opened.pick(None)?)?;
            Ok(InnerImage { disk: image.disk, format: Some(format), warnings: image.warnings })
        }
    }
}

fn open_chain(source: Source, format: &'static Format, options: &OpenOptions) -> Result<OpenedImage> {
    if let Some(wanted) = options.access.pick.as_deref().filter(|wanted| *wanted != "0") {
        return Err(Error::usage(format!("{} images hold one disk, none is called {wanted:?}", format.name)));
    }
    if options.access.at.is_some() {
        return Err(Error::usage(format!(
            "{} images hold one point in time only: leave --at away",
            format.name
        )));
    }
    let (mut layers, mut chain, mut warnings) = (Vec::new(), Vec::<ChainLink>::new(), Vec::new());
    let mut next = Some((source, format));
    let mut options = options.clone();
    while let Some((source, format)) = next.take() {
        let is_seen = |link: &ChainLink| source.file_id.is_some_and(|id| link.file_id == id);
        if chain.iter().any(is_seen) {
            return Err(Error::corrupt(format!("{} is its own ancestor", source.path.display())));
        }
        let (link, layer, gate, own) = open_one(source, format, &options)?;
        options.access.snapshot = None;
        if chain.len() >= MAX_CHAIN {
            return Err(Error::new(ErrorKind::Limit, format!("the chain has more than {MAX_CHAIN} images")));
        }
        warnings.extend(own);
        let path = link.path.clone();
        chain.push(link);
        if layer.parent().is_some() && options.access.ignore_parents {
            let text = format!(
                "the parent of {} is left out: what the image does not hold reads as zeros",
                path.display()
            );
            warnings.push(Warning::new("parent-ignored", text));
        } else if let Some(parent) = layer.parent() {
            let found = open_parent(parent, gate.as_ref(), &options, &chain);
            next = Some(found.map_err(|e| e.context(format!("parent of {}", path.display())))?);
        }
        layers.push(layer);
    }
    check_identities(&layers, &chain)?;
    warnings.extend(layers.windows(2).filter_map(|pair| match pair {
        [child, parent] => child.remark_on_parent(parent.as_ref()),
        _ => None,
    }));
    Ok(OpenedImage { disk: Disk::new(layers)?, chain, warnings, inside: None })
}

type OpenedOne = (ChainLink, Arc<dyn Layer>, Arc<dyn Gate>, Vec<Warning>);

fn open_one(source: Source, format: &'static Format, options: &OpenOptions) -> Result<OpenedOne> {
    let open = format.open_layer.ok_or_else(|| cannot_read(format))?;
    if options.access.snapshot.is_some() && !format.has_snapshots {
        return Err(Error::usage(format!("{} images have no snapshots inside", format.name)));
    }
    let recorder = Recorder::new(Arc::clone(&source.gate));
    let context = source.context(Arc::clone(&recorder) as Arc<dyn Gate>, options);
    let layer: Arc<dyn Layer> = open(Arc::clone(&source.storage), &context)?.into();
    let Source {
        path, file_size, allocated_size, file_id, stamp, remote, mut parts, mut warnings, gate, ..
    } = source;
    parts.extend(recorder.take());
    warnings.extend_from_slice(layer.warnings());
    let (virtual_size, chunk_size) = (layer.virtual_size(), layer.chunk_size());
    let file_id = file_id.unwrap_or_default();
    let link = ChainLink {
        path,
        format,
        file_size,
        allocated_size,
        virtual_size,
        chunk_size,
        file_id,
        stamp,
        parts,
        remote,
    };
    Ok((link, layer, gate, warnings))
}

/// The error for a format that is only recognised.
pub(crate) fn cannot_read(format: &'static Format) -> Error {
    let text = format!("this is {}: it cannot be read", format.description);
    let error = Error::unsupported(text).in_format(format.name).with_code(&codes::FORMAT_CLOSED);
    match format.way_out {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The operator's choice, else the first of the names that exists; a name that the gate denies ends the search.
fn open_parent(
    parent: &ParentRef,
    gate: &dyn Gate,
    options: &OpenOptions,
    children: &[ChainLink],
) -> Result<(Source, &'static Format)> {
    if let Some(found) = named_by_operator(parent, options, children)? {
        return Ok(found);
    }
    let mut missing = None;
    for name in &parent.names {
        match gate.open(name) {
            Err(e) if e.kind() == ErrorKind::SourceMissing => missing = Some(e),
            other => return with_format(parent.format.as_deref(), Source::of_file(other?)?, options),
        }
    }
    let Some(identity) = &parent.identity else {
        let named = missing.map(|error| error.with_code(&codes::PARENT_MISSING));
        return Err(named.unwrap_or_else(|| Error::corrupt("the image has a parent but does not name it")));
    };
    let error = missing.unwrap_or_else(|| {
        let text = format!("the image is a difference to {identity} and does not say which file that is");
        Error::new(ErrorKind::SourceMissing, text)
    });
    let error = error.with_code(&codes::PARENT_MISSING);
    Err(match options.parents.len() {
        0 => error.hint("name the parent's file with --parent FILE, and the parent's parent if it has one"),
        many => error.hint(format!("of the {many} files given with --parent, none is {identity}")),
    })
}

/// The first image that the operator named and that has the identity which the child wants. The children are passed
/// over: a new VMware snapshot has the CID of its parent.
fn named_by_operator(
    parent: &ParentRef,
    options: &OpenOptions,
    children: &[ChainLink],
) -> Result<Option<(Source, &'static Format)>> {
    let Some(wanted) = parent.identity.as_deref() else { return Ok(None) };
    for path in &options.parents {
        let open = || {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let gate = Arc::new(FolderGate::new(folder, canonical(&options.allow_parents)?));
            // The child's word on the format is for its parent, and not each of these is.
            with_format(None, Source::of_path(path, gate)?, options)
        };
        let is_wanted = || {
            let (source, format) = open()?;
            let mut options = options.clone();
            options.access.snapshot = None;
            if children.iter().any(|child| Some(child.file_id) == source.file_id) {
                return Ok(false);
            }
            let (_, layer, _, _) = open_one(source, format, &options)?;
            Ok(layer.is_identified_by(wanted))
        };
        let failed = |e: Error| e.context(format!("open {}, named as a parent", path.display()));
        if is_wanted().map_err(failed)? {
            return open().map(Some).map_err(failed);
        }
    }
    Ok(None)
}

/// A parent whose format was only guessed may refer to nothing further.
fn with_format(
    named: Option<&str>,
    source: Source,
    options: &OpenOptions,
) -> Result<(Source, &'static Format)> {
    let Some(name) = named else { return source.resolve(None, options) };
    match options.formats.iter().find(|format| format.is_called(name)) {
        Some(format) => Ok((source, format)),
        None => Err(Error::unsupported(format!("the parent's format is {name:?}, which is unknown"))),
    }
}

fn check_identities(layers: &[Arc<dyn Layer>], chain: &[ChainLink]) -> Result<()> {
    for (child, (parent, link)) in layers.iter().zip(layers.iter().zip(chain).skip(1)) {
        let wanted = child.parent().and_then(|parent| parent.identity.as_deref());
        if let Some(wanted) = wanted
            && !parent.is_identified_by(wanted)
        {
            let found = parent.identity().unwrap_or("none");
            let path = link.path.display();
            return Err(Error::corrupt(format!("the child wants the parent {wanted}, {path} is {found}"))
                .with_code(&codes::PARENT_WRONG)
                .hint("the parent was changed or is another file: look for the right one"));
        }
    }
    Ok(())
}

/// The operator's folders as [`FolderGate`] wants them.
pub(crate) fn canonical(folders: &[PathBuf]) -> Result<Arc<[PathBuf]>> {
    let canonical = |folder: &PathBuf| match folder.canonicalize() {
        Ok(path) if !path.is_dir() => Err(Error::usage(format!("{} is no folder", folder.display()))),
        Ok(path) => Ok(path),
        Err(e) => Err(Error::io(format!("cannot use the folder {}", folder.display()), e)),
    };
    folders.iter().map(canonical).collect()
}
