//! `rehome capture`

pub(super) mod machine;
pub(super) mod outcome;

use crate::args::CaptureArgs;
use crate::commands::cutover::{Migration, migrate_images};
use crate::commands::{agent, format_named, key_values};
use crate::output::{Printer, safe, to_stderr};
use crate::progress::Progress;
use convert_capture::{
    CaptureRequest, Captured, Consistency, Follow, HealthState, HereSide, MachineFacts, PhysicalDisk, Side,
    Snapshots, capture_disk,
};
use convert_engine::Control;
use format_all::FORMATS;
use format_core::{
    ChainLink, Disk, Error, ErrorKind, Format, OpenedImage, RangeSet, Remote, Result, Warning,
};
use machine::{Machine, OfDisk};
use outcome::{CapturedDisk, Outcome, human};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) fn run(
    args: &CaptureArgs,
    printer: &Printer,
    control: Control<'_>,
    progress: &Progress,
) -> Result<ExitCode> {
    let outcome = captured(args, printer, control)?;
    if let (Some(target), false) = (&args.to, args.dry_run) {
        to_stderr(&human(&outcome));
        let out = args.out.join(target);
        let migration = Migration { target, out: &out, more: &[] };
        return migrate_images(&outcome, &migration, printer, control, progress);
    }
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

/// Captures what the arguments say, or tells what it would.
pub(super) fn captured(args: &CaptureArgs, printer: &Printer, control: Control<'_>) -> Result<Outcome> {
    let format = format_named(&args.target_format)?;
    let machine = Machine::reach(args)?;
    let facts = machine.facts()?;
    let images: Vec<String> = facts.disks.iter().map(|disk| image_name(&facts, disk, format)).collect();
    let mut outcome = Outcome::new(&machine.name(), &facts);
    outcome.warnings.extend(warnings(&facts, args));
    if args.dry_run {
        outcome.would(&facts, &images);
        printer.warnings(&outcome.warnings);
        return Ok(outcome);
    }
    make_folder(&args.out)?;
    outcome.save_facts(args, &machine, &facts, &images)?;
    let snapshots = args.lvm_snapshot.map(|size| machine.snapshots(size)).transpose()?;
    let notes = snapshots.iter().flat_map(|set| set.notes());
    outcome.warnings.extend(notes.map(|note| Warning::new("capture-snapshot-left", note.clone())));
    printer.warnings(&outcome.warnings);
    for (index, (disk, image)) in facts.disks.iter().zip(&images).enumerate() {
        let target = args.out.join(image);
        to_stderr(&format!("note: {} goes into {}", safe(&disk.path), target.display()));
        let snapshot = snapshots.as_ref().map(|set| (set, index));
        let done = one(args, &machine, (disk, snapshot), &target, format, control);
        let done = done.map_err(|e| e.context(format!("capture {}", disk.path)))?;
        printer.warnings(&done.warnings);
        outcome.disks.push(CapturedDisk::new(&disk.path, &target, &done));
        outcome.warnings.extend(done.warnings);
        // What is done is on record before the next disk, which may take hours.
        outcome.save(&args.out)?;
    }
    if let Some(Err(error)) = snapshots.map(|set| set.end()) {
        // The images are right all the same.
        let warning = Warning::new("capture-snapshot-left", error.to_string());
        printer.warnings(std::slice::from_ref(&warning));
        outcome.warnings.push(warning);
        outcome.save(&args.out)?;
    }
    Ok(outcome)
}

/// Captures one disk, or the snapshot of it that has this number.
fn one(
    args: &CaptureArgs,
    machine: &Machine,
    (disk, snapshot): (&PhysicalDisk, Option<OfDisk<'_>>),
    target: &Path,
    format: &'static Format,
    control: Control<'_>,
) -> Result<Captured> {
    let (source, side) = machine.open(disk, snapshot, args.ssh.skip_free)?;
    let follow = Follow {
        rounds: args.rounds,
        freeze: args.freeze.clone(),
        freeze_seconds: args.freeze_seconds,
        accept_live: args.live,
    };
    let request = CaptureRequest {
        source: &source,
        side: side.as_ref(),
        device: disk,
        target,
        format,
        formats: FORMATS,
        options: key_values(&args.options)?,
        force: args.force,
        restart: args.restart,
        update: args.sync,
        follow: &follow,
    };
    let done = capture_disk(&request, control);
    let Some((set, _)) = snapshot else { return done };
    match done {
        Ok(done) => Ok(Captured { consistency: Consistency::Snapshot, ..done }),
        Err(error) if control.check().is_err() => Err(error),
        Err(error) => Err(of_snapshot(error, set.as_ref())),
    }
}

/// The kernel answers with an error of the device when a snapshot is full: what is wrong is the room.
fn of_snapshot(error: Error, set: &dyn Snapshots) -> Error {
    let Err(why) = set.check() else { return error };
    let worse = if error.kind() == ErrorKind::Temporary { error } else { why.with_source(error) };
    match worse.hint_text() {
        Some(_) => worse,
        None => worse.hint(
            "run the same command again with more room, as in --lvm-snapshot=20G; the copy so far is kept",
        ),
    }
}

/// A disk and its side as an opened image: raw, alone.
fn as_image(
    address: &str,
    disk: Disk,
    remote: Arc<dyn Remote>,
    warnings: Vec<Warning>,
) -> Result<OpenedImage> {
    let size = disk.virtual_size();
    let link = ChainLink {
        path: PathBuf::from(address),
        format: format_named("raw")?,
        file_size: size,
        allocated_size: size,
        virtual_size: size,
        chunk_size: 1,
        file_id: (0, 0),
        stamp: None,
        parts: Vec::new(),
        remote: Some(remote),
    };
    Ok(OpenedImage { disk, chain: vec![link], warnings, inside: None })
}

/// A disk of this machine, its side, and what a person should know.
fn local(device: &str, identity: String, skip_free: bool) -> Result<(Disk, Arc<dyn Side>, Vec<String>)> {
    let (disk, notes) = agent::open_disk(Path::new(device))?;
    let look: fn(&Disk) -> Result<RangeSet> = crate::commands::free_space::free_of;
    let side = Arc::new(HereSide::new(disk.clone(), identity, skip_free.then_some(look)));
    Ok((disk, side, notes))
}

/// `web-sda.qcow2`
fn image_name(facts: &MachineFacts, disk: &PhysicalDisk, format: &Format) -> String {
    let plain = |text: &str| {
        let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' });
        kept.collect::<String>()
    };
    let host = facts.platform.name.split('.').next().unwrap_or_default();
    let host = if host.is_empty() { "machine" } else { host };
    let disk = disk.label.as_deref().unwrap_or_else(|| disk.path.trim_start_matches("/dev/"));
    let extension = format.extensions.first().copied().unwrap_or(format.name);
    format!("{}-{}.{extension}", plain(host), plain(disk))
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| {
        Error::io(format!("cannot make the folder {}", folder.display()), e).with_kind(ErrorKind::Destination)
    })
}

/// What a person should know before the copy.
fn warnings(facts: &MachineFacts, args: &CaptureArgs) -> Vec<Warning> {
    let mut warnings: Vec<_> =
        facts.notes.iter().map(|note| Warning::new("source-note", note.clone())).collect();
    let written = |disk: &PhysicalDisk| {
        let places = disk.all_mounts().into_iter().filter(|mount| !mount.read_only);
        places.map(|mount| mount.place.clone()).collect::<Vec<_>>()
    };
    let mut is_written = false;
    warnings.extend(facts.disks.iter().filter_map(health_warning));
    for disk in &facts.disks {
        let places = written(disk);
        let held = |place: &String| args.freeze.contains(place);
        is_written |= !places.is_empty();
        if !places.iter().all(held) && args.lvm_snapshot.is_none() {
            let text = format!(
                "{} is in use at {}: what is not held with --freeze, or stopped, is copied while it changes",
                disk.path,
                places.iter().filter(|place| !held(place)).cloned().collect::<Vec<_>>().join(", ")
            );
            warnings.push(Warning::new("capture-in-use", text));
        }
    }
    if is_written && !facts.databases.is_empty() {
        let text = format!(
            "{} runs there: its files are as after a crash at best (crash-consistent). Stop it, or make a backup with its own tools, \
             too",
            facts.databases.join(", ")
        );
        warnings.push(Warning::new("capture-database", text));
    }
    warnings
}

/// A disk that may not survive the copy has to be copied by what goes on where it cannot be read.
fn health_warning(disk: &PhysicalDisk) -> Option<Warning> {
    let health = disk.health.as_ref().filter(|health| health.state == HealthState::Failing)?;
    let text = format!(
        "{} is failing ({}): copy it by 'rehome convert -f raw --on-read-error retry=1 --mapfile FILE', which goes on where it cannot be read, \
         and before anything else",
        disk.path,
        health.why.join("; ")
    );
    Some(Warning::new("capture-disk-failing", text))
}

/// The image that a disk of the machine is captured into.
pub(super) fn image_of(args: &CaptureArgs, facts: &MachineFacts, disk: &PhysicalDisk) -> Result<String> {
    Ok(image_name(facts, disk, format_named(&args.target_format)?))
}

/// What was captured, for people.
pub(super) fn human_outcome(outcome: &Outcome) -> String {
    human(outcome)
}
