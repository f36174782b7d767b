//! Images that are read from their start to their end: through a pipe, or on the way out of a compressed file.

use crate::guess::{extension_of, guess, probe_formats};
use crate::read_ahead::ReadAhead;
use crate::remote::address;
use crate::source::{Source, raw_of, stem_of};
use crate::{
    ChunkStream, DenyAll, Error, ErrorKind, Format, Gate, LayerContext, MemStorage, OpenOptions, PartFile,
    Result, Score, Storage, StreamChunk, TimedOpen, Warning,
};
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// How many compressions may lie around each other.
const MAX_WRAPS: usize = 4;

/// An image that is read from its start to its end.
pub struct Flow {
    /// Its disk.
    pub stream: Box<dyn ChunkStream>,
    /// The file that it comes from, and its further pieces.
    pub files: Vec<PartFile>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// What is found in bytes that come one after the other.
pub enum Flowing {
    /// A disk that can be copied on the way.
    Stream(Box<dyn ChunkStream>),
    /// An image that has to be in a file first: all its bytes, unpacked, and the name that it would have.
    Image {
        /// The bytes.
        bytes: Box<dyn Read + Send>,
        /// The name, as far as there is one.
        name: Option<String>,
        /// Its format, where it is known.
        format: Option<&'static Format>,
    },
}

/// Opens the compressed image at `path` so that it is unpacked on the way; `None` for a file that is not compressed or can
/// be read at any place, and for formats that cannot be read from their start to their end.
///
/// A stream that ends in an error of kind `Unsupported` was opened in vain: [`crate::open_image`] may read the file.
///
/// # Errors
/// As [`crate::open_image`].
pub fn open_flow(path: &Path, options: &OpenOptions) -> Result<Option<Flow>> {
    if path.is_dir() {
        return Ok(None);
    }
    let failed = |e: Error| e.context(format!("open {}", path.display()));
    let _opening = TimedOpen::begin(format!("open {}", path.display()));
    let source = match address(path, options.remotes.as_deref()) {
        Some((address, remotes)) => Source::of_remote(address, remotes.open(address)?),
        None => crate::chain::source_at(path, options)?,
    };
    let source = source.joined(options.format, options).map_err(failed)?;
    let (format, _) = source.outermost(options.format, options).map_err(failed)?;
    if format.unpack.is_none() || source.unpacked_at(format, options).map_err(failed)?.is_some() {
        return Ok(None);
    }
    let named = match options.format {
        Some(named) if named.name == format.name => raw_of(options),
        named => named,
    };
    let name = source.name.as_deref().map(|name| stem_of(name, format));
    let size = (format.unpacked_size)(source.storage.as_ref());
    let bytes = source.reader(format, options).map_err(failed)?;
    match find(bytes, name, named, size, Trust { may_flow: true, may_fail: true }, options).map_err(failed)? {
        Flowing::Image { .. } => Ok(None),
        Flowing::Stream(stream) => {
            let Source { path, file_size, allocated_size, file_id, stamp, parts, warnings, .. } = source;
            let own = file_id.map(|file_id| PartFile { path, file_size, allocated_size, file_id, stamp });
            let files = own.into_iter().chain(parts).collect();
            Ok(Some(Flow { stream, files, warnings }))
        }
    }
}

/// What comes through a pipe, unpacked where it is compressed; as an image unless `may_flow`.
///
/// # Errors
/// `Usage` when its format has to be named; as [`crate::open_image`].
pub fn open_pipe(bytes: Box<dyn Read + Send>, options: &OpenOptions, may_flow: bool) -> Result<Flowing> {
    find(bytes, None, options.format, None, Trust { may_flow, may_fail: false }, options)
}

/// What a stream is good for.
#[derive(Clone, Copy)]
struct Trust {
    /// A disk may be copied on the way.
    may_flow: bool,
    /// There is another way when it fails.
    may_fail: bool,
}

/// Unpacks until something is found. Where the stream may fail, a size is expected that is not certain.
fn find(
    mut bytes: Box<dyn Read + Send>,
    mut name: Option<String>,
    mut named: Option<&'static Format>,
    mut size: Option<u64>,
    trust: Trust,
    options: &OpenOptions,
) -> Result<Flowing> {
    let mut around = None;
    for _ in 0..=MAX_WRAPS {
        let mut head = Vec::new();
        bytes
            .by_ref()
            .take(Format::PROBE_LEN as u64)
            .read_to_end(&mut head)
            .map_err(|e| crate::spool::unpack_error(name.as_deref().unwrap_or("the pipe"), e))?;
        if head.is_empty() {
            // What should have filled the pipe failed: an empty disk would hide that.
            return Err(Error::new(ErrorKind::SourceMissing, "nothing came through the pipe")
                .hint("look why the command before it wrote nothing"));
        }
        let format = format_of(&head, name.as_deref(), named, options).map_err(|e| match around {
            // Its own word goes before the general one.
            Some(around) if name.is_none() && named.is_none() => {
                e.hint(format!("if it is a disk that was compressed, say -f {around}"))
            }
            _ => e,
        })?;
        let all: Box<dyn Read + Send> = Box::new(Cursor::new(head.clone()).chain(bytes));
        let Some(format) = format else { return Ok(Flowing::Image { bytes: all, name, format: None }) };
        if trust.may_fail {
            size = size.or_else(|| (format.size_by_content)(&head));
        }
        let context = context(name.clone(), size, options);
        if let Some(unpack) = format.unpack {
            around = Some(format.name);
            if named.is_some_and(|named| named.name == format.name) {
                named = raw_of(options);
            }
            (bytes, size) = (Box::new(ReadAhead::new(unpack(all, &context)?)), None);
            name = name.as_deref().map(|name| stem_of(name, format));
            continue;
        }
        let Some(open) = format.open_stream.filter(|_| trust.may_flow && (format.flows)(&head, size)) else {
            return Ok(Flowing::Image { bytes: all, name, format: Some(format) });
        };
        let is_raw = (format.probe)(&[], &[]) == Score::Possible;
        let stream = open(all, &context)?;
        return Ok(Flowing::Stream(match named {
            None if is_raw => Box::new(Unmasked { stream, head, tail: Vec::new(), formats: options.formats }),
            _ => stream,
        }));
    }
    Err(Error::new(ErrorKind::Limit, format!("the image was compressed more than {MAX_WRAPS} times")))
}

fn context(name: Option<String>, size: Option<u64>, options: &OpenOptions) -> LayerContext {
    let gate = Arc::new(DenyAll) as Arc<dyn Gate>;
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let source = Source::inner(storage, name.as_deref().unwrap_or_default(), Arc::clone(&gate), 0);
    LayerContext { name, stream_size: size, ..source.context(gate, options) }
}

/// The format of bytes that begin with `head`; `None` where only all of them can tell.
fn format_of(
    head: &[u8],
    name: Option<&str>,
    named: Option<&'static Format>,
    options: &OpenOptions,
) -> Result<Option<&'static Format>> {
    let beginning = MemStorage(head.to_vec());
    let found = probe_formats(&beginning, options.formats)?;
    let magic: Vec<_> =
        found.iter().filter(|(_, score)| *score == Score::Magic).map(|(format, _)| *format).collect();
    if let Some(named) = named {
        let is_raw = (named.probe)(&[], &[]) == Score::Possible;
        if let (true, None, Some(around)) =
            (is_raw, name, magic.iter().find(|format| format.unpack.is_some()))
        {
            // Without a name nobody knows whether the disk in it is meant, or the bytes as they are.
            let text = format!("what comes through the pipe is compressed: it is {}", around.description);
            return Err(Error::usage(text).hint(format!(
                "-f {} copies the disk in it; bytes that only look so have to be in a file, for -f raw",
                around.name
            )));
        }
        let wraps = |format: &&&'static Format| format.unpack.is_some() && format.name != named.name;
        let extension = name.and_then(extension_of);
        let says = |format: &&&'static Format| match &extension {
            Some(extension) => format.extensions.contains(&extension.as_str()),
            None => name.is_none(),
        };
        return Ok(Some(magic.iter().find(|format| wraps(format) && says(format)).copied().unwrap_or(named)));
    }
    match (name, magic.as_slice()) {
        // A pipe has no name: only bytes can tell.
        (None, [format]) => Ok(Some(format)),
        (None, _) => Err(Error::usage("the format of what comes through the pipe cannot be recognised")
            .hint("name the format with -f, for example -f raw")),
        (Some(name), [_, ..]) => {
            guess(name, &beginning, false, options.formats).map(|(format, _)| Some(format))
        }
        // Nothing at the start: it is raw if its name says so, or the end tells what it is.
        (Some(name), []) => {
            let raw = found.iter().find(|(_, score)| *score == Score::Possible).map(|(format, _)| *format);
            let says = |format: &&'static Format| {
                extension_of(name).is_none_or(|extension| format.extensions.contains(&extension.as_str()))
            };
            Ok(raw.filter(says))
        }
    }
}

