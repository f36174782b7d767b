//! `rehome convert` and `rehome flatten`

use crate::archive;
use crate::args::ConvertArgs;
use crate::commands::{format_named, key_values, target_format};
use crate::output::{Printer, hash_lines, safe, to_stderr};
use crate::remotes::{Addresses, is_address, takes_fixed_vhd};
use crate::rescue::{Rescuing, lost_lines};
use crate::source::{Source, redirected};
use crate::spool::spool_in;
use convert_engine::{
    Archive, BlockList, Control, ConvertOutcome, ConvertRequest, Destination, Hashes, ImageFacts, LostRange,
    Manifest, Proof, Resumption, SourceFacts, SourceFile, StreamRequest, convert, convert_or_go_on,
    convert_stream, digest_disk, refuse_device_of_sources, refuse_source_file, refuse_source_files, size_in,
};
use convert_migrate::resize_disk;
use convert_nbd::NbdAddress;
use convert_sandbox::Sandbox;
use format_core::units::format_size;
use format_core::{
    DeviceTarget, Error, ErrorKind, Format, OpenOptions, Remotes, Result, Warning, open_image,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) source: String,
    target: String,
    format: &'static str,
    virtual_size: u64,
    /// `None` for devices and pipes.
    file_size: Option<u64>,
    data_bytes: u64,
    /// Bytes of data that an interrupted run had copied.
    resumed_from: Option<u64>,
    /// `None` where none was wanted.
    digest: Option<String>,
    hashes: Hashes,
    manifest: Option<String>,
    verified: bool,
    /// What could not be read and became zeros.
    unreadable: Vec<LostRange>,
    seconds: f64,
    pub(super) warnings: Vec<Warning>,
    /// How the run was confined.
    sandbox: Sandbox,
}

impl Outcome {
    /// Also where it was asked for, lost data never look like success.
    pub(super) fn exit_code(&self) -> u8 {
        u8::from(!self.unreadable.is_empty())
    }
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
    if args.out.is_some() {
        return super::convert_several::run(args, printer, control, interrupted);
    }
    let outcome = convert_one(args, printer, control, interrupted)?;
    printer.result(&outcome, human)?;
    Ok(ExitCode::from(outcome.exit_code()))
}

/// Converts one image, and tells its warnings.
pub(super) fn convert_one(
    args: &ConvertArgs,
    printer: &Printer,
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Outcome> {
    let started = Instant::now();
    let format = wanted_format(args)?;
    let mut warnings = Vec::new();
    if is_pipe(&args.target) && args.verify {
        return Err(Error::usage("what went into a pipe cannot be read back: leave --verify away"));
    }
    // A pipe that a signal ends fails in many ways, all of them meant.
    let meant = |e: Error| match e.kind() {
        ErrorKind::Temporary => e,
        _ => control.check().err().unwrap_or(e),
    };
    let options = OpenOptions { spool: spool_in(args.spool_folder()), ..args.open.options()? };
    let input = Source::open(args, &options, control, interrupted).map_err(meant)?;
    refuse_in_place(args, &input.1)?;
    let may_fail = matches!(input.0, Source::Stream(..)) && !is_pipe(&args.source) && !is_pipe(&args.target);
    let copied = match copy(args, input, format, printer, &mut warnings, control, interrupted) {
        // Only on the way did it show that the image cannot be read from its start to its end.
        Err(error) if may_fail && error.kind() == ErrorKind::Unsupported => {
            to_stderr(&format!(
                "note: the image is unpacked into a file first: {}",
                safe(&error.to_string())
            ));
            let input = Source::of_file(args, &options).map_err(meant)?;
            copy(args, input, format, printer, &mut warnings, control, interrupted)
        }
        copied => copied,
    };
    let (done, unreadable) = copied.map_err(meant)?;
    printer.warnings(&done.warnings);
    warnings.extend_from_slice(&done.warnings);
    let manifest = match &done.manifest {
        Some(manifest) => Some(
            manifest.save(&args.target, &done.copy.blocks).map_err(|e| without_manifest(&args.target, e))?,
        ),
        None => None,
    };
    if args.verify || done.resumed_from.is_some() {
        // What an interrupted run left could have been changed by anybody since.
        verify(args, format, &done.copy.blocks, control).map_err(|error| match error.kind() {
            ErrorKind::Mismatch if done.resumed_from.is_some() => set_aside(&args.target, error),
            _ => error,
        })?;
    }
    Ok(Outcome {
        source: args.source.display().to_string(),
        target: args.target.display().to_string(),
        format: format.name,
        virtual_size: done.copy.blocks.virtual_size(),
        file_size: done.manifest.as_ref().map(|manifest| manifest.image.file_size),
        data_bytes: done.copy.read,
        resumed_from: done.resumed_from,
        digest: digest_of(&done)?,
        hashes: done.copy.hashes,
        manifest: manifest.map(|path| path.display().to_string()),
        verified: args.verify || done.resumed_from.is_some(),
        unreadable,
        seconds: started.elapsed().as_secs_f64(),
        warnings,
        sandbox: convert_sandbox::state(),
    })
}

fn digest_of(done: &ConvertOutcome) -> Result<Option<String>> {
    let blocks = &done.copy.blocks;
    blocks.is_taken().then(|| Ok(blocks.digest()?.to_hex().to_string())).transpose()
}

fn wanted_format(args: &ConvertArgs) -> Result<&'static Format> {
    if args.tar.is_some() && args.target_format.is_none() {
        return format_named("raw");
    }
    if is_address(&args.target) {
        return remote_format(args);
    }
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

/// An export is a device that exists; other addresses are files.
fn remote_format(args: &ConvertArgs) -> Result<&'static Format> {
    let is_export = NbdAddress::is_one(&args.target.to_string_lossy());
    if is_export && !args.existing {
        return Err(Error::usage(format!("{} is an export that exists", args.target.display()))
            .hint("to overwrite it with the raw disk, add -n --overwrite-device"));
    }
    if !is_export && args.existing {
        return Err(Error::usage("-n is for devices and exports that exist"));
    }
    if !is_export && args.verify {
        return Err(Error::usage(
            "an object is not read back: leave --verify away, and use 'rehome digest' on it",
        ));
    }
    let format = match &args.target_format {
        Some(name) => format_named(name)?,
        None if is_export => format_named("raw")?,
        None if takes_fixed_vhd(&args.target) => format_named("vhd")?,
        None => target_format(None, &args.target)?,
    };
    if is_export && format.name != "raw" {
        return Err(Error::unsupported(format!("an export is written as raw disk, not as {}", format.name)));
    }
    if takes_fixed_vhd(&args.target) && format.name != "vhd" {
        let text = format!("a page blob of Azure is written as fixed VHD, not as {}", format.name);
        return Err(Error::unsupported(text).hint("add -O vhd, or write to a file and upload that"));
    }
    Ok(format)
}

