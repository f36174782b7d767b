//! Where a conversion reads from: an image, a compressed one that is unpacked on the way, or a pipe.

use crate::args::ConvertArgs;
use crate::commands::convert::is_pipe;
use crate::commands::format_named;
use crate::output::to_stderr;
use crate::stdin::Stdin;
use convert_engine::{Control, SourceFile};
use format_core::{
    ChunkStream, Error, ErrorKind, FileStamp, Flowing, Held, OpenOptions, OpenedImage, Result, Warning,
    open_flow, open_image, open_pipe, stream_error,
};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// An opened source.
pub(crate) enum Source {
    Image(OpenedImage),
    /// What is read from its start to its end, what messages call it, and what a person should know about the file.
    Stream(Box<dyn ChunkStream>, String, Vec<Warning>),
}

impl Source {
    /// Opens the source, and tells all files that are read and so must not be written.
    pub(crate) fn open(
        args: &ConvertArgs,
        options: &OpenOptions,
        control: Control<'_>,
        interrupted: &Arc<AtomicBool>,
    ) -> Result<(Self, Vec<SourceFile>)> {
        if is_pipe(&args.source) {
            return Self::of_pipe(args, options, control, interrupted);
        }
        let options = &Held::at(&args.source, options)?;
        if Self::may_flow(args, options)
            && let Some(flow) = open_flow(&args.source, options)?
        {
            let files = flow.files.iter().map(SourceFile::from);
            let name = args.source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok((Self::Stream(flow.stream, name, flow.warnings), files.collect()));
        }
        Self::of_file(args, options)
    }

    /// The image in a file, at any place.
    pub(crate) fn of_file(args: &ConvertArgs, options: &OpenOptions) -> Result<(Self, Vec<SourceFile>)> {
        let unnamed = |e: Error| match e.kind() {
            // The first and last sectors are looked at to recognise the format.
            ErrorKind::Io if args.rescue.is_wanted() && options.format.is_none() => {
                e.hint("name the format, so that nothing is read to recognise it: -f raw for a disk")
            }
            _ => e,
        };
        let opened = open_image(&args.source, options).map_err(unnamed)?;
        let files = SourceFile::of_images([&opened]);
        Ok((Self::Image(opened), files))
    }

    /// Whether an image may be read from its start to its end where that saves a temporary file.
    fn may_flow(args: &ConvertArgs, options: &OpenOptions) -> bool {
        args.size.is_none() && !args.rescue.is_wanted() && options.access.snapshot.is_none()
    }

    fn of_pipe(
        args: &ConvertArgs,
        options: &OpenOptions,
        control: Control<'_>,
        interrupted: &Arc<AtomicBool>,
    ) -> Result<(Self, Vec<SourceFile>)> {
        if args.rescue.is_wanted() {
            let text =
                "a pipe cannot be read a second time: --on-read-error and mapfiles are for files and devices";
            return Err(Error::usage(text));
        }
        let files = redirected(&std::io::stdin(), "/dev/stdin")?.into_iter().collect();
        if options.access.snapshot.is_some() {
            return Err(Error::usage(
                "an image in a pipe cannot be searched for a snapshot: save it to a file first",
            ));
        }
        let stdin = Stdin::new(Arc::clone(interrupted));
        Ok(match open_pipe(Box::new(stdin), options, Self::may_flow(args, options))? {
            Flowing::Stream(stream) => (Self::Stream(stream, "stdin".into(), Vec::new()), files),
            Flowing::Image { bytes, .. } => (Self::Image(spooled(bytes, args, options, control)?), files),
        })
    }
}

/// The file or block device behind stdin or stdout: a shell may have put one there.
pub(crate) fn redirected(stream: &impl AsFd, name: &str) -> Result<Option<SourceFile>> {
    let look = || File::from(stream.as_fd().try_clone_to_owned()?).metadata();
    let found = look().map_err(|e| Error::io(format!("cannot examine {name}"), e))?;
    // One socket or terminal can well be both ends.
    let is_storage = found.is_file() || found.file_type().is_block_device();
    let stamp = FileStamp::of(&found);
    Ok(is_storage.then(|| SourceFile { path: name.into(), file_id: (found.dev(), found.ino()), stamp }))
}

/// Puts the pipe's bytes into a file beside the target and opens that. It lies in a folder of its own, because a name in
/// the image means no file beside the target, and is gone from there once it is open.
fn spooled(
    from: impl Read,
    args: &ConvertArgs,
    options: &OpenOptions,
    control: Control<'_>,
) -> Result<OpenedImage> {
    let folder = args.spool_folder();
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
    // With the operator's word on the format only: what was guessed may refer to nothing. A compression is gone by now.
    let named = match options.format {
        Some(format) if format.unpack.is_some() => Some(format_named("raw")?),
        named => named,
    };
    open_image(&path, &OpenOptions { format: named, ..options.clone() })
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
        let part = from.read(&mut buf).map_err(stream_error)?;
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

impl ConvertArgs {
    /// The folder for temporary files.
    pub(crate) fn spool_folder(&self) -> PathBuf {
        match (&self.open.chain.spool, self.target.parent()) {
            (Some(folder), _) => folder.clone(),
            _ if is_pipe(&self.target) || self.existing => std::env::temp_dir(),
            (None, Some(folder)) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => Path::new(".").to_owned(),
        }
    }
}
