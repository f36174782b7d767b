//! From a file to the image in it: parts are joined, compressed bytes unpacked, the format found.

use crate::gate::Recorder;
use crate::guess::{extension_of, guess, probe_formats};
use crate::read_ahead::ReadAhead;
use crate::{
    DenyAll, Disk, DiskStorage, Error, ErrorKind, FileStamp, FileStorage, Format, Gate, InnerImage,
    LayerContext, MemStorage, OpenOptions, Opener, PartFile, Referenced, Remote, RemoteSource, Result, Score,
    SourceFolder, Storage, StorageReader, Warning,
};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many compressions may lie around each other.
const MAX_WRAPS: usize = 4;
/// How deep images may lie in images.
const MAX_DEPTH: usize = 8;
/// What a compressed file is read in.
const READ_AHEAD: usize = 1 << 20;

/// Bytes in which an image is looked for, and what is known about the file that they come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) folder: Option<Arc<SourceFolder>>,
    /// The file as the operator sees it.
    pub(crate) path: PathBuf,
    /// The name of what is in it.
    pub(crate) name: Option<String>,
    pub(crate) file_size: u64,
    pub(crate) allocated_size: u64,
    pub(crate) file_id: Option<(u64, u64)>,
    pub(crate) stamp: Option<FileStamp>,
    pub(crate) is_device: bool,
    pub(crate) is_folder: bool,
    /// Further files of it.
    pub(crate) parts: Vec<PartFile>,
    pub(crate) warnings: Vec<Warning>,
    /// What it was unpacked from, the outermost first.
    pub(crate) wrappers: Vec<(&'static Format, Arc<dyn Storage>)>,
    /// How many images lie around it.
    pub(crate) depth: usize,
    /// The other side, where it is no file of this host.
    pub(crate) remote: Option<Arc<dyn Remote>>,
}

impl Source {
    /// The file at `path`.
    pub(crate) fn of_path(path: &Path, gate: Arc<dyn Gate>) -> Result<Self> {
        Self::of_file(Referenced { storage: FileStorage::open(path)?, gate })
    }

    /// A file that is open.
    pub(crate) fn of_file(file: Referenced) -> Result<Self> {
        let Referenced { storage, gate } = file;
        let path = storage.path().to_owned();
        Ok(Self {
            gate,
            folder: None,
            name: path.file_name().and_then(|name| name.to_str()).map(str::to_owned),
            file_size: storage.size(),
            allocated_size: storage.allocated_size()?,
            file_id: Some(storage.file_id()?),
            stamp: storage.stamp(),
            is_device: storage.is_device(),
            is_folder: false,
            path,
            parts: Vec::new(),
            warnings: Vec::new(),
            wrappers: Vec::new(),
            depth: 0,
            remote: None,
            storage: Arc::new(storage),
        })
    }

    /// A folder that is an image; it has no bytes of its own.
    pub(crate) fn of_folder(path: &Path, folder: Arc<SourceFolder>, gate: Arc<dyn Gate>) -> Self {
        Self {
            storage: Arc::new(MemStorage::default()),
            gate,
            folder: Some(folder),
            path: path.to_owned(),
            name: path.file_name().and_then(|name| name.to_str()).map(str::to_owned),
            file_size: 0,
            allocated_size: 0,
            file_id: None,
            stamp: None,
            is_device: false,
            is_folder: true,
            parts: Vec::new(),
            warnings: Vec::new(),
            wrappers: Vec::new(),
            depth: 0,
            remote: None,
        }
    }

    /// What lies at an address that the operator gave; the names in it lead nowhere.
    pub(crate) fn of_remote(address: &str, source: RemoteSource) -> Self {
        let RemoteSource { storage, name, remote, warnings } = source;
        let own = Self::inner(storage, name.as_deref().unwrap_or_default(), Arc::new(DenyAll), 0);
        let (path, is_device, remote) = (PathBuf::from(address), name.is_none(), Some(remote));
        Self { path, name, is_device, warnings, remote, ..own }
    }

    /// An image inside of `depth` others.
    pub(crate) fn inner(storage: Arc<dyn Storage>, name: &str, gate: Arc<dyn Gate>, depth: usize) -> Self {
        let size = storage.size();
        Self {
            storage,
            gate,
            folder: None,
            path: PathBuf::from(name),
            name: Some(name.to_owned()),
            file_size: size,
            allocated_size: size,
            file_id: None,
            stamp: None,
            is_device: false,
            is_folder: false,
            parts: Vec::new(),
            warnings: Vec::new(),
            wrappers: Vec::new(),
            depth,
            remote: None,
        }
    }

    /// What a room gets to open it.
    pub(crate) fn context(&self, gate: Arc<dyn Gate>, options: &OpenOptions) -> LayerContext {
        LayerContext {
            gate,
            name: self.name.clone(),
            access: options.access.clone(),
            folder: self.folder.clone(),
            stream_size: None,
            opener: Arc::new(RoomOpener { options: options.clone(), depth: self.depth + 1 }),
        }
    }

