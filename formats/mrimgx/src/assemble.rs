//! Puts the map of a disk together: partitions from their indexes, and around them boot records and the first track.

use crate::crypt::Cipher;
use crate::error::MrimgxError;
use crate::index::{Elements, IndexPlace, Merged};
use crate::json::{Disk, Partition};
use crate::layout::{RESERVED_BLOCK, name};
use crate::map::{Blocks, Content, Map, Region};
use crate::metadata::block_of;
use crate::set::{DiskPlaces, Set};
use crate::table::{extended_ranges, has_protective, has_signature, parse_extended, starts};
use format_core::{LayerContext, Opener, Result, Storage, Warning};
use std::sync::Arc;

/// A disk and what a person should know about it.
pub(crate) struct Assembled {
    pub(crate) map: Map,
    pub(crate) warnings: Vec<Warning>,
}

/// The files of the chain with their metadata, the full index first.
pub(crate) struct Chain<'a> {
    pub(crate) set: &'a Set,
    /// As [`Set::chain_files`], a list of disks for each.
    pub(crate) places: &'a [Vec<DiskPlaces>],
    pub(crate) opener: &'a Arc<dyn Opener>,
}

impl<'a> Chain<'a> {
    /// Everything about the chain of `set`.
    pub(crate) fn load(set: &Set) -> Result<Vec<Vec<DiskPlaces>>> {
        let top = &set.top()?.description;
        let layout = |disks: &[Disk]| -> Vec<(i32, Vec<(i32, u64)>)> {
            let partition = |found: &Partition| (found.header.partition_number, found.header.block_size);
            disks
                .iter()
                .map(|disk| (disk.header.disk_number, disk.partitions.iter().map(partition).collect()))
                .collect()
        };
        let wanted = layout(&top.disks);
        let mut places = Vec::new();
        for file in set.chain_files() {
            if layout(&file.description.disks) != wanted {
                let number = file.description.header.file_number;
                return Err(MrimgxError::OtherLayout { number }.into());
            }
            places.push(file.places()?);
        }
        Ok(places)
    }

    pub(crate) fn new(set: &'a Set, places: &'a [Vec<DiskPlaces>], context: &'a LayerContext) -> Self {
        Self { set, places, opener: &context.opener }
    }

    /// The map of the disk with this index.
    pub(crate) fn assemble(&self, index: usize, cipher: Option<&Cipher>) -> Result<Assembled> {
        let top = self.set.top()?;
        let none = || format_core::Error::usage(format!("there is no disk {index}"));
        let disk = top.description.disks.get(index).ok_or_else(none)?;
        let places = self.places.last().and_then(|disks| disks.get(index)).ok_or_else(none)?;
        let size = disk.geometry.disk_size;
        let mut map = Map::new(size);
        for (number, partition) in disk.partitions.iter().enumerate() {
            self.add_partition(&mut map, (index, number), disk, partition)?;
        }
        let storage = top.storage.as_ref();
        let track0 = block_of(&places.blocks, name::TRACK_0)?.load(storage, cipher)?;
        let extended = places.blocks.iter().find(|block| block.name == *name::EXTENDED);
        let extended = extended.map(|block| block.load(storage, cipher)).transpose()?;
        let records = parse_extended(extended.as_deref().unwrap_or_default(), size)?;
        check_track(disk, &track0, records.is_empty())?;
        for record in &records {
            map.fill(record.offset, &record.bytes, "an extended boot record")?;
        }
        map.fill(0, &track0, "the first track")?;
        let starts = starts(&track0, &records, u64::from(disk.geometry.bytes_per_sector));
        Ok(Assembled { map, warnings: warnings(disk, &starts, has_protective(&track0)) })
    }

    fn add_partition(
        &self,
        map: &mut Map,
        (disk_index, index): (usize, usize),
        disk: &Disk,
        partition: &Partition,
    ) -> Result<()> {
        let number = partition.header.partition_number;
        let places: Vec<_> = self
            .places
            .iter()
            .filter_map(|disks| disks.get(disk_index)?.partitions.get(index))
            .zip(self.set.chain_files())
            .collect();
        for (place, file) in &places {
            place.block.verify(file.storage.as_ref())?;
        }
        let Some(&(top_place, top)) = places.last() else { return Ok(()) };
        let geometry = &partition.geometry;
        let outside = || out_of_place(partition);
        add_reserved(map, disk, partition, (top_place, &top.storage))?;
        let lead = partition.file_system.lcn0_offset.checked_sub(partition.file_system.start);
        let lead = lead.ok_or_else(outside)?;
        let start =
            geometry.start.checked_add(lead).filter(|start| *start <= map.size).ok_or_else(outside)?;
        // The last block may be longer than what is left of the partition.
        let room = match geometry.length {
            0 => map.size - start,
            length => length.checked_sub(lead).ok_or_else(outside)?.min(map.size - start),
        };
        let block_size = partition.header.block_size;
        let elements = self.elements(&places, number, room.div_ceil(block_size))?;
        let len = elements.count.saturating_mul(block_size).min(room);
        let content = blocks_of(disk, partition, elements, block_size, false);
        Ok(map.add(Region { start, len, content, what: format!("partition {number}") })?)
    }

