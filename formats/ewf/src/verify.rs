//! Reads a whole image and compares it with all its checksums.

use crate::image::Image;
use crate::layout::MAX_CHUNK;
use crate::parse::{Hashes, to_hex};
use crate::table::Form;
use format_core::{CheckReport, Error, ErrorKind, Result, Severity, Tick, codes};
use md5::{Digest, Md5};
use sha1::Sha1;

/// Read before the hashes go on.
const WINDOW: u64 = 8 << 20;
/// Threads that unpack.
const MOST_THREADS: usize = 4;

struct Hashing {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
}

impl Hashing {
    fn of(stored: Hashes) -> Self {
        Self { md5: stored.md5.map(|_| Md5::new()), sha1: stored.sha1.map(|_| Sha1::new()) }
    }

    /// Both at once: each is one long chain.
    fn update(&mut self, bytes: &[u8]) {
        let Self { md5, sha1 } = self;
        std::thread::scope(|scope| {
            let beside =
                sha1.as_mut().filter(|_| !bytes.is_empty()).map(|hash| scope.spawn(|| hash.update(bytes)));
            if let Some(hash) = md5 {
                hash.update(bytes);
            }
            drop(beside);
        });
    }

    /// What does not agree with `stored`.
    fn compare(self, stored: Hashes) -> Option<String> {
        let differs = |name, found: &[u8], wanted: &[u8]| {
            (found != wanted).then(|| {
                let (found, wanted) = (to_hex(found), to_hex(wanted));
                format!("the disk has the {name} {found}, the image says {wanted}")
            })
        };
        let md5 =
            self.md5.zip(stored.md5).and_then(|(hash, wanted)| differs("MD5", &hash.finalize(), &wanted));
        let sha1 =
            self.sha1.zip(stored.sha1).and_then(|(hash, wanted)| differs("SHA-1", &hash.finalize(), &wanted));
        md5.into_iter().chain(sha1).reduce(|md5, sha1| format!("{md5}; {sha1}"))
    }
}

/// Fills `out`, which begins with `first`, chunk by chunk; `failed` is told what a chunk that cannot be read has.
fn read_chunks(
    image: &Image,
    first: u64,
    out: &mut [u8],
    failed: &(dyn Fn(Error) -> Result<()> + Sync),
) -> Result<()> {
    let size = image.volume.chunk_size() as usize;
    for (chunk, bytes) in (first..).zip(out.chunks_mut(size.max(1))) {
        if let Err(error) = image.read_chunk(chunk, bytes) {
            failed(error)?;
        }
    }
    Ok(())
}

/// Reads all chunks that there are and hashes them.
fn walk(image: &Image, tick: Tick<'_>, failed: &(dyn Fn(Error) -> Result<()> + Sync)) -> Result<Hashing> {
    let size = image.volume.chunk_size();
    let chunks = image.volume.disk_chunks().min(image.tables.chunks());
    let end = chunks.saturating_mul(size).min(image.volume.virtual_size());
    let window = (WINDOW / size).max(1).saturating_mul(size).min(WINDOW.max(MAX_CHUNK));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS) as u64;
    let share = (window / size).div_ceil(threads).max(1).saturating_mul(size);
    let mut hashing = Hashing::of(image.hashes);
    let (mut now, mut before) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < end {
        now.resize(window.min(end - at) as usize, 0);
        let read: Result<()> = std::thread::scope(|scope| {
            let mut readers = Vec::new();
            for (first, part) in
                (at / size..).step_by((share / size) as usize).zip(now.chunks_mut(share as usize))
            {
                readers.push(scope.spawn(move || read_chunks(image, first, part, failed)));
            }
            hashing.update(&before);
            let lost = || Error::contract("a thread that reads chunks broke off");
            readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| lost())?)
        });
        read?;
        at += now.len() as u64;
        tick(now.len() as u64)?;
        std::mem::swap(&mut now, &mut before);
    }
    hashing.update(&before);
    Ok(hashing)
}

/// Whether it is the content that is wrong, and not the host.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Limit)
}

pub(crate) fn check(image: &Image, tick: Tick<'_>) -> Result<CheckReport> {
    let mut report = CheckReport {
        total_chunks: image.volume.disk_chunks(),
        allocated_chunks: image.tables.chunks(),
        image_end: image.tables.end(),
        ..CheckReport::default()
    };
    for defect in &image.defects {
        report.error(defect.clone(), None);
    }
    let damaged = std::sync::Mutex::new(Vec::new());
    let lost = std::sync::atomic::AtomicU64::new(0);
    let failed = |error: Error| {
        if !is_damage(&error) {
            return Err(error);
        }
        lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut damaged = damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if damaged.len() < 1000 {
            damaged.push(error);
        }
        Ok(())
    };
    let hashing = walk(image, tick, &failed)?;
    let damaged = damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let lost = lost.into_inner();
    for error in &damaged {
        report.error(error.message(), error.offset());
    }
    report.errors += lost.saturating_sub(damaged.len() as u64);
    if lost > 0 || image.missing_chunks().is_some() {
        report.note("the hashes of the disk were not compared: not all of it could be read", None);
    } else if image.hashes == Hashes::default() {
        report.note(
            "the image holds no hash of its disk: only its chunks were compared with their checksums",
            None,
        );
    } else if let Some(text) = hashing.compare(image.hashes) {
        report.error(text, None);
    }
    for (code, text) in completeness(image) {
        match code {
            Severity::Error => report.error(text, None),
            Severity::Leak | Severity::Note => report.note(text, None),
        }
    }
    count_compressed(image, &mut report)?;
    Ok(report)
}

/// What is missing, and what was missing before the image was made.
pub(crate) fn completeness(image: &Image) -> Vec<(Severity, String)> {
    let mut found: Vec<_> = image.missing_chunks().into_iter().map(|text| (Severity::Error, text)).collect();
    if image.unreadable_sectors > 0 {
        let text = format!(
            "{} sectors could not be read when the image was made and are zeros",
            image.unreadable_sectors
        );
        found.push((Severity::Note, text));
    }
    found
}

fn count_compressed(image: &Image, report: &mut CheckReport) -> Result<()> {
    for chunk in 0..image.volume.disk_chunks().min(image.tables.chunks()) {
        match image.tables.place(&image.segments, chunk) {
            Ok(place) => {
                report.compressed_chunks += u64::from(place.is_some_and(|place| place.form == Form::Zlib));
            }
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Compares the disk with the hashes that the image holds of it.
pub(crate) fn prove(image: &Image, tick: Tick<'_>) -> Result<()> {
    let hashing = walk(image, tick, &|error| Err(error))?;
    match hashing.compare(image.hashes) {
        Some(text) => Err(Error::new(ErrorKind::Mismatch, text)
            .with_code(&codes::SOURCE_CHECKSUM)
            .in_format(crate::FORMAT.name)
            .hint(
                "the image was changed after it was made, or damaged: make it again, or read it from a copy",
            )),
        None => Ok(()),
    }
}
