//! Where a conversion reads from: an image, or a pipe.

use crate::args::ConvertArgs;
use crate::commands::convert::is_pipe;
use crate::output::to_stderr;
use format_core::{
    ChunkStream, DenyAll, Error, Format, LayerContext, MemStorage, OpenOptions, OpenedImage, Result, Score,
    open_image, probe_formats,
};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// An opened source.
pub(crate) enum Source {
    Image(OpenedImage),
    /// What came through the pipe lies in a temporary file, which goes when this is dropped.
    Spooled(OpenedImage, NamedTempFile),
    Stream(Box<dyn ChunkStream>),
}

impl Source {
    pub(crate) fn open(args: &ConvertArgs, options: &OpenOptions) -> Result<Self> {
        if !is_pipe(&args.source) {
            return Ok(Self::Image(open_image(&args.source, options)?));
        }
        let stdin = std::io::stdin();
        let mut head = Vec::new();
        stdin.lock().take(Format::PROBE_LEN as u64).read_to_end(&mut head).map_err(failed)?;
        let format = match options.format {
            Some(format) => format,
            None => format_of(&head, options)?,
        };
        if options.access.snapshot.is_some() {
            return Err(Error::usage(
                "an image in a pipe cannot be searched for a snapshot: save it to a file first",
            ));
        }
        let rest = std::io::Cursor::new(head).chain(stdin);
        if let Some(open) = format.open_stream.filter(|_| args.size.is_none()) {
            let mut context = LayerContext::new(Arc::new(DenyAll));
            context.access = options.access.clone();
            return Ok(Self::Stream(open(Box::new(rest), &context)?));
        }
        let file = spooled(rest, &args.target)?;
        let options = OpenOptions { format: Some(format), ..options.clone() };
        Ok(Self::Spooled(open_image(file.path(), &options)?, file))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot read from stdin", error)
}

/// Only bytes can tell: a pipe has no name.
fn format_of(head: &[u8], options: &OpenOptions) -> Result<&'static Format> {
    let found = probe_formats(&MemStorage(head.to_vec()), options.formats)?;
    let magic: Vec<_> = found.iter().filter(|(_, score)| *score == Score::Magic).collect();
    match magic.as_slice() {
        [(format, _)] => Ok(format),
        _ => Err(Error::usage("the format of what comes through the pipe cannot be recognised")
            .hint("name the format with -f, for example -f raw")),
    }
}

/// Puts the pipe's bytes into a file beside the target, holes where there are zeros.
fn spooled(mut from: impl Read, target: &Path) -> Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !is_pipe(target) => folder.to_owned(),
        _ if is_pipe(target) => std::env::temp_dir(),
        _ => Path::new(".").to_owned(),
    };
    to_stderr(&format!(
        "note: the image comes through a pipe and is put into a file in {} first",
        folder.display()
    ));
    let here = |e| Error::io(format!("cannot put the image into a file in {}", folder.display()), e);
    let mut file = NamedTempFile::with_prefix_in(".rehome-spool-", &folder).map_err(here)?;
    let mut buf = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        let part = match from.read(&mut buf).map_err(failed)? {
            0 => break,
            part => part,
        };
        len += part as u64;
        let bytes = &buf[..part];
        if format_core::is_zero(bytes) {
            std::io::Seek::seek_relative(file.as_file_mut(), part as i64).map_err(here)?;
        } else {
            file.write_all(bytes).map_err(here)?;
        }
    }
    file.as_file().set_len(len).map_err(here)?;
    Ok(file)
}