/// The options of the target's format, with those that the place wants.
fn format_options(args: &ConvertArgs) -> Result<BTreeMap<String, String>> {
    let mut options = key_values(&args.options)?;
    if !is_pipe(&args.target) && takes_fixed_vhd(&args.target) {
        let wish = options.insert("azure".into(), "on".into());
        if wish.is_some_and(|wish| wish != "on") {
            return Err(Error::usage("a page blob of Azure holds a VHD as Azure takes it: azure=on"));
        }
    }
    Ok(options)
}

fn copy(
    args: &ConvertArgs,
    input: (Source, Vec<SourceFile>),
    format: &'static Format,
    printer: &Printer,
    warnings: &mut Vec<Warning>,
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<(ConvertOutcome, Vec<LostRange>)> {
    let options = format_options(args)?;
    let proof = Proof { digest: !args.no_digest, also: &args.also.kinds };
    let archive = archive::archive_of(args, format)?;
    let opened = match input {
        (Source::Image(opened), _) => opened,
        (Source::Stream(stream, name, about), files) => {
            printer.warnings(&about);
            warnings.extend(about);
            let target = destination(args, archive.as_ref(), stream.virtual_size(), control)?;
            let file = ImageFacts { name: name.clone(), format: stream.format().into(), file_size: 0 };
            let (name, input) = (name.as_str(), files.as_slice());
            let request = StreamRequest { stream, name, input, target, format, options, proof };
            let mut done = convert_stream(request, control)?;
            let facts =
                SourceFacts { files: vec![file], identity: None, digest: None, offset: None, device: None };
            archive::add_manifest(archive.as_ref(), &mut done, format, facts)?;
            archive::finish(archive, &mut done)?;
            return Ok((done, Vec::new()));
        }
    };
    printer.warnings(&opened.warnings);
    let mut rescuing = Rescuing::new(args, &opened, format, interrupted)?;
    let (disk, resized) = match args.size {
        Some(size) => {
            // A table at the end of the disk has to know where the end will be.
            let (size, rounded) = size_in(format, size, &options)?;
            let (disk, moved) = resize_disk(rescuing.disk(), size)?;
            (disk, [rounded, moved].concat())
        }
        None => (rescuing.disk().clone(), Vec::new()),
    };
    printer.warnings(&resized);
    let target = rescuing.destination(destination(args, archive.as_ref(), disk.virtual_size(), control)?);
    let request = ConvertRequest { source: &opened, disk: &disk, target, format, options, base: None, proof };
    let mut done = match written(args, &rescuing, request, control) {
        Ok(done) => done,
        Err(error) => return Err(rescuing.failed(&args.target, error)),
    };
    archive::add_manifest(archive.as_ref(), &mut done, format, SourceFacts::of_image(&opened))?;
    let lost = rescuing.done(&mut done)?;
    archive::finish(archive, &mut done)?;
    warnings.extend(opened.warnings.into_iter().chain(resized));
    Ok((done, lost))
}

/// A run goes on only where all that it did is in its journal: hashes of the whole disk and lost ranges are not.
fn written(
    args: &ConvertArgs,
    rescuing: &Rescuing,
    request: ConvertRequest<'_>,
    control: Control<'_>,
) -> Result<ConvertOutcome> {
    if rescuing.is_active() || !request.proof.also.is_empty() || !request.proof.digest {
        return convert(request, control);
    }
    convert_or_go_on(request, &resumption(args), control)
}

fn resumption(args: &ConvertArgs) -> Resumption {
    let chain = &args.open.chain;
    let reading = format!(
        "snapshot {:?}, size {:?}, ignore_parent {}, ignore_checksum {}, pick {:?}, at {:?}",
        args.open.snapshot, args.size, chain.ignore_parent, chain.ignore_checksum, chain.pick, chain.at
    );
    Resumption { restart: args.restart, reading, settles: false, interval: Resumption::INTERVAL }
}

/// A target that is not made anew but is there already must not be what is read, and a redirected stdin is read too.
pub(super) fn refuse_in_place(args: &ConvertArgs, files: &[SourceFile]) -> Result<()> {
    if is_pipe(&args.target) {
        let Some(out) = redirected(&std::io::stdout(), "/dev/stdout")? else { return Ok(()) };
        refuse_source_file(&out.path, out.file_id, files)?;
        return refuse_device_of_sources(&out.path, files);
    }
    if is_address(&args.target) {
        return Ok(());
    }
    if args.existing {
        return refuse_device_of_sources(&args.target, files);
    }
    refuse_source_files(&args.target, files)
}

fn destination<'a>(
    args: &'a ConvertArgs,
    archive: Option<&Archive>,
    size: u64,
    control: Control<'_>,
) -> Result<Destination<'a>> {
    if is_pipe(&args.target) {
        return Ok(Destination::Pipe(archive::pipe(archive, size)?));
    }
    if is_address(&args.target) {
        let address = args.target.to_string_lossy();
        let addresses = Addresses::new(&args.open.chain);
        return Ok(Destination::Remote(addresses.create(&address, size, args.restart, control)?));
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
    let remotes = Some(Arc::new(Addresses::new(&args.open.chain)) as Arc<dyn Remotes>);
    let options = OpenOptions { remotes, ..OpenOptions::new(format_all::FORMATS, Some(format)) };
    let target = open_image(&args.target, &options)?;
    // A device can be larger than the disk.
    let disk = target.disk.cut_to(blocks.virtual_size());
    let found = digest_disk(&disk, "verify", control)?;
    if found.blocks.digest()? != blocks.digest()? {
        let text = format!("{} does not read back as it was written", args.target.display());
        return Err(Error::new(ErrorKind::Mismatch, text).hint("do not use it; convert again"));
    }
    Ok(())
}

