//! A format as data: what it is called, how it is recognised, how it is opened and written.

use crate::opener::NoOpener;
use crate::{
    CheckReport, ChunkStream, Container, Gate, Layer, Opener, Origin, Result, Sink, SourceFolder, Storage,
    TargetStorage, Update, UpdateStorage,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// How sure a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Score {
    /// Not this format.
    No,
    /// Could be anything (raw).
    Possible,
    /// The format's magic bytes are there.
    Magic,
}

/// What a room may use to open an image.
#[derive(Clone)]
pub struct LayerContext {
    /// The only way to other files. A room asks it for its own parts; parents are opened by the chain.
    pub gate: Arc<dyn Gate>,
    /// The image's own file name, without folders, where it has one. What was added to it when the image was compressed
    /// or cut into pieces is gone: `disk.vma` for a file `disk.vma.zst.aa`.
    pub name: Option<String>,
    /// How the operator wants the image to be read.
    pub access: Access,
    /// The folder that was named, or in which the file lies that was named; none for an image inside another, and for one
    /// whose format was only guessed. Only for names that are the room's own, never for those that an image holds.
    pub folder: Option<Arc<SourceFolder>>,
    /// How many bytes a stream will have, where that is known or expected.
    pub stream_size: Option<u64>,
    /// Opens images of other formats inside this one.
    pub opener: Arc<dyn Opener>,
}

impl LayerContext {
    /// A context with nothing but `gate`.
    #[must_use]
    pub fn new(gate: Arc<dyn Gate>) -> Self {
        let opener = Arc::new(NoOpener);
        Self { gate, name: None, access: Access::default(), folder: None, stream_size: None, opener }
    }
}

/// How the operator wants an image to be read.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Opens encrypted images.
    pub key: Option<Key>,
    /// Further keys and passphrases that the operator gave, for formats that need two: a key file and its passphrase.
    pub more_keys: Vec<Key>,
    /// An internal snapshot, by its name or else its id, instead of the current state. Only for the top of a chain.
    pub snapshot: Option<String>,
    /// Wrong checksums of headers become warnings.
    pub ignore_checksums: bool,
    /// An image is read without its parent: what it does not hold itself reads as zeros.
    pub ignore_parents: bool,
    /// Which disk of a container, by its name or else its number from 0.
    pub pick: Option<String>,
    /// Which point in time of a container, see [`crate::Point::choose`].
    pub at: Option<String>,
    /// Compressed files are unpacked whatever memory their window takes: up to 2 GiB (`zstd --long=31`) instead of
    /// 128 MiB.
    pub long_window: bool,
}

/// A passphrase or key. Never shown, wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<Vec<u8>>>);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// `-o key=value` pairs, already checked against [`Format::create_options`].
    pub options: BTreeMap<String, String>,
    /// Write a difference to this image; only given where [`Format::can_differ`].
    pub parent: Option<ParentImage>,
}

/// The parent of an image that is to be written.
#[derive(Clone, Debug)]
pub struct ParentImage {
    /// How the child finds it: a path relative to the child's folder, with `/` between folders.
    pub name: String,
    /// Its absolute path.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// Size of its disk in bytes.
    pub virtual_size: u64,
    /// Its [`Layer::identity`].
    pub identity: Option<String>,
    /// Its [`Layer::chunk_size`].
    pub chunk_size: u64,
    /// When its file was last changed.
    pub modified: Option<SystemTime>,
    /// Its [`Layer::details`].
    pub details: crate::Details,
}

/// One `-o` key of a writer.
#[derive(Clone, Copy, Debug)]
pub struct CreateOption {
    /// The key.
    pub key: &'static str,
    /// What may stand after `=`, for people.
    pub values: &'static str,
    /// What is taken without it.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
}

/// [`Format::resume`].
pub type ResumeSink = fn(Box<dyn TargetStorage>, &CreateRequest, &[u8]) -> Result<Box<dyn Sink>>;

