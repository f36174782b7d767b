//! `rehome convert` and `rehome flatten`

use crate::args::ConvertArgs;
use crate::commands::{format_named, key_values, target_format};
use crate::output::{Printer, safe};
use crate::source::{Source, redirected};
use convert_engine::{
    BlockList, Control, ConvertOutcome, ConvertRequest, Destination, SourceFile, convert, convert_stream,
    digest_disk, refuse_device_of_sources, refuse_source_file, refuse_source_files, size_in,
};
use convert_migrate::resize_disk;
use format_core::units::format_size;
use format_core::{
    DeviceTarget, Error, ErrorKind, Format, OpenOptions, PipeTarget, Result, Warning, open_image,
};
use serde::Serialize;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

#[derive(Serialize)]
struct Outcome {
    source: String,
    target: String,
    format: &'static str,
    virtual_size: u64,
    /// `None` for devices and pipes.
    file_size: Option<u64>,
    data_bytes: u64,
    digest: String,
    manifest: Option<String>,
    verified: bool,
    seconds: f64,
    warnings: Vec<Warning>,
}

/// `-` as a name.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(crate) fn run(
    args: &ConvertArgs,
    printer: &Printer,
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    if args.sync {
        return super::sync::run(args, printer, control, interrupted);
    }
    let started = Instant::now();
    let format = wanted_format(args)?;
    let mut warnings = Vec::new();
    if is_pipe(&args.target) && args.verify {
        return Err(Error::usage("what went into a pipe cannot be read back: leave --verify away"));
    }
    // A pipe that a signal ends fails in many ways, all of them meant.
    let meant = |e| control.check().err().unwrap_or(e);
    let (source, files) = Source::open(args, &args.open.options()?, control, interrupted).map_err(meant)?;
    refuse_in_place(args, &files)?;
    let done = copy(args, source, &files, format, printer, &mut warnings, control).map_err(meant)?;
    printer.warnings(&done.warnings);
    warnings.extend_from_slice(&done.warnings);
    let manifest = match &done.manifest {
        Some(manifest) => Some(
            manifest.save(&args.target, &done.copy.blocks).map_err(|e| without_manifest(&args.target, e))?,
        ),
        None => None,
    };
    if args.verify {
        verify(args, format, &done.copy.blocks, control)?;
    }
    let outcome = Outcome {
        source: args.source.display().to_string(),
        target: args.target.display().to_string(),
        format: format.name,
        virtual_size: done.copy.blocks.virtual_size(),
        file_size: done.manifest.as_ref().map(|manifest| manifest.image.file_size),
        data_bytes: done.copy.read,
        digest: done.copy.blocks.digest()?.to_hex().to_string(),
        manifest: manifest.map(|path| path.display().to_string()),
        verified: args.verify,
        seconds: started.elapsed().as_secs_f64(),
        warnings,
    };
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

fn wanted_format(args: &ConvertArgs) -> Result<&'static Format> {
    if !args.existing {
        if std::fs::metadata(&args.target).is_ok_and(|target| target.file_type().is_block_device()) {
            return Err(Error::usage(format!("{} is a block device", args.target.display()))
                .hint("to overwrite it with the raw disk, add -n --overwrite-device"));
        }
        return target_format(args.target_format.as_deref(), &args.target);
    }
    let format = format_named(args.target_format.as_deref().unwrap_or("raw"))?;
    if format.name != "raw" {
        let text = format!("a block device is written as raw disk, not as {}", format.name);
        return Err(Error::unsupported(text));
    }
    Ok(format)
}

fn copy(
    args: &ConvertArgs,
    source: Source,
    files: &[SourceFile],
    format: &'static Format,
    printer: &Printer,
    warnings: &mut Vec<Warning>,
    control: Control<'_>,
) -> Result<ConvertOutcome> {
    let options = key_values(&args.options)?;
    let opened = match source {
        Source::Image(opened) => opened,
        Source::Stream(stream) => {
            return convert_stream(stream, "stdin", files, destination(args)?, format, options, control);
        }
    };
    printer.warnings(&opened.warnings);
    let (disk, resized) = match args.size {
        Some(size) => {
            // A table at the end of the disk has to know where the end will be.
            let (size, rounded) = size_in(format, size, &options)?;
            let (disk, moved) = resize_disk(&opened.disk, size)?;
            (disk, [rounded, moved].concat())
        }
        None => (opened.disk.clone(), Vec::new()),
    };
    printer.warnings(&resized);
    let target = destination(args)?;
    let request = ConvertRequest { source: &opened, disk: &disk, target, format, options, base: None };
    let done = convert(request, control)?;
    warnings.extend(opened.warnings.into_iter().chain(resized));
    Ok(done)
}

/// A target that is not made anew but is there already must not be what is read, and a redirected stdin is read too.
pub(super) fn refuse_in_place(args: &ConvertArgs, files: &[SourceFile]) -> Result<()> {
    if is_pipe(&args.target) {
        let Some(out) = redirected(&std::io::stdout(), "/dev/stdout")? else { return Ok(()) };
        refuse_source_file(&out.path, out.file_id, files)?;
        return refuse_device_of_sources(&out.path, files);
    }
    if args.existing {
        return refuse_device_of_sources(&args.target, files);
    }
    refuse_source_files(&args.target, files)
}

fn destination(args: &ConvertArgs) -> Result<Destination<'_>> {
    if is_pipe(&args.target) {
        return Ok(Destination::Pipe(PipeTarget::new(Box::new(std::io::stdout()))));
    }
    if args.existing {
        return Ok(Destination::Device(DeviceTarget::open(&args.target)?));
    }
    Ok(Destination::File { path: &args.target, replace: args.force })
}

/// Reads the target back and compares it with the `blocks` that were written.
pub(super) fn verify(
    args: &ConvertArgs,
    format: &'static Format,
    blocks: &BlockList,
    control: Control<'_>,
) -> Result<()> {
    let target = open_image(&args.target, &OpenOptions::new(format_all::FORMATS, Some(format)))?;
    // A device can be larger than the disk.
    let disk = target.disk.cut_to(blocks.virtual_size());
    let found = digest_disk(&disk, "verify", control)?;
    if found.blocks.digest()? != blocks.digest()? {
        let text = format!("{} does not read back as it was written", args.target.display());
        return Err(Error::new(ErrorKind::Mismatch, text).hint("do not use it; convert again"));
    }
    Ok(())
}

/// The image has its name already, so a retry as it is would only find it in the way.
pub(crate) fn without_manifest(target: &Path, error: Error) -> Error {
    error
        .with_kind(ErrorKind::Destination)
        .context(format!("{} is complete, its manifest is not", target.display()))
        .hint("make room for the manifest, then run the same command with --force")
}

fn human(o: &Outcome) -> String {
    let manifest = o.manifest.as_ref().map(|path| format!("manifest {}\n", safe(path)));
    format!(
        "{} ({}, {} disk, {} of data) in {:.1} s{}\ndigest   {}\n{}",
        safe(&o.target),
        o.format,
        format_size(o.virtual_size),
        format_size(o.data_bytes),
        o.seconds,
        if o.verified { ", read back and the same" } else { "" },
        o.digest,
        manifest.unwrap_or_default(),
    )
}
