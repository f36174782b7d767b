//! One disk from its first copy to an image that is what the disk was at one moment.
//!
//! The first copy goes into `NAME.capture`. Then hashes are taken at both ends, and what differs is read again, until nothing does. Only
//! then the image gets its name. A run that is interrupted leaves `NAME.capture`, or its unfinished forms, and the next one goes on there.

use crate::{PhysicalDisk, Side};
use convert_engine::{
    Changes, Control, ConvertRequest, Destination, Manifest, Proof, Resumption, SourceFacts, SyncTarget,
    convert_or_go_on, sync,
};
use format_core::{Error, ErrorKind, FileTarget, Format, OpenedImage, Result, Warning, codes, masked};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// After a round that took no longer than this, in seconds, file systems may be held for the next one.
const QUICK: f64 = 5.0;
/// What the image is called until it is what the disk was.
const SUFFIX: &str = ".capture";

/// What to capture.
pub struct CaptureRequest<'a> {
    /// The disk, as its side gives it: raw, alone.
    pub source: &'a OpenedImage,
    /// Its side.
    pub side: &'a dyn Side,
    /// What is known of the disk, for the manifest.
    pub device: &'a PhysicalDisk,
    /// The image to write.
    pub target: &'a Path,
    /// Its format.
    pub format: &'static Format,
    /// All formats.
    pub formats: &'static [&'static Format],
    /// `-o` options of the writer.
    pub options: BTreeMap<String, String>,
    /// Replace an image that has the name.
    pub force: bool,
    /// Discard what an interrupted run left.
    pub restart: bool,
    /// Bring the image, which exists, up to date instead of making it.
    pub update: bool,
    /// How changes are dealt with.
    pub follow: &'a Follow,
}

/// How the changes of a running machine are dealt with.
#[derive(Clone, Debug)]
pub struct Follow {
    /// How often changes are fetched, at most.
    pub rounds: u32,
    /// Mount points that are held for the last round.
    pub freeze: Vec<String>,
    /// For how many seconds, at most.
    pub freeze_seconds: u64,
    /// Take an image whose parts are of different moments, rather than none.
    pub accept_live: bool,
}

/// What an image is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Hashes at both ends are the same: the disk did not change.
    Unchanged,
    /// The same, while its file systems were held.
    Frozen,
    /// The same, of a snapshot of the volume.
    Snapshot,
    /// Its parts are of different moments.
    Live,
}

/// A pass over the disk.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cycle {
    /// Bytes that were read from the source.
    pub bytes_read: u64,
    /// Bytes of the image that were rewritten.
    pub bytes_rewritten: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether file systems were held.
    pub frozen: bool,
}

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    /// Digest of the disk.
    pub digest: String,
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// What the image is good for.
    pub consistency: Consistency,
    /// The first copy, where this run made it, and each round of changes after it.
    pub cycles: Vec<Cycle>,
    /// Bytes that an interrupted run had copied.
    pub resumed_from: Option<u64>,
    /// The manifest's file.
    pub manifest: PathBuf,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// Captures the disk.
///
/// # Errors
/// `Temporary` with [`codes::SOURCE_CHANGED`] when it changes faster than it can be followed; the copy so far stays. What source and target
/// report.
pub fn capture_disk(request: &CaptureRequest<'_>, control: Control<'_>) -> Result<Captured> {
    let working = if request.update { request.target.to_owned() } else { with_suffix(request.target) };
    if !request.update && !request.force && request.target.symlink_metadata().is_ok() {
        let text = format!("{} exists", request.target.display());
        return Err(Error::new(ErrorKind::Destination, text)
            .hint("add --sync to bring it up to date, or --force to replace it"));
    }
    // A device that is being taken away, such as a snapshot that just ended, has no bytes for a moment.
    let (size, known) = (request.source.disk.virtual_size(), request.device.size);
    if size != known {
        let text = format!("{} has {size} bytes now, and had {known} a moment ago", request.device.path);
        return Err(Error::new(ErrorKind::Temporary, text)
            .hint("look whether it is still there, and run the same command again"));
    }
    let mut run = Run { request, working, cycles: Vec::new(), warnings: Vec::new(), resumed_from: None };
    run.copy(control)?;
    let (consistency, blocks) = run.settle(control)?;
    request.side.confirm()?;
    if consistency == Consistency::Live {
        run.warnings.push(Warning::new(
            "capture-live",
            "the disk changed while it was copied, and its parts are of different moments: check its file systems before \
             you rely on it; databases in it may be damaged",
        ));
    }
    let facts =
        SourceFacts { device: Some(request.device.for_manifest()), ..SourceFacts::of_image(request.source) };
    if !request.update {
        publish(&run.working, request.target, request.force)?;
        Manifest::remove(&run.working)?;
    }
    let manifest = Manifest::new(request.target, request.format.name, &blocks, facts)?;
    let path = manifest.save(request.target, &blocks)?;
    Ok(Captured {
        digest: blocks.digest()?.to_hex().to_string(),
        virtual_size: blocks.virtual_size(),
        consistency,
        cycles: run.cycles,
        resumed_from: run.resumed_from,
        manifest: path,
        warnings: run.warnings,
    })
}

/// Where the copy of an image with that name lies until it gets it.
#[must_use]
pub fn with_suffix(target: &Path) -> PathBuf {
    let mut name: OsString = target.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

struct Run<'a> {
    request: &'a CaptureRequest<'a>,
    working: PathBuf,
    cycles: Vec<Cycle>,
    warnings: Vec<Warning>,
    resumed_from: Option<u64>,
}

