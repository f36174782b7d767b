//! `rehome batch check`

use super::check_report::{JobReport, PlaceReport, Report, human};
use super::check_source::{Look, existing, look};
use super::read;
use crate::args::BatchCheckArgs;
use crate::output::Printer;
use convert_batch::worse;
use convert_engine::Control;
use convert_job_file::{Kind, Resolved, ResolvedJob};
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes a second where too little was read to tell: a disk or a network of today, and not the best.
const ASSUMED_RATE: u64 = 200_000_000;
/// Less says more about caches than about disks.
const LEAST_SAMPLE: u64 = 8 << 20;

pub(crate) fn run(args: &BatchCheckArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let (file, resolved) = read(&args.file, printer)?;
    let mut notes = Vec::new();
    let mut code = 0;
    if !resolved.output.is_dir() {
        code = ErrorKind::Destination.exit_code();
        notes.push(format!(
            "the folder of the outputs, {}, is not there: mount or make it",
            resolved.output.display()
        ));
    }
    let looks = look_at_all(&resolved, args, control)?;
    let places = places(&resolved, &looks)?;
    for (job, look) in resolved.jobs.iter().zip(&looks) {
        code = worse(code, look.code);
        if let Some(source) = look.notes.first().filter(|_| look.code != 0) {
            let place = file.fault_of(job, "source", source).place;
            notes.extend(
                place.map(|place| format!("{}:{}: job {:?}: {source}", place.file, place.line, job.id)),
            );
        }
    }
    if places.iter().any(|place| !place.enough) {
        code = worse(code, ErrorKind::Temporary.exit_code());
    }
    let report = report(&resolved, args, looks, places, code, notes);
    printer.result(&report, human)?;
    Ok(ExitCode::from(code))
}

fn look_at_all(resolved: &Resolved, args: &BatchCheckArgs, control: Control<'_>) -> Result<Vec<Look>> {
    let next = AtomicUsize::new(0);
    let looks: Vec<Mutex<Option<Result<Look>>>> = resolved.jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..usize::from(args.jobs).min(resolved.jobs.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(job), Some(slot)) = (resolved.jobs.get(number), looks.get(number)) else {
                        break;
                    };
                    let found = control.check().and_then(|()| look(job, args, control));
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                }
            });
        }
    });
    let looks = looks.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    looks.map(|look| look.unwrap_or_else(|| Err(Error::contract("a job was not looked at")))).collect()
}

/// What the jobs need on each file system, and what it has.
fn places(resolved: &Resolved, looks: &[Look]) -> Result<Vec<PlaceReport>> {
    let mut places: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for (job, look) in resolved.jobs.iter().zip(looks) {
        let folder = existing(&job.output);
        let failed = |e| Error::io(format!("cannot look at {}", folder.display()), e);
        let device = folder.metadata().map_err(failed)?.dev();
        let place = places.entry(device).or_insert((folder, 0));
        place.1 = place.1.saturating_add(look.needs.unwrap_or(0));
    }
    let report = |(folder, needs): (PathBuf, u64)| {
        let found = rustix::fs::statvfs(&folder).map_err(|e| {
            Error::io(format!("cannot tell the free space of {}", folder.display()), e.into())
        })?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        Ok(PlaceReport { folder: folder.display().to_string(), needs, free, enough: needs <= free })
    };
    places.into_values().map(report).collect()
}

fn report(
    resolved: &Resolved,
    args: &BatchCheckArgs,
    looks: Vec<Look>,
    places: Vec<PlaceReport>,
    exit_code: u8,
    notes: Vec<String>,
) -> Report {
    let sampled =
        looks.iter().fold((0, Duration::ZERO), |sum, look| (sum.0 + look.sample.0, sum.1 + look.sample.1));
    let measured =
        (sampled.0 >= LEAST_SAMPLE).then(|| (sampled.0 as f64 / sampled.1.as_secs_f64().max(1e-6)) as u64);
    let (rate, rate_from) = match (args.rate, measured) {
        (Some(rate), _) => (rate, "given"),
        (None, Some(rate)) => (rate, "sampled"),
        (None, None) => (ASSUMED_RATE, "assumed"),
    };
    // Jobs share what they read from; that they make each other faster is not assumed.
    let rate = resolved.batch.rate_limit.map_or(rate, |limit| rate.min(limit.0)).max(1);
    let data = looks.iter().filter_map(|look| look.data).sum::<u64>();
    let jobs = resolved.jobs.iter().zip(looks).map(|(job, look)| job_report(job, look)).collect();
    // A proof reads what was written, and the source again.
    let passes = |job: &ResolvedJob| match job.kind {
        Kind::Migrate => 3,
        Kind::Convert => 1 + u64::from(job.job.verify == Some(true)),
    };
    let mut report = Report {
        name: resolved.name.clone(),
        exit_code,
        jobs,
        places,
        data,
        rate,
        rate_from,
        seconds: 0,
        notes,
    };
    let work = resolved.jobs.iter().zip(&report.jobs).map(|(job, seen)| passes(job) * seen.data.unwrap_or(0));
    report.seconds = work.sum::<u64>() / rate;
    report
}

fn job_report(job: &ResolvedJob, look: Look) -> JobReport {
    JobReport {
        id: job.id.clone(),
        kind: job.kind.word(),
        wave: job.wave,
        sources: job.sources().iter().map(|path| path.display().to_string()).collect(),
        output: job.output.display().to_string(),
        command: job.command().iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        exit_code: look.code,
        data: look.data,
        needs: look.needs,
        needs_exact: look.is_exact,
        notes: look.notes,
    }
}
