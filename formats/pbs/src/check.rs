//! What is missing in a snapshot, and whether all of it is what its checksums say.

use crate::container::Snapshot;
use crate::digest::{Digest, hex};
use crate::read::PbsDisk;
use format_core::{CheckReport, Error, ErrorKind, Finding, Result, Severity, Tick};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Digests that are remembered, so that no chunk is looked at twice: those of 4 TiB. Of more, some are.
const REMEMBERED: usize = 1 << 20;
/// Threads that read; each has two buffers of a chunk.
const READERS: usize = 4;
/// Missing chunks that a message names.
const NAMED: usize = 3;

/// The chunks that were seen, by half of their digests.
#[derive(Default)]
struct Seen(HashSet<u128>);

impl Seen {
    /// Whether it is the first time.
    fn is_new(&mut self, digest: &Digest) -> bool {
        let half = digest.first_chunk().map_or(0, |half| u128::from_le_bytes(*half));
        if self.0.len() >= REMEMBERED { !self.0.contains(&half) } else { self.0.insert(half) }
    }
}

fn error(message: String) -> Finding {
    Finding { severity: Severity::Error, message, at: None }
}

/// What is wrong with the source, and no failure of the host.
fn is_finding(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::SourceMissing | ErrorKind::Limit)
}

/// Files of the manifest, and chunks, that are not there.
pub(crate) fn completeness(snapshot: &Snapshot) -> Result<Vec<Finding>> {
    let mut findings = missing_files(snapshot)?;
    let mut seen = Seen::default();
    for file in &snapshot.files {
        match snapshot.disk(file).and_then(|disk| missing_chunks(&disk, &mut seen)) {
            Ok(found) => findings.extend(found),
            Err(e) if is_finding(&e) => {
                let message = e.to_string();
                if !findings.iter().any(|finding| finding.message == message) {
                    findings.push(error(message));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(findings)
}

fn missing_files(snapshot: &Snapshot) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let Some(manifest) = &snapshot.manifest else {
        let message = "the snapshot has no manifest: a disk can be missing".to_owned();
        findings.push(Finding { severity: Severity::Note, message, at: None });
        let lost =
            |name: String| error(format!("{name} is missing, the machine's configuration names its disk"));
        findings.extend(snapshot.lost_disks().into_iter().map(lost));
        return Ok(findings);
    };
    for file in manifest.files.iter().filter(|file| !file.name.ends_with(".didx")) {
        // Disks are looked at by themselves.
        if !snapshot.files.contains(&file.name)
            && !file.name.ends_with(".fidx")
            && !snapshot.has(&file.name)?
        {
            findings.push(error(format!("{} is missing, the manifest lists it", file.name)));
        }
    }
    Ok(findings)
}

fn missing_chunks(disk: &PbsDisk, seen: &mut Seen) -> Result<Option<Finding>> {
    let (mut missing, mut names) = (0_u64, Vec::new());
    for number in 0..disk.index.header.chunks {
        let digest = disk.index.digest(number)?;
        // What zeros have for a digest is known.
        if disk.index.is_zero(number, &digest) || !seen.is_new(&digest) || disk.store.has(&digest)? {
            continue;
        }
        missing += 1;
        if names.len() < NAMED {
            names.push(hex(&digest));
        }
    }
    let more = if missing > NAMED as u64 { ", …" } else { "" };
    Ok((missing > 0).then(|| {
        let (file, names) = (&disk.file, names.join(", "));
        error(format!("{file}: {missing} chunks are missing in the datastore: {names}{more}"))
    }))
}

/// Reads every chunk once and every blob, and compares them with all that is known about them.
pub(crate) fn check(snapshot: &Snapshot, tick: Tick<'_>) -> Result<CheckReport> {
    snapshot.demand_key()?;
    let mut report = CheckReport::default();
    check_blobs(snapshot, &mut report)?;
    for lost in snapshot.lost_disks() {
        report.error(format!("{lost} is missing, the machine's configuration names its disk"), None);
    }
    let seen = Mutex::default();
    for file in &snapshot.files {
        match snapshot.disk(file) {
            Ok(disk) => check_disk(&disk, &seen, tick, &mut report)?,
            Err(e) if is_finding(&e) => report.error(e.to_string(), e.offset()),
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

fn check_blobs(snapshot: &Snapshot, report: &mut CheckReport) -> Result<()> {
    let listed = snapshot.manifest.iter().flat_map(|manifest| &manifest.files);
    let mut names: Vec<_> = listed.map(|file| file.name.as_str()).filter(|n| n.ends_with(".blob")).collect();
    if snapshot.manifest.is_none() {
        report.note("the snapshot has no manifest: a disk can be missing", None);
        names.push(crate::layout::CONFIG);
    }
    for name in names {
        match snapshot.blob(name) {
            Ok(_) => {}
            Err(e) if is_finding(&e) => report.error(e.to_string(), e.offset()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn check_disk(disk: &PbsDisk, seen: &Mutex<Seen>, tick: Tick<'_>, report: &mut CheckReport) -> Result<()> {
    let work = Work {
        disk,
        seen,
        tick,
        next: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        report: Mutex::new(std::mem::take(report)),
    };
    let readers = std::thread::available_parallelism().map_or(1, |count| count.get().min(READERS));
    let ends: Vec<Result<()>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(|| work.run())).collect();
        readers
            .into_iter()
            .map(|reader| {
                reader.join().unwrap_or_else(|_| Err(Error::contract("a reader of chunks panicked")))
            })
            .collect()
    });
    *report = work.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.total_chunks = report.total_chunks.saturating_add(disk.index.header.chunks);
    ends.into_iter().collect()
}

/// The chunks of one disk, shared by readers.
struct Work<'a> {
    disk: &'a PbsDisk,
    seen: &'a Mutex<Seen>,
    tick: Tick<'a>,
    next: AtomicU64,
    is_over: AtomicBool,
    report: Mutex<CheckReport>,
}

impl Work<'_> {
    fn run(&self) -> Result<()> {
        let done = self.read_chunks();
        if done.is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn read_chunks(&self) -> Result<()> {
        let header = &self.disk.index.header;
        let mut content = vec![0; header.chunk_size as usize];
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= header.chunks {
                break;
            }
            let digest = self.disk.index.digest(number)?;
            let len = header.len_of(number);
            if !self.disk.index.is_zero(number, &digest) {
                self.read_chunk(&digest, &mut content[..len as usize])?;
            }
            (self.tick)(len)?;
        }
        Ok(())
    }

    fn read_chunk(&self, digest: &Digest, content: &mut [u8]) -> Result<()> {
        let is_new = self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(digest);
        let loaded = is_new.then(|| self.disk.store.load(self.disk.wanted(digest), content));
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.allocated_chunks += 1;
        match loaded {
            None => {}
            Some(Ok(facts)) => {
                report.compressed_chunks += u64::from(facts.is_packed);
                report.image_end = report.image_end.saturating_add(facts.file_size);
            }
            Some(Err(e)) if is_finding(&e) => {
                report.error(format!("{}: {e}", self.disk.file), e.offset());
            }
            Some(Err(e)) => return Err(e),
        }
        Ok(())
    }
}
