//! What lies in some ranges of a disk: partitions, file systems, files.

use convert_engine::{ChangedRange, Control};
use driver_core::{PartitionFacts, TableKind};
use driver_fs_ext::{Owned, Owner};
use driver_partitions::{Window, identify, read_table};
use format_core::{Disk, Overlay, Result};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// Places that are told at most.
const MAX_PLACES: usize = 1 << 18;
/// Partitions of a disk whose files are looked for at most: a machine has fewer, and each can be made to take its time.
const MAX_FILE_SYSTEMS: usize = 16;
/// Sectors of a GPT at either end of a disk, with the protective MBR at the start.
const GPT_SECTORS: u64 = 34;

/// A piece of a range and what lies there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Guest offset of its first byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Number of the partition, 0 for a disk without a table; `None` between partitions.
    pub partition: Option<u32>,
    /// What is in the partition, as `rehome inspect` calls it.
    pub file_system: Option<String>,
    /// Kind of what lies there: `file`, `metadata`, `free`, `partition table`, `no partition`, `unknown`.
    pub kind: &'static str,
    /// What of the file or of the file system.
    pub part: Option<String>,
    /// The file's inode.
    pub inode: Option<u32>,
    /// The file's paths in its file system.
    #[serde(serialize_with = "as_list")]
    pub paths: Arc<[String]>,
}

fn as_list<S: serde::Serializer>(paths: &Arc<[String]>, serializer: S) -> Result<S::Ok, S::Error> {
    paths.as_ref().serialize(serializer)
}

/// What lies in some ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Located {
    /// The places, by offset within each partition.
    pub places: Vec<Place>,
    /// Why something could not be found out, one sentence each.
    pub gaps: Vec<String>,
}

/// Tells what lies in the ranges, which must ascend and not overlap. Journals are replayed in memory.
///
/// # Errors
/// What the disk reports; `Temporary` when interrupted. Damage in its file systems is a gap in the answer.
pub fn locate(disk: &Disk, ranges: &[ChangedRange], control: Control<'_>) -> Result<Located> {
    let mut located = Located::default();
    let size = disk.virtual_size();
    let ranges: Vec<_> =
        ranges.iter().map(|range| range.offset..size.min(range.offset.saturating_add(range.len))).collect();
    if ranges.is_empty() {
        return Ok(located);
    }
    let overlay = Overlay::new(disk.clone());
    let (facts, obstacles) = read_table(&overlay)?;
    located.gaps.extend(obstacles);
    located.gaps.extend(facts.cut_off);
    let mut partitions = facts.partitions;
    partitions.sort_by_key(|partition| partition.start);
    let mut at = 0;
    let mut file_systems = 0;
    for partition in &partitions {
        control.check()?;
        let end = partition.start.saturating_add(partition.size).min(size);
        located.outside(&pieces(&ranges, at..partition.start), facts.table, size);
        let inside = pieces(&ranges, partition.start.max(at)..end);
        if !inside.is_empty() {
            located.inside(&overlay, partition, &inside, file_systems < MAX_FILE_SYSTEMS)?;
            file_systems += 1;
        }
        at = at.max(end);
    }
    located.outside(&pieces(&ranges, at..size), facts.table, size);
    Ok(located)
}

/// What of the ranges lies in `window`.
fn pieces(ranges: &[Range<u64>], window: Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= window.start);
    let met = ranges.iter().skip(first).take_while(|range| range.start < window.end);
    let cut = met.map(|range| range.start.max(window.start)..range.end.min(window.end));
    cut.filter(|range| range.start < range.end).collect()
}

impl Located {
    fn add(&mut self, place: Place) {
        if self.places.len() < MAX_PLACES {
            self.places.push(place);
        } else if self.places.len() == MAX_PLACES {
            let text = format!("there are more than {MAX_PLACES} places; the rest is not told");
            if self.gaps.last() != Some(&text) {
                self.gaps.push(text);
            }
        }
    }

    fn outside(&mut self, ranges: &[Range<u64>], table: TableKind, size: u64) {
        for range in ranges {
            let is_table = match table {
                TableKind::None => false,
                TableKind::Mbr => range.start < 512,
                TableKind::Gpt => {
                    range.start < GPT_SECTORS * 512
                        || range.end > size.saturating_sub((GPT_SECTORS - 1) * 512)
                }
            };
            let kind = if is_table { "partition table" } else { "no partition" };
            self.add(place(range, None, kind));
        }
    }

