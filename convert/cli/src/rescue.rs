//! Sources that fail, and the mapfiles that tell what was read of them.

use crate::args::{ConvertArgs, OnReadError};
use crate::commands::convert::is_pipe;
use crate::output::{counted, safe};
use convert_engine::{
    ChangedRange, ConvertOutcome, Destination, LostRange, Manifest, Mapfile, Patience, RangeStatus, Rescue,
    continued, is_copy, manifest_path,
};
use format_core::units::format_size;
use format_core::{
    Disk, Error, ErrorKind, Format, OpenOptions, OpenedImage, RangeSet, Result, Warning, open_image,
};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// As many lost ranges are listed.
const MAX_LINES: usize = 20;

/// What a run does about ranges that cannot be read.
pub(crate) struct Rescuing {
    disk: Disk,
    /// Whether the target of an earlier run is completed.
    continues: bool,
    rescue: Option<Rescue>,
    mapfile: Option<(PathBuf, Mapfile)>,
    written: Option<Arc<Mutex<RangeSet>>>,
}

impl Rescuing {
    /// Puts on top of the source's disk what the arguments ask for.
    ///
    /// # Errors
    /// `Usage` for mapfiles that do not fit; what the mapfiles and the earlier target report.
    pub(crate) fn new(
        args: &ConvertArgs,
        source: &OpenedImage,
        format: &'static Format,
        interrupted: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let rescue = rescue_of(args, source, interrupted)?;
        let disk = match &rescue {
            Some(rescue) => rescue.disk()?,
            None => source.disk.clone(),
        };
        let mut this = Self { disk, continues: false, rescue, mapfile: None, written: None };
        if let Some(path) = &args.rescue.mapfile {
            if crate::remotes::is_address(&args.target) {
                return Err(Error::usage("a mapfile is for a target that is read again: a file or a device"));
            }
            refuse_target(path, &args.target)?;
            let size = this.disk.virtual_size();
            let map = match earlier(args, path, size, format)? {
                Some((map, target)) => {
                    let mut missing = RangeSet::default();
                    map.unfinished(size).iter().for_each(|(offset, len, _)| missing.add(*offset, *len));
                    refuse_other(path, &target, &source.disk, &missing)?;
                    this.disk = continued(&target, &this.disk, missing)?;
                    this.continues = true;
                    map
                }
                None => Mapfile::new(size),
            };
            this.mapfile = Some((path.clone(), map));
        }
        Ok(this)
    }

    /// Whether anything but the source itself decides over the bytes.
    pub(crate) fn is_active(&self) -> bool {
        self.rescue.is_some() || self.mapfile.is_some()
    }

    /// The disk to copy.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The target: an earlier one is replaced by what completes it, and a device tells what was written to it.
    pub(crate) fn destination<'a>(&mut self, target: Destination<'a>) -> Destination<'a> {
        match target {
            Destination::File { path, replace } => {
                Destination::File { path, replace: replace || self.continues }
            }
            Destination::Device(device) => {
                self.written = Some(device.written());
                Destination::Device(device)
            }
            other @ (Destination::Pipe(_) | Destination::Remote(_)) => other,
        }
    }

    /// Notes in the mapfile how far a run came that failed. Only a device keeps what was written to it; a file is gone
    /// with its run, and an earlier one with its mapfile is as it was.
    pub(crate) fn failed(self, target: &Path, error: Error) -> Error {
        let lost = self.lost();
        let Some((path, mut map)) = self.mapfile else { return error };
        let Some(written) = self.written else { return error };
        // What is only in memory could be lost while the mapfile calls it finished.
        let durable = std::fs::File::open(target).and_then(|file| file.sync_all());
        let saved = durable.map_err(|e| Error::io("cannot make the device durable", e)).and_then(|()| {
            map.note(&written.lock().unwrap_or_else(PoisonError::into_inner), &lost);
            map.save(&path)
        });
        match saved {
            Ok(()) => error.hint("run the same command again: the mapfile tells what is left"),
            Err(e) => error.hint(format!("the mapfile could not be written, start over with --force: {e}")),
        }
    }

    /// Everything was written: puts what was lost into the manifest, and writes the mapfile.
    ///
    /// # Errors
    /// What the host reports.
    pub(crate) fn done(self, outcome: &mut ConvertOutcome) -> Result<Vec<LostRange>> {
        let lost = self.lost();
        if let Some(manifest) = &mut outcome.manifest {
            manifest.unreadable = changed(&lost);
        }
        outcome.warnings.extend(warning(&lost));
        if let Some((path, mut map)) = self.mapfile {
            let mut all = RangeSet::default();
            all.add(0, map.size());
            map.note(&all, &lost);
            map.save(&path)?;
        }
        Ok(lost)
    }

    fn lost(&self) -> Vec<LostRange> {
        self.rescue.as_ref().map(|rescue| rescue.losses().ranges()).unwrap_or_default()
    }
}

/// What was lost, as lines for people.
pub(crate) fn lost_lines(lost: &[LostRange]) -> String {
    let line = |range: &LostRange| {
        format!("  {:#x} bytes at {:#x}: {}\n", range.len, range.offset, safe(&range.reason))
    };
    let mut text: String = lost.iter().take(MAX_LINES).map(line).collect();
    if !lost.is_empty() {
        text.insert_str(0, "unreadable, zeros in the target:\n");
    }
    if let Some(more) = lost.len().checked_sub(MAX_LINES).filter(|&more| more > 0) {
        text.push_str(&format!(
            "  … and {}, all of them in --output json and the manifest\n",
            counted(more as u64, "more range")
        ));
    }
    text
}

