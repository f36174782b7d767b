//! A conversion that goes on where an interrupted one stopped.

use crate::blocks::BlockSet;
use crate::checkpoints::{Checkpoints, Done};
use crate::digest::BlockList;
use crate::far_end::refuse_differences;
use crate::journal::{Job, Journal, JournalReader, Wanted};
use crate::observer::Control;
use crate::pipeline::copy_on;
use crate::run::{
    ConvertOutcome, ConvertRequest, Destination, convert, create_request, manifest_of, size_warning,
};
use crate::source_proof::with_source_proof;
use crate::sources::{SourceFile, refuse_source_files};
use crate::watch::{Watch, is_source_changed, reads_as};
use format_core::{
    CreateRequest, Disk, Error, ErrorKind, FileTarget, Format, Result, Sink, TargetStorage, Warning,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How a conversion deals with interruptions.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Discard what an interrupted run left.
    pub restart: bool,
    /// What else decides over the source's bytes (a snapshot, another size): a run goes on only where it is the same.
    pub reading: String,
    /// What is copied is brought up to date with the source afterwards: its changes meanwhile are no reason to start over, or to fail.
    pub settles: bool,
    /// How often the run tells its journal where it stands, at most; zero means after every block.
    pub interval: Duration,
}

impl Resumption {
    /// A run that is shorter than this makes no checkpoint.
    pub const INTERVAL: Duration = Duration::from_secs(5);
}

/// As [`convert`]. Where the target is a file that holds the whole disk, an interrupted run is gone on with, and this one
/// can be.
///
/// # Errors
/// As [`convert`]. After an error of the kinds `Io` and `Temporary` the partial file may stay, with its journal.
pub fn convert_or_go_on(
    request: ConvertRequest<'_>,
    resumption: &Resumption,
    control: Control<'_>,
) -> Result<ConvertOutcome> {
    convert_through(request, resumption, &|target| target, control)
}

/// What a target passes through on its way to the sink.
pub type Through<'a> = &'a dyn Fn(Box<dyn TargetStorage>) -> Box<dyn TargetStorage>;

/// As [`convert_or_go_on`], with something between the sink and its file: what can fail, for tests.
///
/// # Errors
/// As [`convert_or_go_on`].
pub fn convert_through(
    request: ConvertRequest<'_>,
    resumption: &Resumption,
    through: Through<'_>,
    control: Control<'_>,
) -> Result<ConvertOutcome> {
    let (Destination::File { path, replace }, None) = (&request.target, request.base) else {
        return convert(request, control);
    };
    let (path, replace) = (*path, *replace);
    let named = |e: Error| e.context(format!("write {}", path.display()));
    let (source, disk, format) = (request.source, request.disk, request.format);
    let sources = SourceFile::of_images([source]);
    refuse_source_files(path, &sources)?;
    let create = create_request(format, disk.virtual_size(), request.options.clone(), None).map_err(named)?;
    let wanted = Wanted {
        format: format.name,
        options: &create.options,
        virtual_size: create.virtual_size,
        reading: &resumption.reading,
    };
    // A folder does not tell whether what lies in it is the same.
    let is_folder = source.chain.iter().any(|link| link.path.is_dir());
    let Some(job) = Job::new(source, &wanted).ok().filter(|_| !is_folder) else {
        // What cannot be known again cannot be gone on with.
        return convert(request, control);
    };
    let disk_written = disk.grown_to(create.virtual_size);
    let watch = Watch::begin(&sources)?;
    let target = FileTarget::resume(path, replace).map_err(named)?;
    let job = job.into(target.partial_facts()?.1);
    let place = Place { path, replace, sources: &sources, format, create: &create, through };
    let sampled = (!resumption.settles).then_some(&disk_written);
    let found = match resumption.restart {
        true => Found::Nothing,
        false => look(path, &target, &job, sampled, disk_written.virtual_size())?,
    };
    let mut started = place.start(target, found).map_err(named)?;
    let journal = FileTarget::journal_path(path);
    let kept = Arc::clone(&started.kept);
    let mut checkpoints =
        Checkpoints::new(disk_written.clone(), job, journal, resumption.interval, Arc::clone(&kept));
    if let Some((journal, state)) = started.journal.take() {
        checkpoints = checkpoints.going_on(journal, state);
    }
    let Started { sink, done, resumed_from, mut warnings, .. } = started;
    let hinted = |e: Error| {
        if is_source_changed(&e) {
            // Half of it is of a source that is no more.
            kept.store(false, Ordering::Relaxed);
        }
        if kept.load(Ordering::Relaxed) { with_next_step(e) } else { e }
    };
    let copy = || copy_on(&disk_written, sink.as_ref(), &checkpoints, done, control);
    let copy = || with_source_proof(source, control, copy);
    let copy = watch.over(copy, |copy| reads_as(&copy.blocks, &disk_written, control)).map_err(hinted)?;
    if !resumption.settles {
        refuse_differences(source, &copy.blocks).map_err(hinted)?;
    }
    sink.finish().map_err(named).map_err(hinted)?;
    let manifest = Some(manifest_of(path, format, &copy, source)?);
    warnings.extend(size_warning(format, disk.virtual_size(), create.virtual_size));
    warnings.extend(checkpoints.warning());
    Ok(ConvertOutcome { manifest, copy, resumed_from, warnings })
}