/// A raw disk that nobody named, whose end may show that it is something else.
struct Unmasked {
    stream: Box<dyn ChunkStream>,
    head: Vec<u8>,
    /// The last bytes that came, as long as they follow each other.
    tail: Vec<u8>,
    formats: &'static [&'static Format],
}

impl ChunkStream for Unmasked {
    fn format(&self) -> &'static str {
        self.stream.format()
    }

    fn virtual_size(&self) -> u64 {
        self.stream.virtual_size()
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        let chunk = self.stream.next_chunk()?;
        match &chunk {
            Some(StreamChunk { offset, data }) => {
                let end = offset + data.len() as u64;
                let from_end = self.stream.virtual_size().saturating_sub(end);
                if from_end < 2 * Format::PROBE_LEN as u64 {
                    self.tail.extend_from_slice(data);
                    let surplus = self.tail.len().saturating_sub(Format::PROBE_LEN);
                    self.tail.drain(..surplus);
                }
            }
            None => {
                let magic =
                    self.formats.iter().find(|format| (format.probe)(&self.head, &self.tail) == Score::Magic);
                if let Some(format) = magic {
                    let text = format!("the image is named like a raw disk but ends like {}", format.name);
                    return Err(Error::usage(text).hint("name the format with -f, for example -f raw"));
                }
            }
        }
        Ok(chunk)
    }

    fn warnings(&self) -> &[Warning] {
        self.stream.warnings()
    }
}