/// A mapfile in the target's place would replace it.
fn refuse_target(mapfile: &Path, target: &Path) -> Result<()> {
    if is_pipe(target) {
        return Err(Error::usage("a pipe keeps nothing that a mapfile could tell about"));
    }
    let folder = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).canonicalize().ok()
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().as_bytes().to_vec();
    let target_name = name(target);
    match name(mapfile).strip_prefix(target_name.as_slice()) {
        Some(rest)
            if folder(mapfile) == folder(target)
                && (matches!(rest, b"" | b".partial") || rest.starts_with(b".rehome.")) =>
        {
            let text = format!("{} is where the target or its manifest lies", mapfile.display());
            Err(Error::usage(text).hint("choose another name for the mapfile"))
        }
        _ => Ok(()),
    }
}

fn changed(lost: &[LostRange]) -> Vec<ChangedRange> {
    lost.iter().map(|range| ChangedRange { offset: range.offset, len: range.len }).collect()
}

fn warning(lost: &[LostRange]) -> Option<Warning> {
    let total: u64 = lost.iter().map(|range| range.len).sum();
    (total > 0).then(|| {
        let text = format!(
            "{} of the source could not be read and are zeros in the target: its disk is not whole",
            format_size(total)
        );
        Warning::new("source-unreadable", text)
    })
}

fn rescue_of(
    args: &ConvertArgs,
    source: &OpenedImage,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<Rescue>> {
    let retries = match args.rescue.on_read_error {
        OnReadError::Zero { retries } => Some(retries),
        OnReadError::Fail => None,
    };
    let given_up = args.rescue.source_mapfile.as_deref();
    if retries.is_none() && given_up.is_none() {
        return Ok(None);
    }
    let sector = source.disk.host_range(0)?.and_then(|range| range.storage.sector_size()).unwrap_or(512);
    let patience = Patience { sector: sector.into(), retries };
    let rescue = Rescue::new(&source.disk, patience, Arc::clone(interrupted));
    if let Some(path) = given_up {
        give_up(&rescue, source, path)?;
    }
    Ok(Some(rescue))
}

/// Takes the ranges that ddrescue could not read out of the source.
fn give_up(rescue: &Rescue, source: &OpenedImage, path: &Path) -> Result<()> {
    // The positions of a mapfile are those of the file.
    if source.chain.len() != 1 || source.chain.iter().any(|link| link.format.name != "raw") {
        return Err(Error::usage(
            "--source-mapfile tells about bytes of a raw image, and the source is none",
        )
        .hint("name the format with -f raw where it is one"));
    }
    let map = Mapfile::load(path)?;
    for (offset, len, status) in map.unfinished(source.disk.virtual_size()) {
        let why = match status {
            RangeStatus::NonTried => "not tried",
            RangeStatus::Bad => "bad sectors",
            _ => "not tried sector by sector",
        };
        let reason = Error::new(ErrorKind::Io, format!("{why}, says {}", path.display()));
        rescue.give_up(offset, len, status == RangeStatus::Bad, reason)?;
    }
    Ok(())
}

/// The earlier run's mapfile and target, where there are both.
fn earlier(
    args: &ConvertArgs,
    path: &Path,
    size: u64,
    format: &'static Format,
) -> Result<Option<(Mapfile, Disk)>> {
    let map = match Mapfile::load(path) {
        Err(e) if e.kind() == ErrorKind::SourceMissing => return Ok(None),
        map => map?,
    };
    if !map.is_own() {
        let text = format!("{} was not written by rehome and would be replaced", path.display());
        return Err(Error::usage(text)
            .hint("--source-mapfile is for what ddrescue wrote about the source; else name another file"));
    }
    if args.force || !args.target.exists() {
        return Ok(None);
    }
    let target = open_image(&args.target, &OpenOptions::new(format_all::FORMATS, Some(format)))?;
    let other = |what: String| {
        Error::usage(format!("{}: {what}", path.display()))
            .hint("the mapfile belongs to another target; name another one, or start over with --force")
    };
    if map.size() != size || target.disk.virtual_size() < size {
        let (map, target) = (map.size(), target.disk.virtual_size());
        return Err(other(format!(
            "it tells about a disk of {map} bytes, the source has {size} and the target {target}"
        )));
    }
    if !args.existing {
        // Only a manifest can tell that this is the target that the mapfile is about.
        let (manifest, _) = Manifest::load(&manifest_path(&args.target))?;
        let missing: Vec<_> = map.unfinished(size).iter().map(|(offset, len, _)| (*offset, *len)).collect();
        if joined(manifest.unreadable.iter().map(|range| (range.offset, range.len))) != joined(missing) {
            return Err(other(format!("{} lacks other ranges than it says", args.target.display())));
        }
        if map.unfinished(size).is_empty() {
            let text = format!("{} already exists, and lacks nothing", args.target.display());
            return Err(Error::new(ErrorKind::Destination, text).hint("--force converts it anew"));
        }
    }
    Ok(Some((map, target.disk.cut_to(size))))
}

/// A mapfile does not say what it is about: of another disk or another target, two disks would become one.
fn refuse_other(mapfile: &Path, target: &Disk, source: &Disk, missing: &RangeSet) -> Result<()> {
    let what = match is_copy(target, source, missing) {
        Some(true) => return Ok(()),
        Some(false) => "the target is no copy of this source",
        None if missing.total() >= source.virtual_size() => return Ok(()),
        None => {
            "nothing that it calls finished can be read any more, so the source cannot be told from another"
        }
    };
    Err(Error::usage(format!("{}: {what}", mapfile.display()))
        .hint("name the mapfile that was written with this target, or start over with --force"))
}

fn joined(ranges: impl IntoIterator<Item = (u64, u64)>) -> RangeSet {
    let mut set = RangeSet::default();
    ranges.into_iter().for_each(|(offset, len)| set.add(offset, len));
    set
}
