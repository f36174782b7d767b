//! Where a conversion reads from: an image, or a pipe.

use crate::args::ConvertArgs;
use crate::commands::convert::is_pipe;
use crate::output::to_stderr;
use crate::stdin::Stdin;
use convert_engine::{Control, SourceFile};
use format_core::{
    ChunkStream, DenyAll, Error, ErrorKind, Format, LayerContext, MemStorage, OpenOptions, OpenedImage,
    Result, Score, open_image, probe_formats,
};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// An opened source.
pub(crate) enum Source {
    Image(OpenedImage),
    Stream(Box<dyn ChunkStream>),
}

impl Source {
    /// Opens the source, and tells all files that are read and so must not be written.
    pub(crate) fn open(
        args: &ConvertArgs,
        options: &OpenOptions,
        control: Control<'_>,
        interrupted: &Arc<AtomicBool>,
    ) -> Result<(Self, Vec<SourceFile>)> {
        if !is_pipe(&args.source) {
            let unnamed = |e: Error| match e.kind() {
                // The first and last sectors are looked at to recognise the format.
                ErrorKind::Io if args.rescue.is_wanted() && options.format.is_none() => {
                    e.hint("name the format, so that nothing is read to recognise it: -f raw for a disk")
                }
                _ => e,
            };
            let opened = open_image(&args.source, options).map_err(unnamed)?;
            let files = SourceFile::of_images([&opened]);
            return Ok((Self::Image(opened), files));
        }
        if args.rescue.is_wanted() {
            let text =
                "a pipe cannot be read a second time: --on-read-error and mapfiles are for files and devices";
            return Err(Error::usage(text));
        }
        let files = redirected(&std::io::stdin(), "/dev/stdin")?.into_iter().collect();
        let mut stdin = Stdin::new(Arc::clone(interrupted));
        let mut head = Vec::new();
        stdin.by_ref().take(Format::PROBE_LEN as u64).read_to_end(&mut head).map_err(failed)?;
        if head.is_empty() {
            // What should have filled the pipe failed: an empty disk would hide that.
            return Err(Error::new(ErrorKind::SourceMissing, "nothing came through the pipe")
                .hint("look why the command before it wrote nothing"));
        }
        let format = match options.format {
            Some(format) => format,
            None => format_of(&head, options)?,
        };
        if options.access.snapshot.is_some() {
            return Err(Error::usage(
                "an image in a pipe cannot be searched for a snapshot: save it to a file first",
            ));
        }
        let flows = args.size.is_none() && (format.flows)(&head);
        let rest = std::io::Cursor::new(head).chain(stdin);
        if let Some(open) = format.open_stream.filter(|_| flows) {
            let mut context = LayerContext::new(Arc::new(DenyAll));
            context.access = options.access.clone();
            return Ok((Self::Stream(open(Box::new(rest), &context)?), files));
        }
        Ok((Self::Image(spooled(rest, &args.target, options, control)?), files))
    }
}

/// The file or block device behind stdin or stdout: a shell may have put one there.
pub(crate) fn redirected(stream: &impl AsFd, name: &str) -> Result<Option<SourceFile>> {
    let look = || File::from(stream.as_fd().try_clone_to_owned()?).metadata();
    let found = look().map_err(|e| Error::io(format!("cannot examine {name}"), e))?;
    // One socket or terminal can well be both ends.
    let is_storage = found.is_file() || found.file_type().is_block_device();
    Ok(is_storage.then(|| SourceFile { path: name.into(), file_id: (found.dev(), found.ino()) }))
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

/// Puts the pipe's bytes into a file beside the target and opens that. It lies in a folder of its own, because a name in
/// the image means no file beside the target, and is gone from there once it is open.
fn spooled(
    from: impl Read,
    target: &Path,
    options: &OpenOptions,
    control: Control<'_>,
) -> Result<OpenedImage> {
    let folder = match target.parent() {
        _ if is_pipe(target) => std::env::temp_dir(),
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => Path::new(".").to_owned(),
    };
    to_stderr(&format!(
        "note: the image comes through a pipe and is put into a file in {} first",
        folder.display()
    ));
    let here = |e: std::io::Error| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let error = Error::io(format!("cannot put the image into a file in {}", folder.display()), e);
        if missing { error.with_kind(ErrorKind::Destination) } else { error }
    };
    let spool = tempfile::Builder::new().prefix(".rehome-spool-").tempdir_in(&folder).map_err(here)?;
    let path = spool.path().join("stdin");
    let file = File::options().write(true).create_new(true).open(&path).map_err(here)?;
    save(from, file, control, here)?;
    // With the operator's word on the format only: what was guessed may refer to nothing.
    open_image(&path, options)
}

/// Holes where there are zeros.
fn save(
    mut from: impl Read,
    mut file: File,
    control: Control<'_>,
    here: impl Fn(std::io::Error) -> Error,
) -> Result<()> {
    let mut buf = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        let part = from.read(&mut buf).map_err(failed)?;
        // Also at the end: the signal that stops us may have ended the sender first.
        control.check()?;
        if part == 0 {
            return file.set_len(len).map_err(here);
        }
        len += part as u64;
        let bytes = &buf[..part];
        if format_core::is_zero(bytes) {
            file.seek_relative(part as i64).map_err(&here)?;
        } else {
            file.write_all(bytes).map_err(&here)?;
        }
    }
}
