//! What the guest's file systems do not use, as bytes of the disks: a capture of a physical disk need not read it.
//!
//! Whatever is not certainly free is in use: gaps between partitions (boot loaders lie there), what cannot be mapped to the
//! disks, what carries two signatures, and all of a disk whose table contradicts itself.

use crate::disk_ranges::each_on_disk;
use crate::filesystems::{Notes, open_volume};
use crate::inspect::{MAX_FILE_SYSTEMS, Opening};
use crate::look::tables;
use crate::stack::{self, Candidate};
use driver_core::{Guest, TableKind};
use driver_partitions::{free_swap, other_signature, overlaps, read_table};
use format_core::{Disk, Error, ErrorKind, Overlay, RangeSet, Result};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// Ranges of all disks together (some 40 MiB of memory); what comes later counts as in use.
const MAX_RANGES: usize = 1 << 20;
/// At both ends of a disk with a table, which lies there, whatever the partitions say.
const TABLE_ROOM: u64 = 64 << 10;

/// What disks do not use.
#[derive(Clone, Debug, Default)]
pub struct FreeSpace {
    /// For each disk, in bytes of it.
    pub disks: Vec<RangeSet>,
    /// Who was asked.
    pub notes: Vec<FreeNote>,
}

/// What one volume said, or why nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreeNote {
    /// Which volume: `disk 0, partition 2`, `/dev/mapper/vg-root`.
    pub place: String,
    /// What lies there, as `rehome inspect` calls it.
    pub kind: Option<String>,
    /// Its size in bytes; 0 for a whole disk that is not looked into.
    pub size: u64,
    /// Bytes of it that hold nothing, in pieces that are worth a name.
    pub free: u64,
    /// Why all of it counts as in use.
    pub why_not: Option<String>,
}

/// Asks what lies on these disks what it does not use. Nothing is written; journals are replayed in memory, and orphans
/// count as in use.
///
/// # Errors
/// What the disks report. A file system that cannot or should not be believed is part of the answer.
pub fn free_space(disks: &[Disk]) -> Result<FreeSpace> {
    let overlays: Vec<_> = disks.iter().map(|disk| Overlay::new(disk.clone())).collect();
    let mut guest = tables(&overlays)?;
    let mut found = FreeSpace { disks: vec![RangeSet::default(); disks.len()], notes: Vec::new() };
    let (opening, mut notes, mut count) = (Opening::default(), Notes::default(), 0);
    let candidates = stack::stack(&mut guest, &overlays, &opening, &mut notes)?;
    for (device, range) in std::mem::take(&mut notes.unused) {
        each_on_disk(&device, range, &mut |disk, range| found.add(disk, range, &mut count));
    }
    for (number, candidate) in candidates.iter().enumerate() {
        let asked = if number < MAX_FILE_SYSTEMS {
            ask(candidate, &opening, &mut notes)?
        } else {
            Asked { kind: None, free: Err(format!("{MAX_FILE_SYSTEMS} file systems are asked at most")) }
        };
        let mut note = FreeNote {
            place: guest.place_name(candidate.id),
            kind: asked.kind,
            size: candidate.volume.size(),
            free: 0,
            why_not: None,
        };
        match asked.free {
            Ok(ranges) => {
                let before = count;
                for range in ranges {
                    note.free += range.end - range.start;
                    if let Some(device) = &candidate.device {
                        each_on_disk(device, range, &mut |disk, range| found.add(disk, range, &mut count));
                    }
                }
                if note.free > 0 && count == before {
                    note.free = 0;
                    note.why_not = Some("where it lies on the disks is not known here".into());
                }
            }
            Err(reason) => note.why_not = Some(reason),
        }
        found.notes.push(note);
    }
    if count > MAX_RANGES {
        let text = format!("more than {MAX_RANGES} pieces are free: what came later counts as in use");
        found.notes.push(FreeNote {
            place: "all disks".into(),
            kind: None,
            size: 0,
            free: 0,
            why_not: Some(text),
        });
    }
    found.keep_tables(&guest, &overlays)?;
    Ok(found)
}

/// What a volume said.
struct Asked {
    kind: Option<String>,
    free: Result<Vec<Range<u64>>, String>,
}

fn ask(candidate: &Candidate, opening: &Opening, notes: &mut Notes) -> Result<Asked> {
    let mut facts = None;
    let opened = open_volume(candidate, opening, &mut facts, notes);
    let kind = facts.map(|facts| facts.kind);
    let free = match opened {
        Ok(Some(fs)) => fs.free_ranges().map(|free| free.ok_or("it does not say what is free")),
        Ok(None) if kind.as_deref() == Some("swap") => {
            let free = free_swap(candidate.volume.as_ref())?;
            Ok(free.map(|range| vec![range]).ok_or("its header is not as mkswap writes it"))
        }
        Ok(None) => Ok(Err("nobody here knows what is free in it")),
        Err(error) => Err(error),
    };
    let mut free = match free {
        Ok(free) => free.map_err(str::to_owned),
        Err(error) => Err(reason(error)?),
    };
    if let (Ok(_), Some(kind)) = (&free, &kind)
        && let Some(other) = other_signature(candidate.volume.as_ref(), kind)?
    {
        free = Err(format!("it has the signature of {other}, too: whose it is, is not certain"));
    }
    Ok(Asked { kind, free })
}

/// Why a file system is not believed; a machine that fails stays an error.
fn reason(error: Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Temporary | ErrorKind::Contract => Err(error),
        _ => Ok(error.to_string()),
    }
}

impl FreeSpace {
    fn add(&mut self, disk: usize, range: Range<u64>, count: &mut usize) {
        *count += 1;
        if let Some(set) = self.disks.get_mut(disk).filter(|_| *count <= MAX_RANGES) {
            set.add(range.start, range.end - range.start);
        }
    }

    /// Takes out where tables lie, and all of a disk whose table does not tell for certain what belongs to whom.
    fn keep_tables(&mut self, guest: &Guest, overlays: &[Arc<Overlay>]) -> Result<()> {
        let disks = self.disks.iter_mut().zip(overlays).zip(&guest.disks).enumerate();
        for (number, ((set, overlay), facts)) in disks {
            let (_, obstacles) = read_table(overlay)?;
            let shared = overlaps(&facts.partitions)
                .first()
                .map(|(later, before)| format!("partition {later} overlaps partition {before}"));
            if let Some(reason) = shared.or_else(|| obstacles.into_iter().next()) {
                *set = RangeSet::default();
                let (place, why_not) = (format!("disk {number}"), Some(reason));
                self.notes.push(FreeNote { place, kind: None, size: 0, free: 0, why_not });
            }
            if facts.table != TableKind::None {
                set.remove(0, TABLE_ROOM);
                set.remove(overlay.base().virtual_size().saturating_sub(TABLE_ROOM), TABLE_ROOM);
            }
        }
        Ok(())
    }
}