/// What an interrupted run left.
enum Found {
    Nothing,
    /// Something that cannot be gone on with, and why.
    Useless(String),
    Unfinished(Box<Unfinished>),
}

struct Unfinished {
    journal: Journal,
    state: Vec<u8>,
    done: Done,
}

/// Where the image goes.
struct Place<'a> {
    path: &'a Path,
    replace: bool,
    sources: &'a [SourceFile],
    format: &'static Format,
    create: &'a CreateRequest,
    through: Through<'a>,
}

/// A run that can begin.
struct Started {
    sink: Box<dyn Sink>,
    done: Done,
    journal: Option<(Journal, Vec<u8>)>,
    kept: Arc<AtomicBool>,
    resumed_from: Option<u64>,
    warnings: Vec<Warning>,
}

/// Looks for what an interrupted run left, and whether it is of this job; with `sampled`, whether it is of this content, too.
fn look(path: &Path, target: &FileTarget, job: &Job, sampled: Option<&Disk>, size: u64) -> Result<Found> {
    let useless = |why: &str| Ok(Found::Useless(why.into()));
    let opened = JournalReader::open(&FileTarget::journal_path(path));
    let (reader, then) = match opened {
        Ok(Some(found)) => found,
        Ok(None) if target.partial_facts()?.0 == 0 => return Ok(Found::Nothing),
        Ok(None) => return useless("it left no journal"),
        Err(error) => return useless(&error.to_string()),
    };
    if let Some(why) = then.difference(job) {
        return useless(&why);
    }
    let found = match replay(reader, size) {
        Ok(Some(found)) => found,
        Ok(None) => return useless("its journal has no checkpoint"),
        Err(error) => return useless(&error.to_string()),
    };
    // Last: it reads the source.
    match sampled.and_then(|disk| then.sample_difference(disk)) {
        Some(why) => useless(&why),
        None => Ok(Found::Unfinished(Box::new(found))),
    }
}

/// Puts the checkpoints of a journal together.
fn replay(mut reader: JournalReader, size: u64) -> Result<Option<Unfinished>> {
    let mut done = Done { blocks: BlockSet::new(size), hashes: BlockList::new(size)?, totals: (0, 0) };
    let mut state = Vec::new();
    let mut any = false;
    while let Some(checkpoint) = reader.next_checkpoint()? {
        checkpoint.apply(&mut state)?;
        for (block, hash) in checkpoint.blocks() {
            if block >= crate::digest::block_count(size) {
                return Err(Error::corrupt(format!(
                    "its journal has a block {block} of a disk of {size} bytes"
                )));
            }
            done.blocks.insert(block);
            done.hashes.set(block, &hash)?;
        }
        done.totals = (checkpoint.read, checkpoint.written);
        any = true;
    }
    Ok(if any { Some(Unfinished { journal: reader.into_journal()?, state, done }) } else { None })
}

impl Place<'_> {
    fn start(&self, target: FileTarget, found: Found) -> Result<Started> {
        let (target, why) = match found {
            Found::Nothing => (target, None),
            Found::Useless(why) => (target, Some(why)),
            Found::Unfinished(found) => {
                let kept = target.kept();
                match self.go_on(target, &found) {
                    Ok(sink) => {
                        let Unfinished { journal, state, done } = *found;
                        let (resumed_from, warnings) = (Some(done.totals.0), Vec::new());
                        let journal = Some((journal, state));
                        return Ok(Started { sink, done, journal, kept, resumed_from, warnings });
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                        (FileTarget::resume(self.path, self.replace)?, Some(error.to_string()))
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let warnings = why.map(|why| {
            let text = format!("an unfinished run of {} is started over: {why}", self.path.display());
            Warning::new("started-over", text)
        });
        self.start_over(target, warnings.into_iter().collect())
    }

    fn go_on(&self, target: FileTarget, found: &Unfinished) -> Result<Box<dyn Sink>> {
        let no_way = || Error::unsupported(format!("{} images cannot be gone on with", self.format.name));
        self.format.resume.ok_or_else(no_way)?(self.storage(target), self.create, &found.state)
    }

    fn start_over(&self, mut target: FileTarget, warnings: Vec<Warning>) -> Result<Started> {
        target.restart()?;
        let kept = target.kept();
        let create = self.format.create.ok_or_else(|| Error::contract("a format that cannot be written"))?;
        let sink = create(self.storage(target), self.create)?;
        let size = self.create.virtual_size;
        let done = Done { blocks: BlockSet::default(), hashes: BlockList::new(size)?, totals: (0, 0) };
        Ok(Started { sink, done, journal: None, kept, resumed_from: None, warnings })
    }

    fn storage(&self, target: FileTarget) -> Box<dyn TargetStorage> {
        let sources = self.sources.iter().map(|source| source.file_id).collect();
        (self.through)(Box::new(target.sparing(sources)))
    }
}

fn with_next_step(error: Error) -> Error {
    let is_full = std::error::Error::source(&error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| {
            matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
    let hint = "run the same command again to go on where it stopped";
    if is_full { error.hint(format!("make room, then {hint}")) } else { error.hint(hint) }
}