impl Run<'_> {
    /// The first copy, unless there is one already, whole or half brought up to date.
    fn copy(&mut self, control: Control<'_>) -> Result<()> {
        let request = self.request;
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let exists = is_there(&self.working) || is_there(&FileTarget::update_marker(&self.working));
        if exists && !request.restart {
            return Ok(());
        }
        if request.update {
            let text =
                format!("{} does not exist: there is nothing to bring up to date", self.working.display());
            return Err(Error::new(ErrorKind::Destination, text).hint("leave --sync away for the first copy"));
        }
        let began = Instant::now();
        let resumption = Resumption {
            restart: request.restart,
            reading: "capture".into(),
            settles: true,
            interval: Resumption::INTERVAL,
        };
        let source = self.source()?;
        let convert = ConvertRequest {
            source: &source,
            disk: &source.disk,
            target: Destination::File { path: &self.working, replace: request.restart },
            format: request.format,
            options: request.options.clone(),
            base: None,
            proof: Proof { digest: true, also: &[] },
        };
        let done = convert_or_go_on(convert, &resumption, control)?;
        self.resumed_from = done.resumed_from;
        self.warnings.extend(done.warnings.iter().cloned());
        let (read, written) = (done.copy.read, done.copy.written);
        self.cycles.push(Cycle {
            bytes_read: read,
            bytes_rewritten: written,
            seconds: began.elapsed().as_secs_f64(),
            frozen: false,
        });
        Ok(())
    }

    /// The source as it is to be seen now: without what is free.
    fn source(&self) -> Result<OpenedImage> {
        let source = self.request.source;
        let free = self.request.side.free()?;
        let disk =
            if free.iter().next().is_some() { masked(&source.disk, &free) } else { source.disk.clone() };
        Ok(OpenedImage { disk, chain: source.chain.clone(), warnings: Vec::new(), inside: None })
    }

    /// Fetches changes until there are none, or nobody wants to wait for that.
    fn settle(&mut self, control: Control<'_>) -> Result<(Consistency, convert_engine::BlockList)> {
        let follow = self.request.follow;
        let rounds = follow.rounds.max(1);
        for round in 1..=rounds {
            let is_last = round == rounds;
            let had_few = self.cycles.last().is_some_and(|cycle| cycle.seconds < QUICK);
            let freezes = !follow.freeze.is_empty() && (is_last || had_few);
            if freezes {
                self.request.side.freeze(&follow.freeze, follow.freeze_seconds)?;
                let held = self.held(control);
                let thawed = self.request.side.thaw();
                let blocks = held?;
                thawed?;
                return Ok((Consistency::Frozen, blocks));
            }
            let (changed, blocks) = self.round(false, control)?;
            if changed == 0 && follow.freeze.is_empty() {
                return Ok((Consistency::Unchanged, blocks));
            }
            if is_last && follow.accept_live {
                return Ok((Consistency::Live, blocks));
            }
        }
        let text = format!("the disk still changes after {rounds} rounds, in which its changes were fetched");
        Err(Error::new(ErrorKind::Temporary, text).with_code(&codes::SOURCE_CHANGED).hint(
            "the copy so far is kept: run the same command again when the machine is quiet, with --freeze MOUNTPOINT to hold its file \
             systems for the last round, or with --live to take it as it is",
        ))
    }

    /// Rounds while file systems are held: what still changes then is not theirs.
    fn held(&mut self, control: Control<'_>) -> Result<convert_engine::BlockList> {
        for _ in 0..3 {
            let (changed, blocks) = self.round(true, control)?;
            if changed == 0 {
                return Ok(blocks);
            }
        }
        Err(Error::new(ErrorKind::Temporary, "the disk changes although its file systems are held")
            .with_code(&codes::SOURCE_CHANGED)
            .hint("name all mount points of the disk with --freeze, and switch its swap off"))
    }

    fn round(&mut self, frozen: bool, control: Control<'_>) -> Result<(u64, convert_engine::BlockList)> {
        let began = Instant::now();
        let request = self.request;
        let target =
            SyncTarget::File { path: &self.working, format: Some(request.format), formats: request.formats };
        // What is free changes, too: both ends have to mean the same by it.
        let source = self.source()?;
        let done = sync(&source, target, Changes::ByHashes(as_remote(request.side)), control)?;
        if let Some(manifest) = &done.manifest {
            manifest.save(&self.working, &done.blocks)?;
        }
        self.warnings
            .extend(done.warnings.iter().filter(|w| !self.warnings.contains(w)).cloned().collect::<Vec<_>>());
        let changed = done.totals.bytes_rewritten;
        self.cycles.push(Cycle {
            bytes_read: done.totals.source_read,
            bytes_rewritten: changed,
            seconds: began.elapsed().as_secs_f64(),
            frozen,
        });
        Ok((changed, done.blocks))
    }
}

fn as_remote(side: &dyn Side) -> &dyn format_core::Remote {
    side
}

/// The image gets its name, in one step.
fn publish(working: &Path, target: &Path, force: bool) -> Result<()> {
    let failed = |e: std::io::Error| {
        let kind = if e.kind() == std::io::ErrorKind::AlreadyExists {
            ErrorKind::Destination
        } else {
            ErrorKind::Io
        };
        Error::io(format!("give {} its name {}", working.display(), target.display()), e).with_kind(kind)
    };
    if force {
        // The manifest of what is replaced would tell of this one what is not true.
        Manifest::remove(target)?;
        std::fs::rename(working, target).map_err(failed)?;
    } else {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, working, CWD, target, RenameFlags::NOREPLACE).map_err(|e| failed(e.into()))?;
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| Error::io(format!("make the name {} durable", target.display()), e))?;
    Ok(())
}
