//! Reads all blobs of the disks and compares them with their authentication codes and IDs.

use crate::read::{FileMap, Planned};
use crate::repository::Repository;
use format_core::{CheckReport, Error, ErrorKind, Result, Tick};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads at most: each holds a blob twice.
const MAX_THREADS: usize = 8;

/// Whether an error is about the repository, and not about the host.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::SourceMissing | ErrorKind::Unsupported | ErrorKind::Limit
    )
}

/// Checks the file `name`.
pub(crate) fn check_file(
    repository: &Repository,
    name: &str,
    planned: &Planned,
    tick: Tick<'_>,
    report: &mut CheckReport,
) -> Result<()> {
    for problem in &planned.problems {
        let error = Error::from(problem.clone()).context(name.to_owned());
        report.error(error.to_string(), error.offset());
    }
    let Some(map) = &planned.map else { return Ok(()) };
    report.total_chunks = report.total_chunks.saturating_add(map.piece_count());
    report.allocated_chunks = report.allocated_chunks.saturating_add(u64::from(map.blob_count()));
    let packed = (0..map.blob_count()).filter(|number| map.is_packed(*number)).count();
    report.compressed_chunks = report.compressed_chunks.saturating_add(packed as u64);
    for error in read_all(repository, map, tick)? {
        let error = error.context(name.to_owned());
        report.error(error.to_string(), error.offset());
    }
    Ok(())
}

/// The damage that was met.
fn read_all(repository: &Repository, map: &FileMap, tick: Tick<'_>) -> Result<Vec<Error>> {
    let (next, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let (damage, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let fail = |error: Error| {
        stop.store(true, Ordering::Relaxed);
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    };
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= map.blob_count() {
                return;
            }
            let read = map.blob(repository, number);
            match read {
                Ok(bytes) => {
                    if let Err(error) = tick(bytes.len() as u64) {
                        return fail(error);
                    }
                }
                Err(error) if is_damage(&error) => {
                    damage.lock().unwrap_or_else(PoisonError::into_inner).push((number, error));
                }
                Err(error) => return fail(error),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut damage = damage.into_inner().unwrap_or_else(PoisonError::into_inner);
    damage.sort_by_key(|(number, _)| *number);
    Ok(damage.into_iter().map(|(_, error)| error).collect())
}