    /// The image in it and its format, which is `named` or found. A format that was only guessed gets no other file.
    pub(crate) fn resolve(
        mut self,
        mut named: Option<&'static Format>,
        options: &OpenOptions,
    ) -> Result<(Self, &'static Format)> {
        let mut all_sure = true;
        for _ in 0..=MAX_WRAPS {
            self = self.joined(named, options)?;
            let (format, sure) = self.outermost(named, options)?;
            all_sure &= sure;
            if format.unpack.is_none() {
                if !all_sure {
                    self.gate = Arc::new(DenyAll);
                    self.folder = None;
                }
                return Ok((self, format));
            }
            if named.is_some_and(|named| named.name == format.name) {
                named = raw_of(options);
            }
            self = self.unpacked(format, options)?;
        }
        Err(Error::new(ErrorKind::Limit, format!("the file was compressed more than {MAX_WRAPS} times")))
    }

    /// The operator's word is about what is inside of a compressed file, where the file's name says that it is one.
    pub(crate) fn outermost(
        &self,
        named: Option<&'static Format>,
        options: &OpenOptions,
    ) -> Result<(&'static Format, bool)> {
        let name = self.name.as_deref().unwrap_or_default();
        let Some(named) = named else {
            return guess(name, self.storage.as_ref(), self.is_device, options.formats);
        };
        Ok((self.wrapper(name, named, options)?.unwrap_or(named), true))
    }

    fn wrapper(
        &self,
        name: &str,
        named: &'static Format,
        options: &OpenOptions,
    ) -> Result<Option<&'static Format>> {
        let Some(extension) = extension_of(name).filter(|_| !self.is_device) else { return Ok(None) };
        let is_it = |format: &&&'static Format| {
            format.unpack.is_some()
                && format.name != named.name
                && format.extensions.contains(&extension.as_str())
        };
        let Some(format) = options.formats.iter().find(is_it) else { return Ok(None) };
        let magic = probe_formats(self.storage.as_ref(), options.formats)?;
        Ok(magic.iter().any(|(f, score)| f.name == format.name && *score == Score::Magic).then_some(*format))
    }

    /// Parts of a file that was cut into pieces, put together: `disk.vma.zst.aa`, `disk.vhdx.001`. Pieces of raw disks are
    /// the raw room's.
    pub(crate) fn joined(mut self, named: Option<&'static Format>, options: &OpenOptions) -> Result<Self> {
        let Some(name) = self.name.clone().filter(|_| !self.is_device) else { return Ok(self) };
        let Some((stem, extension)) = name.rsplit_once('.') else { return Ok(self) };
        let Some(raw) = raw_of(options).filter(|raw| raw.cuts(extension)) else { return Ok(self) };
        let inner = extension_of(stem);
        let says = |format: &&&'static Format| {
            format.name != raw.name
                && inner.as_deref().is_some_and(|inner| format.extensions.contains(&inner))
        };
        let is_part_of = options.formats.iter().find(says).copied();
        let wanted = named.filter(|named| named.name != raw.name).or(is_part_of);
        let (Some(_), Some(open)) = (wanted, raw.open_layer) else { return Ok(self) };
        let recorder = Recorder::new(Arc::clone(&self.gate));
        let context = self.context(Arc::clone(&recorder) as Arc<dyn Gate>, options);
        let layer = open(Arc::clone(&self.storage), &context)?;
        self.warnings.extend_from_slice(layer.warnings());
        self.take_parts(recorder.take());
        self.storage = Arc::new(DiskStorage(Disk::new(vec![layer.into()])?));
        self.name = Some(stem.to_owned());
        Ok(self)
    }

    fn take_parts(&mut self, parts: Vec<PartFile>) {
        for part in parts {
            self.file_size = self.file_size.saturating_add(part.file_size);
            self.allocated_size = self.allocated_size.saturating_add(part.allocated_size);
            self.parts.push(part);
        }
    }

    /// What went into a compressed file, where it can be read at any place.
    pub(crate) fn unpacked_at(
        &self,
        format: &'static Format,
        options: &OpenOptions,
    ) -> Result<Option<Arc<dyn Storage>>> {
        let Some(unpack) = format.unpack_at else { return Ok(None) };
        unpack(&self.storage, &self.context(Arc::clone(&self.gate), options))
    }

    /// What went into a compressed file.
    fn unpacked(mut self, format: &'static Format, options: &OpenOptions) -> Result<Self> {
        let name = self.name.clone().unwrap_or_else(|| self.path.display().to_string());
        self.wrappers.push((format, Arc::clone(&self.storage)));
        self.storage = match self.unpacked_at(format, options)? {
            Some(storage) => storage,
            None => {
                let reader = self.reader(format, options)?;
                let expected = (format.unpacked_size)(self.storage.as_ref());
                let kept = options.spool.keep(&name, reader, expected)?;
                let text = format!(
                    "{name} is compressed with {} and cannot be read at any place: it was unpacked into a temporary file \
                     of {} bytes",
                    format.name,
                    kept.size()
                );
                self.warnings.push(Warning::new("unpacked", text));
                kept
            }
        };
        self.name = Some(stem_of(&name, format));
        Ok(self)
    }

    pub(crate) fn reader(
        &self,
        format: &'static Format,
        options: &OpenOptions,
    ) -> Result<Box<dyn Read + Send>> {
        let unpack = format.unpack.ok_or_else(|| Error::contract("a format that does not unpack"))?;
        let packed = BufReader::with_capacity(READ_AHEAD, StorageReader::new(Arc::clone(&self.storage)));
        let context = self.context(Arc::clone(&self.gate), options);
        Ok(Box::new(ReadAhead::new(unpack(Box::new(packed), &context)?)))
    }
}

