//! `rehome convert`

use crate::args::ConvertArgs;
use crate::commands::target_format;
use crate::output::{Printer, safe};
use convert_engine::{Control, ConvertRequest, convert, verify_image};
use format_core::units::format_size;
use format_core::{Error, ErrorKind, OpenOptions, Result, Warning, open_image};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Serialize)]
struct Outcome {
    source: String,
    target: String,
    format: &'static str,
    virtual_size: u64,
    file_size: u64,
    data_bytes: u64,
    digest: String,
    manifest: String,
    verified: bool,
    seconds: f64,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &ConvertArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let started = Instant::now();
    let format = target_format(args.target_format.as_deref(), &args.target)?;
    let options = key_values(&args.options)?;
    let opened = open_image(&args.source, &args.open.options()?)?;
    printer.warnings(&opened.warnings);
    let request = ConvertRequest {
        source: &opened,
        disk: &opened.disk,
        target: &args.target,
        format,
        options,
        replace: args.force,
    };
    let done = convert(request, control)?;
    printer.warnings(&done.warnings);
    let manifest =
        done.manifest.save(&args.target, &done.copy.blocks).map_err(|e| without_manifest(args, e))?;
    if args.verify {
        let target_options = OpenOptions::new(format_all::FORMATS, Some(format));
        let target = open_image(&args.target, &target_options)?;
        if !verify_image(&target.disk, &manifest, control)?.ok {
            let text = format!("{} does not read back as it was written", args.target.display());
            return Err(Error::new(ErrorKind::Mismatch, text).hint("do not use it; convert again"));
        }
    }
    let outcome = Outcome {
        source: args.source.display().to_string(),
        target: args.target.display().to_string(),
        format: format.name,
        virtual_size: done.manifest.virtual_size,
        file_size: done.manifest.image.file_size,
        data_bytes: done.copy.read,
        digest: done.manifest.digest.clone(),
        manifest: manifest.display().to_string(),
        verified: args.verify,
        seconds: started.elapsed().as_secs_f64(),
        warnings: opened.warnings.into_iter().chain(done.warnings).collect(),
    };
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

/// The image has its name already, so a retry as it is would only find it in the way.
fn without_manifest(args: &ConvertArgs, error: Error) -> Error {
    error
        .with_kind(ErrorKind::Destination)
        .context(format!("{} is complete, its manifest is not", args.target.display()))
        .hint("make room for the manifest, then run the same command with --force")
}

fn human(o: &Outcome) -> String {
    format!(
        "{} ({}, {} disk, {} of data) in {:.1} s{}\ndigest   {}\nmanifest {}\n",
        safe(&o.target),
        o.format,
        format_size(o.virtual_size),
        format_size(o.data_bytes),
        o.seconds,
        if o.verified { ", read back and the same" } else { "" },
        o.digest,
        safe(&o.manifest),
    )
}

fn key_values(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("-o wants KEY=VALUE, not {pair:?}")));
        };
        if options.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::usage(format!("-o {key} is given twice")));
        }
    }
    Ok(options)
}
