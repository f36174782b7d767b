//! `rehome convert --out DIR`: the disks of one machine in one run.

use crate::args::{ConvertArgs, NO_IMAGE, OutputKind};
use crate::commands::convert::{Outcome, convert_one, human, is_pipe};
use crate::commands::target_format;
use crate::output::{Printer, error_json, hint_of};
use crate::progress::Together;
use crate::remotes::is_address;
use convert_engine::{Control, SourceFile, refuse_source_files, threads_within};
use format_core::{Error, ErrorKind, Format, Result, Warning, open_image};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What all workers of all disks share.
const MEMORY: u64 = 224 << 20;

pub(crate) fn run(
    args: &ConvertArgs,
    printer: &Printer,
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let jobs = jobs(args)?;
    let together = Together::new(control.observer);
    let outcomes = convert_all(&jobs, Control { observer: &together, ..control }, interrupted);
    together.all_ended();
    for (job, outcome) in jobs.iter().zip(&outcomes) {
        match outcome {
            Ok(outcome) => printer.warnings(&of_image(job, &outcome.warnings)),
            Err(error) => {
                printer.say(error);
            }
        }
    }
    let json = |(job, outcome): (&ConvertArgs, &Result<Outcome>)| match outcome {
        Ok(outcome) => serde_json::to_value(outcome)
            .map_err(|e| Error::contract("the result cannot be written as JSON").with_source(e)),
        Err(error) => {
            let mut value = error_json(error, hint_of(error).as_deref());
            value["source"] = job.source.display().to_string().into();
            Ok(value)
        }
    };
    let values: Vec<_> = jobs.iter().zip(&outcomes).map(json).collect::<Result<_>>()?;
    printer.result(&values, |_| outcomes.iter().flatten().map(human).collect())?;
    let codes = outcomes.iter().map(|outcome| match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => error.kind().exit_code(),
    });
    Ok(ExitCode::from(first_failure(codes)))
}

/// That of the first run that failed; data that were lost count only where none did.
fn first_failure(codes: impl Iterator<Item = u8>) -> u8 {
    let codes: Vec<_> = codes.filter(|code| *code != 0).collect();
    codes.iter().find(|code| **code != 1).or(codes.first()).copied().unwrap_or(0)
}

fn of_image(job: &ConvertArgs, warnings: &[Warning]) -> Vec<Warning> {
    let name = job.source.display();
    warnings
        .iter()
        .map(|warning| Warning::new(warning.code, format!("{name}: {}", warning.message)))
        .collect()
}

/// The arguments for each image.
fn jobs(args: &ConvertArgs) -> Result<Vec<ConvertArgs>> {
    let second = Some(&args.target).filter(|target| *target != Path::new(NO_IMAGE));
    let images: Vec<_> = std::iter::once(&args.source).chain(second).chain(&args.more).collect();
    let out = args.out.as_deref().unwrap_or(Path::new(NO_IMAGE));
    let format = target_format(args.target_format.as_deref(), &args.target)?;
    let mut targets: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(images.len());
    for image in images {
        let target = target_of(image, out, format)?;
        if let Some(other) = targets.insert(target.clone(), image) {
            let (target, image, other) = (target.display(), image.display(), other.display());
            return Err(Error::usage(format!("{other} and {image} would both become {target}"))
                .hint("convert one of them alone, under another name"));
        }
        jobs.push(ConvertArgs { source: image.clone(), target, more: Vec::new(), out: None, ..args.clone() });
    }
    if !args.options.is_empty() {
        refuse_parts_of_others(&targets)?;
    }
    refuse_each_others_sources(&jobs)?;
    make_folder(out)?;
    Ok(jobs)
}

/// The image's own name, with the format's extension, in the folder.
fn target_of(image: &Path, out: &Path, format: &Format) -> Result<PathBuf> {
    let stem = image.file_stem().filter(|_| !is_pipe(image));
    let stem =
        stem.ok_or_else(|| Error::usage(format!("{} has no name to give to its target", image.display())))?;
    let mut name = stem.to_owned();
    name.push(".");
    name.push(format.extensions.first().copied().unwrap_or(format.name));
    Ok(out.join(name))
}

/// An image of several files names them after itself: `disk-flat.vmdk`, `disk-s001.vmdk`.
fn refuse_parts_of_others(targets: &BTreeMap<PathBuf, &Path>) -> Result<()> {
    let is_part = |end: &str| {
        let number = end.strip_prefix(['s', 'f']).unwrap_or_default();
        end == "flat" || (number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    for target in targets.keys() {
        let stem = target.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('-'));
        let Some((stem, _)) = stem.filter(|(_, end)| is_part(end)) else { continue };
        let other = target.with_file_name(stem).with_added_extension(target.extension().unwrap_or_default());
        if targets.contains_key(&other) {
            let (target, other) = (target.display(), other.display());
            return Err(Error::usage(format!("{target} could be a file of {other} as well"))
                .hint("convert one of them alone, into another folder"));
        }
    }
    Ok(())
}

/// No target may be a file of any source. An image that cannot be opened fails in its own run; what lies at an address has no files here.
fn refuse_each_others_sources(jobs: &[ConvertArgs]) -> Result<()> {
    let mut files = Vec::new();
    for job in jobs.iter().filter(|job| !is_address(&job.source)) {
        if let Ok(opened) = open_image(&job.source, &job.open.options()?) {
            files.extend(SourceFile::of_images([&opened]));
        }
    }
    jobs.iter().try_for_each(|job| refuse_source_files(&job.target, &files))
}

fn make_folder(out: &Path) -> Result<()> {
    if out.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(out).map_err(|e| {
        Error::io(format!("cannot create the folder {}", out.display()), e).with_kind(ErrorKind::Destination)
    })
}

/// Converts all images, several at once; the workers are divided among them.
fn convert_all(
    jobs: &[ConvertArgs],
    control: Control<'_>,
    interrupted: &Arc<AtomicBool>,
) -> Vec<Result<Outcome>> {
    let workers = control.threads.clamp(1, threads_within(MEMORY).unwrap_or(1));
    let at_once = workers.min(jobs.len()).max(1);
    let control = Control { threads: workers / at_once, ..control };
    // Warnings are told at the end, with the image's name.
    let quiet = Printer::new(OutputKind::Json);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    let outcome = convert_one(job, &quiet, control, interrupted);
                    let outcome = outcome.map_err(|e| e.context(format!("convert {}", job.source.display())));
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, outcome);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lost = || Err(Error::contract("a conversion ended without an outcome"));
    (0..jobs.len()).map(|number| done.remove(&number).unwrap_or_else(lost)).collect()
}
