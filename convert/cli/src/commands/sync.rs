//! `rehome convert --sync`

use crate::args::ConvertArgs;
use crate::commands::convert::{is_pipe, refuse_in_place, verify, without_manifest};
use crate::commands::format_named;
use crate::output::{Printer, safe};
use crate::remotes::{Addresses, Tracking, is_address};
use crate::source::Source;
use convert_engine::{
    Changes, Control, Manifest, SyncOutcome, SyncTarget, SyncTotals, hashing_side, manifest_path, sync,
};
use convert_nbd::NbdAddress;
use format_all::FORMATS;
use format_core::units::format_size;
use format_core::{DeviceTarget, Error, ErrorKind, OpenedImage, RangeSet, Result, Warning};
use serde::Serialize;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What always works.
const READ_BOTH: &str = "leave --since away: both sides are read then, and only what differs is rewritten";

#[derive(Serialize)]
struct Outcome {
    source: String,
    target: String,
    format: &'static str,
    virtual_size: u64,
    source_bytes_read: u64,
    target_bytes_read: u64,
    blocks_compared: u64,
    blocks_rewritten: u64,
    bytes_rewritten: u64,
    /// Bytes of the disk that changed, as something at the source kept track; `None` where nothing did.
    bytes_tracked: Option<u64>,
    /// Whether an interrupted run was completed.
    continued: bool,
    digest: String,
    /// `None` where the one that was there is still right, and for devices.
    manifest: Option<String>,
    verified: bool,
    seconds: f64,
    warnings: Vec<Warning>,
    /// How the run was confined.
    sandbox: convert_sandbox::Sandbox,
}

pub(super) fn run(
    args: &ConvertArgs,
    printer: &Printer,
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let started = Instant::now();
    if is_pipe(&args.source) || is_pipe(&args.target) {
        return Err(Error::usage("--sync reads both images at any place, which pipes cannot do")
            .hint("save what comes through the pipe to a file first"));
    }
    let (source, files) = Source::open(args, &args.open.options()?, control, interrupted)?;
    refuse_in_place(args, &files)?;
    let Source::Image(source) = source else { return Err(Error::contract("a file was opened as a pipe")) };
    printer.warnings(&source.warnings);
    let tracked = tracked(args, &source)?;
    let changes = match &tracked {
        Some(ranges) => Changes::Tracked(ranges),
        None => hashing_side(&source).map_or(Changes::Unknown, Changes::ByHashes),
    };
    let done = sync(&source, target(args)?, changes, control)?;
    printer.warnings(&done.warnings);
    let manifest = match &done.manifest {
        Some(manifest) => {
            let saved = manifest.save(&args.target, &done.blocks);
            Some(saved.map_err(|e| without_manifest(&args.target, e).hint("run the same command again"))?)
        }
        None => None,
    };
    if args.verify {
        verify(args, done.format, &done.blocks, control)?;
    }
    let mut outcome = outcome(args, &source, &done)?;
    outcome.bytes_tracked = tracked.as_ref().map(RangeSet::total);
    outcome.manifest = manifest.map(|path| path.display().to_string());
    outcome.seconds = started.elapsed().as_secs_f64();
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

/// What changed, where something at the source kept track.
fn tracked(args: &ConvertArgs, source: &OpenedImage) -> Result<Option<RangeSet>> {
    let address = args.source.to_string_lossy();
    let wish = match (&args.since, &args.bitmap) {
        (Some(older), _) => {
            refuse_other_origin(&args.target, older)?;
            Tracking::Since(older)
        }
        // An export has bitmaps of its own, whatever image it shows.
        (None, Some(name)) if NbdAddress::is_one(&address) => Tracking::Bitmap(name),
        (None, Some(name)) => {
            let layer = source.disk.layers().first();
            let layer = layer.ok_or_else(|| Error::contract("an image without layers"))?;
            return layer.changed_by_bitmap(name).map(Some).map_err(|e| e.context(format!("open {address}")));
        }
        (None, None) => return Ok(None),
    };
    if !is_address(&args.source) {
        return Err(Error::usage("--since is for sources at addresses, which keep track of changes"));
    }
    Addresses::new(&args.open.chain).changes(&address, &wish).map(Some)
}

/// Only what was made from the older snapshot becomes the newer one by its changes.
fn refuse_other_origin(target: &Path, older: &str) -> Result<()> {
    let path = manifest_path(target);
    // An update that was interrupted leaves none: nobody knows then of which state the target is.
    let (manifest, _) = Manifest::load(&path).map_err(|e| e.hint(READ_BOTH))?;
    let own = manifest.source.identity.unwrap_or_default();
    let id = older.trim_start_matches("ebs://").split('?').next().unwrap_or_default();
    if own.ends_with(id) && !id.is_empty() {
        return Ok(());
    }
    let own = if own.is_empty() { "nothing that is named".into() } else { own };
    Err(Error::usage(format!(
        "{} was made from {own}, as its manifest says, not from {id}",
        target.display()
    ))
    .hint(READ_BOTH))
}

fn target(args: &ConvertArgs) -> Result<SyncTarget<'_>> {
    let (path, named) = (args.target.as_path(), args.target_format.as_deref());
    let format = named.map(format_named).transpose()?;
    if args.existing {
        let raw = format_named("raw")?;
        if format.is_some_and(|format| format.name != raw.name) {
            return Err(Error::unsupported("a block device holds a raw disk, no image format"));
        }
        return Ok(SyncTarget::Device { device: DeviceTarget::open(path)?, path, format: raw });
    }
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_block_device() => {
            Err(Error::usage(format!("{} is a block device", path.display()))
                .hint("to bring it up to date, add -n --overwrite-device"))
        }
        Ok(found) if !found.is_file() => {
            let text = format!("{} exists and is no regular file", path.display());
            Err(Error::new(ErrorKind::Destination, text))
        }
        _ => Ok(SyncTarget::File { path, format, formats: FORMATS }),
    }
}