/// What is inside of a compressed file whose compression the operator named as the format: a disk, whatever it begins with.
pub(crate) fn raw_of(options: &OpenOptions) -> Option<&'static Format> {
    options.formats.iter().copied().find(|format| (format.probe)(&[], &[]) == Score::Possible)
}

/// The name without the extension of a compression: `disk.tar` for `disk.tar.gz` and `disk.tgz`.
pub(crate) fn stem_of(name: &str, format: &Format) -> String {
    let Some(extension) = extension_of(name).filter(|e| format.extensions.contains(&e.as_str())) else {
        return name.to_owned();
    };
    let stem = &name[..name.len() - extension.len() - 1];
    match extension.strip_prefix('t') {
        Some(rest) if format.extensions.iter().any(|e| e.starts_with(rest)) => format!("{stem}.tar"),
        _ => stem.to_owned(),
    }
}

impl Format {
    /// Whether the extension is one that pieces of a raw disk have.
    fn cuts(&self, extension: &str) -> bool {
        let counted = extension.len() >= 2 && extension.bytes().all(|byte| byte.is_ascii_digit());
        let lettered = extension.len() >= 2 && extension.bytes().all(|byte| byte == b'a');
        (counted || lettered) && self.open_layer.is_some()
    }
}

/// What rooms open images inside of images with.
struct RoomOpener {
    options: OpenOptions,
    depth: usize,
}

impl RoomOpener {
    /// The choices of the operator are about the outermost image.
    fn inside(&self) -> OpenOptions {
        let mut options = OpenOptions { format: None, remotes: None, ..self.options.clone() };
        (options.access.pick, options.access.at, options.access.snapshot) = (None, None, None);
        options
    }

    fn wrapped(&self, source: &Source, options: &OpenOptions) -> Result<Option<&'static Format>> {
        let found = probe_formats(source.storage.as_ref(), options.formats)?;
        let mut magic = found.iter().filter(|(_, score)| *score == Score::Magic);
        Ok(magic.next().map(|(format, _)| *format).filter(|format| format.unpack.is_some()))
    }
}

impl Opener for RoomOpener {
    fn open(&self, storage: Arc<dyn Storage>, name: &str, gate: Arc<dyn Gate>) -> Result<InnerImage> {
        if self.depth > MAX_DEPTH {
            let text = format!("{name:?} lies in more than {MAX_DEPTH} images");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let options = self.inside();
        crate::chain::open_inner(Source::inner(storage, name, gate, self.depth), &options)
    }

    fn unpacked(&self, storage: Arc<dyn Storage>, name: &str) -> Result<Arc<dyn Storage>> {
        let options = self.inside();
        let mut source = Source::inner(storage, name, Arc::new(DenyAll), self.depth);
        for _ in 0..MAX_WRAPS {
            match self.wrapped(&source, &options)? {
                Some(format) => source = source.unpacked(format, &options)?,
                None => break,
            }
        }
        Ok(source.storage)
    }

    fn reader(&self, storage: Arc<dyn Storage>, name: &str) -> Result<Box<dyn Read + Send>> {
        let options = self.inside();
        let source = Source::inner(storage, name, Arc::new(DenyAll), self.depth);
        match self.wrapped(&source, &options)? {
            Some(format) => source.reader(format, &options),
            None => Ok(Box::new(StorageReader::new(source.storage))),
        }
    }

    fn keep(
        &self,
        name: &str,
        from: Box<dyn Read + Send>,
        expected: Option<u64>,
    ) -> Result<Arc<dyn Storage>> {
        self.options.spool.keep(name, from, expected)
    }

    fn scratch(&self) -> Result<File> {
        self.options.spool.file()
    }
}

impl Recorder {
    pub(crate) fn new(gate: Arc<dyn Gate>) -> Arc<Self> {
        Arc::new(Self { gate, opened: Mutex::default() })
    }

    pub(crate) fn take(&self) -> Vec<PartFile> {
        std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