    fn inside(
        &mut self,
        overlay: &Arc<Overlay>,
        partition: &PartitionFacts,
        ranges: &[Range<u64>],
        with_files: bool,
    ) -> Result<()> {
        let number = partition.number;
        let window = match Window::of_partition(overlay, partition) {
            Ok(window) => window,
            Err(error) => {
                self.gaps.push(error.to_string());
                ranges.iter().for_each(|range| self.add(place(range, Some((number, None)), "unknown")));
                return Ok(());
            }
        };
        let (start, name) = (partition.start, name_of(&window)?);
        let mut owned = None;
        if !with_files {
            self.gaps.push(format!(
                "partition {number}: files are looked for in {MAX_FILE_SYSTEMS} partitions at most"
            ));
        } else if driver_fs_ext::probe(&window)?.is_some() {
            let relative: Vec<_> =
                ranges.iter().map(|range| range.start - start..range.end - start).collect();
            match driver_fs_ext::owners(Arc::new(window), &relative) {
                Ok(found) => {
                    self.gaps.extend(found.gaps.iter().map(|gap| format!("partition {number}: {gap}")));
                    owned = Some(found.pieces);
                }
                Err(error) => self.gaps.push(format!("partition {number}: {error}")),
            }
        }
        let in_partition = Some((number, name));
        match owned {
            Some(pieces) => {
                pieces.iter().for_each(|owned| self.add(owned_place(owned, start, in_partition.clone())));
            }
            None => ranges.iter().for_each(|range| self.add(place(range, in_partition.clone(), "unknown"))),
        }
        Ok(())
    }
}

/// What lies in a partition.
fn name_of(window: &Window) -> Result<Option<String>> {
    if let Some(facts) = driver_fs_ext::probe(window)? {
        return Ok(Some(facts.kind.into()));
    }
    if driver_fs_fat::probe(window)?.is_some() {
        return Ok(Some("vfat".into()));
    }
    Ok(identify(window)?.map(|facts| facts.kind))
}

fn place(range: &Range<u64>, partition: Option<(u32, Option<String>)>, kind: &'static str) -> Place {
    let (partition, file_system) = partition.map_or((None, None), |(number, name)| (Some(number), name));
    let (offset, len) = (range.start, range.end - range.start);
    Place { offset, len, partition, file_system, kind, part: None, inode: None, paths: Arc::default() }
}

fn owned_place(owned: &Owned, start: u64, partition: Option<(u32, Option<String>)>) -> Place {
    let range = owned.range.start + start..owned.range.end + start;
    match &owned.owner {
        Owner::File { inode, paths, part } => Place {
            inode: Some(*inode),
            paths: Arc::clone(paths),
            part: Some((*part).to_owned()).filter(|part| !part.is_empty()),
            ..place(&range, partition, "file")
        },
        Owner::Metadata(what) => Place { part: Some(what.clone()), ..place(&range, partition, "metadata") },
        Owner::Free => place(&range, partition, "free"),
        Owner::Unknown => place(&range, partition, "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_edges_of_a_window() {
        let ranges = [0..10, 20..30, 40..50];
        assert_eq!(pieces(&ranges, 5..45), [5..10, 20..30, 40..45]);
        assert_eq!(pieces(&ranges, 10..20), []);
        assert_eq!(pieces(&ranges, 8..21), [8..10, 20..21]);
        assert_eq!(pieces(&ranges, 30..30), []);
    }

    #[test]
    fn a_disk_without_a_table_is_one_partition_and_what_nobody_knows_is_said() {
        let disk = Disk::blank(1 << 20);
        let interrupted = std::sync::atomic::AtomicBool::new(false);
        let control = Control { observer: &convert_engine::Silent, interrupted: &interrupted, threads: 1 };
        let found = locate(&disk, &[ChangedRange { offset: 4096, len: 512 }], control).unwrap();
        assert_eq!(found.places.len(), 1);
        let place = &found.places[0];
        assert_eq!((place.offset, place.len, place.partition, place.kind), (4096, 512, Some(0), "unknown"));
        assert_eq!(locate(&disk, &[], control).unwrap(), Located::default());
    }
}