    /// The index of a partition, put together where it is a difference.
    fn elements(
        &self,
        places: &[(&IndexPlace, &crate::set::BackupFile)],
        partition: i32,
        most: u64,
    ) -> Result<Elements> {
        let Some(((full, file), deltas)) = places.split_first() else {
            return Err(MrimgxError::NoFull.into());
        };
        if full.blocks > most {
            return Err(MrimgxError::DeltaBlock { partition, block: full.blocks - 1, count: most }.into());
        }
        if deltas.is_empty() {
            return Ok(Elements::new(Arc::clone(&file.storage), full.blocks_at, full.blocks));
        }
        let mut merged = Merged::new(self.opener.scratch()?, file.storage.as_ref(), full, partition)?;
        for (delta, file) in deltas {
            merged.apply(file.storage.as_ref(), delta, most)?;
        }
        merged.finish()
    }
}

fn out_of_place(partition: &Partition) -> MrimgxError {
    let found = format!("{:?}", partition.geometry);
    MrimgxError::Value { what: "the place of a partition", found }
}

fn blocks_of(
    disk: &Disk,
    partition: &Partition,
    elements: Elements,
    block_size: u64,
    is_reserved: bool,
) -> Content {
    let (disk, partition) = (disk.header.disk_number, partition.header.partition_number);
    Content::Blocks(Box::new(Blocks { elements, block_size, disk, partition, is_reserved }))
}

/// The reserved sectors before a file system's blocks, from the newest file of the chain.
fn add_reserved(
    map: &mut Map,
    disk: &Disk,
    partition: &Partition,
    (place, storage): (&IndexPlace, &Arc<dyn Storage>),
) -> Result<(), MrimgxError> {
    let what = format!("the reserved sectors of partition {}", partition.header.partition_number);
    let len = partition.file_system.reserved_sectors_byte_length;
    let geometry = &partition.geometry;
    let start = geometry.start.checked_add(geometry.boot_sector_offset);
    let start = start.ok_or_else(|| out_of_place(partition))?;
    // Without a length nobody reads what the index may list.
    if len > 0 && len.div_ceil(RESERVED_BLOCK) != place.reserved {
        let wanted = len.div_ceil(RESERVED_BLOCK).saturating_mul(RESERVED_BLOCK);
        let found = place.reserved.saturating_mul(RESERVED_BLOCK);
        return Err(MrimgxError::Length { what, found, wanted });
    }
    let elements = Elements::new(Arc::clone(storage), place.reserved_at, place.reserved);
    map.add(Region { start, len, content: blocks_of(disk, partition, elements, RESERVED_BLOCK, true), what })
}

/// No checksum covers the name of a metadata block and whether it is compressed: what depends on that shows in the content.
fn check_track(disk: &Disk, track0: &[u8], no_records: bool) -> Result<(), MrimgxError> {
    let sector = u64::from(disk.geometry.bytes_per_sector);
    let is_partitioned = matches!(disk.header.disk_format.as_str(), "mbr" | "gpt");
    if !(track0.len() as u64).is_multiple_of(sector) || is_partitioned && !has_signature(track0) {
        return Err(MrimgxError::Track { length: track0.len() as u64 });
    }
    let ranges = extended_ranges(track0, sector);
    let is_logical =
        |partition: &Partition| ranges.iter().any(|range| range.contains(&partition.geometry.start));
    if no_records && disk.partitions.iter().any(is_logical) {
        return Err(MrimgxError::BlockMissing { name: "$EPT" });
    }
    Ok(())
}

fn warnings(disk: &Disk, starts: &[u64], is_gpt: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let held: Vec<u64> = disk.partitions.iter().map(|partition| partition.geometry.start).collect();
    let left_out: Vec<_> =
        starts.iter().filter(|start| !held.contains(start)).map(|start| format!("{start:#x}")).collect();
    if !left_out.is_empty() {
        let text = format!(
            "the backup does not hold the partitions of disk {} at {}: they read as zeros",
            disk.header.disk_number,
            left_out.join(", ")
        );
        warnings.push(Warning::new("mrimgx-partitions-left-out", text));
    }
    if is_gpt {
        let text = "the backup does not hold the second partition table (GPT) at the end of the disk: sgdisk -e writes it \
                    anew, most systems do so by themselves";
        warnings.push(Warning::new("mrimgx-no-second-gpt", text));
    }
    warnings
}
