//! A format as data: what it is called, how it is recognised, how it is opened and written.

use crate::{Gate, Layer, Result, Sink, Storage, TargetStorage};
use std::collections::BTreeMap;
use std::sync::Arc;

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
}

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// `-o key=value` pairs, already checked against [`Format::create_options`].
    pub options: BTreeMap<String, String>,
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
    /// Starts writing an image.
    pub create: Option<fn(Box<dyn TargetStorage>, &CreateRequest) -> Result<Box<dyn Sink>>>,
    /// A disk in this format has a multiple of this many bytes; the caller rounds the request up to it, with zeros.
    pub size_step: fn(&CreateRequest) -> u64,
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
        create: None,
        size_step: |_| 1,
        create_options: &[],
    };

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