fn outcome(args: &ConvertArgs, source: &OpenedImage, done: &SyncOutcome) -> Result<Outcome> {
    let SyncTotals { source_read, target_read, blocks_compared, blocks_rewritten, bytes_rewritten, .. } =
        done.totals;
    Ok(Outcome {
        source: args.source.display().to_string(),
        target: args.target.display().to_string(),
        format: done.format.name,
        virtual_size: done.blocks.virtual_size(),
        source_bytes_read: source_read,
        target_bytes_read: target_read,
        blocks_compared,
        blocks_rewritten,
        bytes_rewritten,
        bytes_tracked: None,
        continued: done.was_unfinished,
        digest: done.blocks.digest()?.to_hex().to_string(),
        manifest: None,
        verified: args.verify,
        seconds: 0.0,
        warnings: source.warnings.iter().chain(&done.warnings).cloned().collect(),
        sandbox: convert_sandbox::state(),
    })
}

fn human(o: &Outcome) -> String {
    let manifest = o.manifest.as_ref().map(|path| format!("manifest {}\n", safe(path)));
    let rewritten = match o.blocks_rewritten {
        0 => "nothing differed".to_owned(),
        blocks => format!(
            "{} in {blocks} of {} blocks rewritten",
            format_size(o.bytes_rewritten),
            o.blocks_compared
        ),
    };
    let tracked = o.bytes_tracked.map(|bytes| {
        format!(
            " ({} of the source, of which {} changed)",
            format_size(o.source_bytes_read),
            format_size(bytes)
        )
    });
    format!(
        "{} ({}, {} disk) brought up to date in {:.1} s: {rewritten}, {} read{}{}{}\ndigest   {}\n{}",
        safe(&o.target),
        o.format,
        format_size(o.virtual_size),
        o.seconds,
        format_size(o.source_bytes_read.saturating_add(o.target_bytes_read)),
        tracked.unwrap_or_default(),
        if o.continued { ", an interrupted run completed" } else { "" },
        if o.verified { ", read back and the same" } else { "" },
        o.digest,
        manifest.unwrap_or_default(),
    )
}
