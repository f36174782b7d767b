//! From a path to a disk: probe, open, follow the parents.

use crate::gate::Recorder;
use crate::{
    Access, DenyAll, Disk, Error, ErrorKind, FileStorage, FolderGate, Format, Gate, Layer, LayerContext,
    ParentRef, PartFile, Referenced, Result, Score, Storage, Warning,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
}

impl OpenOptions {
    /// Opens with nothing allowed and nothing special.
    #[must_use]
    pub fn new(formats: &'static [&'static Format], format: Option<&'static Format>) -> Self {
        let (allow_parents, parents) = (Vec::new(), Vec::new());
        Self { formats, format, allow_parents, parents, access: Access::default() }
    }
}

/// One image of an opened chain.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// Where it lies.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static Format,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// Bytes that the file occupies on the host.
    pub allocated_size: u64,
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// Allocation granularity in bytes.
    pub chunk_size: u64,
    /// Device and inode number of the file.
    pub file_id: (u64, u64),
    /// Other files of the same image: extent files, data files, further parts.
    pub parts: Vec<PartFile>,
}

impl ChainLink {
    /// Device and inode numbers of all files of the image.
    pub fn file_ids(&self) -> impl Iterator<Item = (u64, u64)> {
        std::iter::once(self.file_id).chain(self.parts.iter().map(|part| part.file_id))
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
}

/// Opens the image at `path` and the chain below it.
///
/// # Errors
/// `SourceMissing`, `Denied`, `Corrupt`, `Unsupported`, `Io` from the files; `Usage` when the format has to be named.
pub fn open_image(path: &Path, options: &OpenOptions) -> Result<OpenedImage> {
    let (file, format) = open_file(path, options)?;
    open_chain(file, format, options).map_err(|e| e.context(format!("open {}", path.display())))
}

/// The file that holds the image at `path`, with its format.
pub(crate) fn open_file(path: &Path, options: &OpenOptions) -> Result<(Referenced, &'static Format)> {
    let inside = options.formats.iter().filter_map(|format| Some((*format, path.join(format.folder_entry?))));
    let (path, named) = match inside.filter(|_| path.is_dir()).find(|(_, path)| path.is_file()) {
        Some((format, path)) => (path, Some(format)),
        None => (path.to_owned(), options.format),
    };
    let storage = FileStorage::open(&path)?;
    let failed = |e: Error| e.context(format!("open {}", path.display()));
    let (format, sure) = match named {
        Some(format) => (format, true),
        None => guess(&path, &storage, options.formats).map_err(failed)?,
    };
    let gate: Arc<dyn Gate> = if sure {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Arc::new(FolderGate::new(folder, canonical(&options.allow_parents)?))
    } else {
        Arc::new(DenyAll)
    };
    Ok((Referenced { storage, gate }, format))
}

/// What a room gets to open or check the file at `path`.
pub(crate) fn context_of(path: &Path, gate: Arc<dyn Gate>, access: &Access) -> LayerContext {
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    LayerContext { gate, name, access: access.clone() }
}

fn open_chain(file: Referenced, format: &'static Format, options: &OpenOptions) -> Result<OpenedImage> {
    let (mut layers, mut chain, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = Some((file, format));
    let mut access = options.access.clone();
    while let Some((file, format)) = next.take() {
        let (link, layer, gate) = open_one(file, format, &access)?;
        access.snapshot = None;
        if chain.iter().any(|seen: &ChainLink| seen.file_id == link.file_id) {
            return Err(Error::corrupt(format!("{} is its own ancestor", link.path.display())));
        }
        if chain.len() >= MAX_CHAIN {
            return Err(Error::new(ErrorKind::Limit, format!("the chain has more than {MAX_CHAIN} images")));
        }
        warnings.extend_from_slice(layer.warnings());
        let path = link.path.clone();
        chain.push(link);
        if layer.parent().is_some() && options.access.ignore_parents {
            let text = format!(
                "the parent of {} is left out: what the image does not hold reads as zeros",
                path.display()
            );
            warnings.push(Warning::new("parent-ignored", text));
        } else if let Some(parent) = layer.parent() {
            let found = open_parent(parent, gate.as_ref(), options, &chain);
            next = Some(found.map_err(|e| e.context(format!("parent of {}", path.display())))?);
        }
        layers.push(layer);
    }
    check_identities(&layers, &chain)?;
    warnings.extend(layers.windows(2).filter_map(|pair| match pair {
        [child, parent] => child.remark_on_parent(parent.as_ref()),
        _ => None,
    }));
    Ok(OpenedImage { disk: Disk::new(layers)?, chain, warnings })
}

type OpenedOne = (ChainLink, Arc<dyn Layer>, Arc<dyn Gate>);

fn open_one(file: Referenced, format: &'static Format, access: &Access) -> Result<OpenedOne> {
    let Referenced { storage, gate } = file;
    let path = storage.path().to_owned();
    let (file_size, allocated_size, file_id) =
        (storage.size(), storage.allocated_size()?, storage.file_id()?);
    let open = format.open_layer.ok_or_else(|| cannot_read(format))?;
    if access.snapshot.is_some() && !format.has_snapshots {
        return Err(Error::usage(format!("{} images have no snapshots inside", format.name)));
    }
    let recorder = Arc::new(Recorder { gate: Arc::clone(&gate), opened: Mutex::default() });
    let context = context_of(&path, Arc::clone(&recorder) as Arc<dyn Gate>, access);
    let layer: Arc<dyn Layer> = open(Arc::new(storage), &context)?.into();
    let parts = recorder.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (virtual_size, chunk_size) = (layer.virtual_size(), layer.chunk_size());
    let link =
        ChainLink { path, format, file_size, allocated_size, virtual_size, chunk_size, file_id, parts };
    Ok((link, layer, gate))
}

/// The error for a format that is only recognised.
pub(crate) fn cannot_read(format: &'static Format) -> Error {
    let error = Error::unsupported(format!("this is {}: it cannot be read", format.description))
        .in_format(format.name);
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
) -> Result<(Referenced, &'static Format)> {
    if let Some(found) = named_by_operator(parent, options, children)? {
        return Ok(found);
    }
    let mut missing = None;
    for name in &parent.names {
        match gate.open(name) {
            Err(e) if e.kind() == ErrorKind::SourceMissing => missing = Some(e),
            other => return with_format(parent.format.as_deref(), other?, options.formats),
        }
    }
    let Some(identity) = &parent.identity else {
        return Err(missing.unwrap_or_else(|| Error::corrupt("the image has a parent but does not name it")));
    };
    let error = missing.unwrap_or_else(|| {
        let text = format!("the image is a difference to {identity} and does not say which file that is");
        Error::new(ErrorKind::SourceMissing, text)
    });
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
) -> Result<Option<(Referenced, &'static Format)>> {
    let Some(wanted) = parent.identity.as_deref() else { return Ok(None) };
    for path in &options.parents {
        let open = || {
            let storage = FileStorage::open(path)?;
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let gate = Arc::new(FolderGate::new(folder, canonical(&options.allow_parents)?));
            // The child's word on the format is for its parent, and not each of these is.
            with_format(None, Referenced { storage, gate }, options.formats)
        };
        let is_wanted = || {
            let (file, format) = open()?;
            let access = Access { snapshot: None, ..options.access.clone() };
            let file_id = Some(file.storage.file_id()?);
            if children.iter().any(|child| Some(child.file_id) == file_id) {
                return Ok(false);
            }
            let (_, layer, _) = open_one(file, format, &access)?;
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
    file: Referenced,
    formats: &'static [&'static Format],
) -> Result<(Referenced, &'static Format)> {
    let Some(name) = named else {
        let (format, sure) = guess(file.storage.path(), &file.storage, formats)?;
        let gate = if sure { file.gate } else { Arc::new(DenyAll) };
        return Ok((Referenced { gate, ..file }, format));
    };
    match formats.iter().find(|format| format.is_called(name)) {
        Some(format) => Ok((file, format)),
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

/// Which formats claim these bytes, surest first.
///
/// # Errors
/// What the storage reports.
pub fn probe_formats(
    storage: &dyn Storage,
    formats: &'static [&'static Format],
) -> Result<Vec<(&'static Format, Score)>> {
    let len = storage.size().min(Format::PROBE_LEN as u64);
    let (mut head, mut tail) = (vec![0; len as usize], vec![0; len as usize]);
    storage.read_exact_at(0, &mut head)?;
    storage.read_exact_at(storage.size() - len, &mut tail)?;
    let mut found: Vec<_> = formats
        .iter()
        .map(|&format| (format, (format.probe)(&head, &tail)))
        .filter(|(_, score)| *score > Score::No)
        .collect();
    found.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    Ok(found)
}

/// The format of an unnamed image, and whether its file name confirms it.
///
/// A guest can write any header into a raw disk. So bytes that look like a format are only believed where the
/// file's own name does not say raw, and the format may refer to other files only where the name confirms it.
fn guess(
    path: &Path,
    storage: &FileStorage,
    formats: &'static [&'static Format],
) -> Result<(&'static Format, bool)> {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let named = |format: &Format| extension.as_deref().is_some_and(|e| format.extensions.contains(&e));
    let found = probe_formats(storage, formats)?;
    let name_it = |message: String| Error::usage(message).hint("name the format with -f, for example -f raw");
    let magic: Vec<_> =
        found.iter().filter(|(_, score)| *score == Score::Magic).map(|(format, _)| *format).collect();
    let fallback = found.iter().find(|(_, score)| *score == Score::Possible).map(|(format, _)| *format);
    let says_raw = storage.is_device() || fallback.is_some_and(named);
    match (magic.as_slice(), fallback) {
        ([format], _) if !says_raw => Ok((format, named(format))),
        ([], Some(raw)) if says_raw || extension.is_none() || !formats.iter().any(|f| named(f)) => {
            Ok((raw, true))
        }
        ([], _) => match formats.iter().find(|format| named(format)) {
            // Nobody published its magic: the name is all there is.
            Some(format) if format.open_layer.is_none() => Ok((format, false)),
            Some(format) => {
                Err(Error::corrupt(format!("the file is named like {0} but is no {0} image", format.name))
                    .hint("if it is a raw disk, say so with -f raw"))
            }
            None => Err(name_it("the format cannot be recognised".into())),
        },
        ([format], _) => {
            Err(name_it(format!("the file is named like a raw disk but starts like {}", format.name)))
        }
        (several, _) => {
            let names: Vec<_> = several.iter().map(|format| format.name).collect();
            Err(name_it(format!("the file looks like {}", names.join(" and "))))
        }
    }
}
