//! `rehome cutover`

use crate::args::{Cli, Command, CutoverArgs};
use crate::commands::capture::captured;
use crate::commands::capture::machine::Machine;
use crate::commands::capture::outcome::Outcome;
use crate::commands::capture::{human_outcome, image_of};
use crate::output::{Printer, safe, to_stderr};
use crate::progress::Progress;
use clap::Parser;
use convert_engine::{Control, lag};
use format_all::FORMATS;
use format_core::units::format_size;
use format_core::{Error, ErrorKind, OpenOptions, Remote, Result, open_image};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// What a guest's inspection and edits take at most, of which nothing is known before (seconds).
const FIXUPS: f64 = 10.0;

/// What is left of a warm migration.
#[derive(Serialize)]
struct Left {
    source: String,
    disks: Vec<LeftDisk>,
    /// Bytes that changed since the images were brought up to date.
    bytes_left: u64,
    /// Seconds for which the machine would be away: hashes at both ends, the bytes left, the copy into the target.
    estimated_downtime_seconds: f64,
}

#[derive(Serialize)]
struct LeftDisk {
    path: String,
    image: String,
    /// Seconds since the image was brought up to date.
    lag_seconds: Option<u64>,
    bytes_left: u64,
}

/// Where the captured images go.
pub(super) struct Migration<'a> {
    pub(super) target: &'a str,
    pub(super) out: &'a Path,
    pub(super) more: &'a [String],
}

pub(crate) fn run(
    args: &CutoverArgs,
    printer: &Printer,
    control: Control<'_>,
    progress: &Progress,
) -> Result<ExitCode> {
    if args.check {
        let left = left(args, control)?;
        printer.result(&left, human)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(target) = &args.capture.to else {
        return Err(Error::usage("a cutover needs the target's platform")
            .hint("name it with --to, as in --to hyperv"));
    };
    let mut capture = args.capture.clone();
    capture.sync = true;
    let outcome = captured(&capture, printer, control)?;
    to_stderr(&human_outcome(&outcome));
    let beside = args.capture.out.join(target);
    let out = args.vm.as_deref().unwrap_or(&beside);
    migrate_images(&outcome, &Migration { target, out, more: &args.more }, printer, control, progress)
}

/// Migrates captured images, as an operator would who gave the command.
pub(super) fn migrate_images(
    outcome: &Outcome,
    migration: &Migration<'_>,
    printer: &Printer,
    control: Control<'_>,
    progress: &Progress,
) -> Result<ExitCode> {
    let mut words: Vec<String> = vec!["rehome".into(), "migrate".into()];
    words.extend(outcome.disks.iter().map(|disk| disk.image.clone()));
    words.extend(outcome.machine.iter().flat_map(|machine| ["--machine".into(), machine.clone()]));
    words.extend(["--to".into(), migration.target.into(), "--out".into()]);
    words.push(migration.out.display().to_string());
    words.extend(migration.more.iter().cloned());
    let cli = Cli::try_parse_from(&words).map_err(|e| Error::usage(e.to_string().trim().to_owned()))?;
    match cli.command {
        Command::Migrate(args) => super::migrate::run(&args, printer, control, progress),
        _ => Err(Error::contract("another command than migrate was put together")),
    }
}

fn left(args: &CutoverArgs, control: Control<'_>) -> Result<Left> {
    let began = Instant::now();
    let machine = Machine::reach(&args.capture)?;
    let facts = machine.facts()?;
    let mut disks = Vec::new();
    let mut size = 0;
    for disk in &facts.disks {
        let image = args.capture.out.join(image_of(&args.capture, &facts, disk)?);
        let opened = open_image(&image, &OpenOptions::new(FORMATS, None)).map_err(|e| match e.kind() {
            ErrorKind::SourceMissing => e.hint("capture the machine first: 'rehome capture'"),
            _ => e,
        })?;
        let (_, side) = machine.open(disk, None, args.capture.ssh.skip_free)?;
        let remote: &dyn Remote = side.as_ref();
        let changed = lag(remote, &opened.disk, disk.size, control)?;
        let written = image.metadata().and_then(|found| found.modified()).ok();
        size += opened.disk.virtual_size();
        disks.push(LeftDisk {
            path: disk.path.clone(),
            image: image.display().to_string(),
            lag_seconds: written
                .and_then(|then| Some(SystemTime::now().duration_since(then).ok()?.as_secs())),
            bytes_left: changed.iter().map(|(_, len)| len).sum(),
        });
    }
    // The look itself was the larger part of a round: hashes of the whole disk at both ends.
    let round = began.elapsed().as_secs_f64();
    let bytes_left: u64 = disks.iter().map(|disk| disk.bytes_left).sum();
    let share = if size == 0 { 0.0 } else { bytes_left as f64 / size as f64 };
    let estimated = round * 2.0 + round * share * 4.0 + FIXUPS;
    Ok(Left { source: machine.name(), disks, bytes_left, estimated_downtime_seconds: estimated })
}

fn human(left: &Left) -> String {
    let mut text = format!("{}\n", safe(&left.source));
    for disk in &left.disks {
        let lag =
            disk.lag_seconds.map_or_else(|| "at a time that nobody knows".into(), |s| format!("{s} s ago"));
        text += &format!(
            "  {}  {} changed since {} was brought up to date, {lag}\n",
            safe(&disk.path),
            format_size(disk.bytes_left),
            safe(&disk.image)
        );
    }
    text + &format!(
        "{} to fetch; the machine would be away for about {:.0} s, and the boot of the new one\n",
        format_size(left.bytes_left),
        left.estimated_downtime_seconds
    )
}