/// An image that is not what it should be loses its name, as one whose migration fails its proof.
fn set_aside(target: &Path, error: Error) -> Error {
    let mut aside = target.as_os_str().to_owned();
    aside.push(".failed");
    let done = std::fs::rename(target, &aside).is_ok() && Manifest::remove(target).is_ok();
    match done {
        true => error.hint(format!(
            "what an interrupted run had left was changed; it is {} now: run the same command again",
            Path::new(&aside).display()
        )),
        false => {
            error.hint("what an interrupted run had left was changed: remove the image, and convert again")
        }
    }
}

/// The image has its name already, so a retry as it is would only find it in the way.
pub(crate) fn without_manifest(target: &Path, error: Error) -> Error {
    error
        .with_kind(ErrorKind::Destination)
        .context(format!("{} is complete, its manifest is not", target.display()))
        .hint("make room for the manifest, then run the same command with --force")
}

pub(super) fn human(o: &Outcome) -> String {
    let manifest = o.manifest.as_ref().map(|path| format!("manifest {}\n", safe(path)));
    let digest = o.digest.as_ref().map(|digest| format!("digest   {digest}\n"));
    let resumed = o.resumed_from.map(|bytes| format!(", {} of it by an interrupted run", format_size(bytes)));
    format!(
        "{} ({}, {} disk, {} of data{}) in {:.1} s{}\n{}{}{}{}",
        safe(&o.target),
        o.format,
        format_size(o.virtual_size),
        format_size(o.data_bytes),
        resumed.unwrap_or_default(),
        o.seconds,
        if o.verified { ", read back and the same" } else { "" },
        digest.unwrap_or_default(),
        hash_lines(&o.hashes),
        manifest.unwrap_or_default(),
        lost_lines(&o.unreadable),
    )
}