/// One disk image format. Rooms export one as `pub static FORMAT`, built on [`Format::NONE`].
#[derive(Clone, Copy)]
#[allow(clippy::type_complexity)]
pub struct Format {
    /// The name that `-f` and `-O` take.
    pub name: &'static str,
    /// Other names that users type.
    pub aliases: &'static [&'static str],
    /// File name extensions, lower case, without the dot.
    pub extensions: &'static [&'static str],
    /// One line for tables.
    pub description: &'static str,
    /// Judges the first and the last [`Format::PROBE_LEN`] bytes of a file (less when the file is shorter).
    pub probe: fn(head: &[u8], tail: &[u8]) -> Score,
    /// Opens an image for random access.
    pub open_layer: Option<fn(Arc<dyn Storage>, &LayerContext) -> Result<Box<dyn Layer>>>,
    /// Opens an image that comes through a pipe, where the format can be read from its start to its end.
    pub open_stream: Option<fn(Box<dyn Read + Send>, &LayerContext) -> Result<Box<dyn ChunkStream>>>,
    /// Opens what holds several disks, or more than a disk. Goes before [`Format::open_layer`].
    pub open_container: Option<fn(Origin, &LayerContext) -> Result<Box<dyn Container>>>,
    /// Judges a folder, for formats that are one; it looks at a few names only.
    pub probe_folder: fn(&SourceFolder) -> Score,
    /// For a format that is nothing but a compression: the bytes that went in, from the start to the end.
    pub unpack: Option<fn(Box<dyn Read + Send>, &LayerContext) -> Result<Box<dyn Read + Send>>>,
    /// The same bytes at any place, for files that allow it; `None` for one that does not.
    pub unpack_at: Option<fn(&Arc<dyn Storage>, &LayerContext) -> Result<Option<Arc<dyn Storage>>>>,
    /// How many bytes went in, where the file says it: to tell how much room they will take, and not to be trusted.
    pub unpacked_size: fn(&dyn Storage) -> Option<u64>,
    /// Whether an image that begins with these bytes, [`Format::PROBE_LEN`] at most, can be read by
    /// [`Format::open_stream`]; the others are put into a file first. The second argument is [`LayerContext::stream_size`].
    pub flows: fn(head: &[u8], size: Option<u64>) -> bool,
    /// The size of the disk in bytes as the beginning of the image lets one expect it, where nothing tells it for certain. A
    /// stream that ends elsewhere is an error of kind `Unsupported`.
    pub size_by_content: fn(head: &[u8]) -> Option<u64>,
    /// Checks the structure of one image file: tables, leaks, overlaps, checksums. What opening the image would refuse
    /// may be an error of this function or of its report.
    pub check: Option<fn(Arc<dyn Storage>, &LayerContext) -> Result<CheckReport>>,
    /// Whether [`Access::snapshot`] means something.
    pub has_snapshots: bool,
    /// Whether [`Access::at`] means something.
    pub has_points: bool,
    /// Whether [`CreateRequest::parent`] is understood.
    pub can_differ: bool,
    /// The file that stands for the whole where an image is a folder (Parallels): a folder that has it is opened by it.
    pub folder_entry: Option<&'static str>,
    /// For a format that is recognised and nothing more: how to get at the disk by other means, as one sentence.
    pub way_out: Option<&'static str>,
    /// Starts writing an image.
    pub create: Option<fn(Box<dyn TargetStorage>, &CreateRequest) -> Result<Box<dyn Sink>>>,
    /// Goes on writing an image from a state that [`Sink::checkpoint`] gave for the same request, on a target that holds
    /// at least what was durable then. What was written later is blanked or written again. The state is untrusted bytes.
    pub resume: Option<ResumeSink>,
    /// A disk in this format has a multiple of this many bytes; the caller rounds the request up to it, with zeros.
    pub size_step: fn(&CreateRequest) -> u64,
    /// Opens an existing image for changes of its disk in place. It refuses with `Unsupported` what it could not change
    /// without harm, and writes nothing yet.
    pub open_update: Option<fn(Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>>>,
    /// The keys that [`Format::create`] understands.
    pub create_options: &'static [CreateOption],
}

impl Format {
    /// How many bytes of each end a probe sees.
    pub const PROBE_LEN: usize = 64 << 10;

    /// A format that does nothing: the base that rooms fill in, so that a new ability does not touch every room.
    pub const NONE: Self = Self {
        name: "",
        aliases: &[],
        extensions: &[],
        description: "",
        probe: |_, _| Score::No,
        open_layer: None,
        open_stream: None,
        open_container: None,
        probe_folder: |_| Score::No,
        unpack: None,
        unpack_at: None,
        unpacked_size: |_| None,
        flows: |_, _| true,
        size_by_content: |_| None,
        check: None,
        has_snapshots: false,
        has_points: false,
        can_differ: false,
        folder_entry: None,
        way_out: None,
        create: None,
        resume: None,
        size_step: |_| 1,
        open_update: None,
        create_options: &[],
    };

    /// Whether it can be read at all.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.open_layer.is_some() || self.open_container.is_some() || self.unpack.is_some()
    }

    /// Whether `name` is one of its names.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format").field("name", &self.name).finish_non_exhaustive()
    }
}
