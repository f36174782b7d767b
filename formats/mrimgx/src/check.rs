//! Which files of the set are missing, and whether every block is what its MD5 says.

use crate::container::Backup;
use crate::map::{Blocks, Content, Region};
use crate::read::MrimgxDisk;
use format_core::{CheckReport, Container, Error, ErrorKind, Finding, Result, Severity, Tick};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads that read.
const READERS: usize = 4;

/// What is wrong with the source, and no failure of the host.
fn is_finding(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::SourceMissing | ErrorKind::Limit | ErrorKind::Unsupported
    )
}

fn blocks_of(disk: &MrimgxDisk) -> impl Iterator<Item = (&Region, &Blocks)> {
    disk.map.regions.iter().filter_map(|region| match &region.content {
        Content::Blocks(blocks) => Some((region, blocks.as_ref())),
        Content::Bytes(_) => None,
    })
}

/// Files that indexes refer to and that are not there.
pub(crate) fn completeness(backup: &Backup) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut add = |message: String| findings.push(Finding { severity: Severity::Error, message, at: None });
    if backup.demand_key().is_err() {
        return Ok(findings);
    }
    let mut missing = BTreeMap::<u16, (u64, Error)>::new();
    for index in 0..backup.disks().len() {
        let disk = match backup.disk(index) {
            Ok((disk, _)) => disk,
            Err(e) if is_finding(&e) => {
                add(e.to_string());
                continue;
            }
            Err(e) => return Err(e),
        };
        for (_, blocks) in blocks_of(&disk) {
            for number in 0..blocks.elements.count {
                let element = blocks.elements.get(number)?;
                let Some(error) = backup.set.storage(element.file).err().filter(|_| element.length > 0)
                else {
                    continue;
                };
                missing.entry(element.file).or_insert_with(|| (0, error.into())).0 += 1;
            }
        }
    }
    for (count, error) in missing.values() {
        add(format!("{error}: {count} blocks lie in it"));
    }
    Ok(findings)
}

/// Reads every block and compares it with its MD5; metadata, too.
pub(crate) fn check(backup: &Backup, tick: Tick<'_>) -> Result<CheckReport> {
    backup.demand_key()?;
    let mut report = CheckReport::default();
    for (file, disks) in backup.set.chain_files().zip(&backup.places) {
        for block in disks.iter().flat_map(|disk| disk.blocks.iter().chain(&disk.partition_blocks)) {
            match block.verify(file.storage.as_ref()) {
                Err(e) if is_finding(&e) => {
                    let number = file.description.header.file_number;
                    report.error(format!("file {number}: {e}"), Some(block.at));
                }
                other => other?,
            }
        }
    }
    for index in 0..backup.disks().len() {
        match backup.disk(index) {
            Ok((disk, _)) => {
                for (region, blocks) in blocks_of(&disk) {
                    check_region(&disk, region, blocks, tick, &mut report)?;
                }
            }
            // Metadata were told about above.
            Err(e) if is_finding(&e) => {
                if report.errors == 0 {
                    report.error(e.to_string(), e.offset());
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

fn check_region(
    disk: &MrimgxDisk,
    region: &Region,
    blocks: &Blocks,
    tick: Tick<'_>,
    report: &mut CheckReport,
) -> Result<()> {
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let shared = Mutex::new(std::mem::take(report));
    let read = || -> Result<()> {
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= blocks.elements.count {
                break;
            }
            let checked = disk.reader.check(region, blocks, number);
            let mut report = shared.lock().unwrap_or_else(PoisonError::into_inner);
            report.total_chunks += 1;
            match checked {
                Ok(0) => {}
                Ok(_) => {
                    report.allocated_chunks += 1;
                    report.compressed_chunks += u64::from(disk.reader.is_packed);
                }
                Err(e) if is_finding(&e) => report.error(e.to_string(), e.offset()),
                Err(e) => return Err(e),
            }
            drop(report);
            tick(blocks.block_size)?;
        }
        Ok(())
    };
    let run = || read().inspect_err(|_| is_over.store(true, Ordering::Relaxed));
    let readers = std::thread::available_parallelism().map_or(1, |count| count.get().min(READERS));
    let ends: Vec<Result<()>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(run)).collect();
        let panicked = |_| Err(Error::contract("a reader of blocks panicked"));
        readers.into_iter().map(|reader| reader.join().unwrap_or_else(panicked)).collect()
    });
    *report = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    ends.into_iter().collect()
}
