//! `rehome delta`

use crate::args::DeltaArgs;
use crate::commands::convert::without_manifest;
use crate::commands::{file_format, key_values};
use crate::output::{Printer, hash_lines, safe};
use convert_engine::{Control, ConvertRequest, Destination, Hashes, Proof, convert, digest_disk};
use format_core::units::format_size;
use format_core::{Error, ErrorKind, OpenOptions, Result, Warning, open_image};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Serialize)]
struct Outcome {
    base: String,
    top: String,
    target: String,
    format: &'static str,
    virtual_size: u64,
    file_size: u64,
    /// Bytes of the chunks that differ.
    differing_bytes: u64,
    digest: String,
    hashes: Hashes,
    manifest: String,
    verified: bool,
    seconds: f64,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &DeltaArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let started = Instant::now();
    let format = file_format(args.target_format.as_deref(), &args.target)?;
    let options = key_values(&args.options)?;
    let mut base_options = args.open.chain.options(args.base_format.as_deref())?;
    // Only TOP may be read alone: the new image is a difference to all that BASE shows.
    base_options.access.ignore_parents = false;
    let base = open_image(&args.base, &base_options)?;
    let top = open_image(&args.top, &args.open.options()?)?;
    printer.warnings(&base.warnings);
    printer.warnings(&top.warnings);
    let request = ConvertRequest {
        source: &top,
        disk: &top.disk,
        target: Destination::File { path: &args.target, replace: args.force },
        format,
        options,
        base: Some(&base),
        proof: Proof { digest: true, also: &args.also.kinds },
    };
    let done = convert(request, control)?;
    printer.warnings(&done.warnings);
    let new_warnings = done.warnings.clone();
    let (manifest, copy) = done.into_manifest()?;
    let saved = manifest.save(&args.target, &copy.blocks).map_err(|e| without_manifest(&args.target, e))?;
    if args.verify {
        let mut options = OpenOptions { format: Some(format), ..base_options };
        // The operator has just named the base; its folder is as trusted as the base itself.
        options
            .allow_parents
            .extend(args.base.canonicalize().ok().and_then(|base| Some(base.parent()?.to_owned())));
        let written = open_image(&args.target, &options)?;
        if digest_disk(&written.disk, "verify", control)?.blocks.digest()? != copy.blocks.digest()? {
            let text = format!("{} does not read back as {}", args.target.display(), args.top.display());
            return Err(Error::new(ErrorKind::Mismatch, text).hint("do not use it; write it again"));
        }
    }
    let outcome = Outcome {
        base: args.base.display().to_string(),
        top: args.top.display().to_string(),
        target: args.target.display().to_string(),
        format: format.name,
        virtual_size: manifest.virtual_size,
        file_size: manifest.image.file_size,
        differing_bytes: copy.written,
        digest: manifest.digest.clone(),
        hashes: copy.hashes,
        manifest: saved.display().to_string(),
        verified: args.verify,
        seconds: started.elapsed().as_secs_f64(),
        warnings: [base.warnings, top.warnings, new_warnings].concat(),
    };
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

fn human(o: &Outcome) -> String {
    format!(
        "{} ({}, {} of data on top of {}) in {:.1} s{}\ndigest   {}\n{}manifest {}\n",
        safe(&o.target),
        o.format,
        format_size(o.differing_bytes),
        safe(&o.base),
        o.seconds,
        if o.verified { ", read back and the same" } else { "" },
        o.digest,
        hash_lines(&o.hashes),
        safe(&o.manifest),
    )
}
