//! Partition tables as windows of a disk, and what lies in each partition.
//!
//! [`read_table`] reads MBR (with logical partitions), GPT (primary or backup header) and hybrids, where the GPT decides; [`identify`] names the file
//! system or container in a window by its signature. [`move_gpt_backup`] fits a GPT to a disk of another size; nothing else
//! here writes.

mod beyond;
mod gpt;
mod mbr;
mod resize;
mod signature;
mod swap;
mod window;

use driver_core::{DiskFacts, HybridEntry, PartitionFacts, TableKind, Volume};
use format_core::{Overlay, Result};
use std::sync::Arc;

pub use resize::move_gpt_backup;
pub use signature::{identify, needed_size, other_signature};
pub use swap::free_swap;
pub use window::Window;

/// Linux, block/partitions/efi.c, `pmbr_part_valid`.
const NO_GUARD: &str = "the MBR's entry 0xee does not begin at sector 1: Linux sees no partitions there unless it is started \
                        with the argument gpt; write a protective MBR first (sgdisk, gdisk)";

/// Reads the partition table of the disk below `overlay`. What contradicts itself is left out and said in the second
/// value; what the disk ends before is in [`DiskFacts::cut_off`].
///
/// # Errors
/// What the disk reports.
pub fn read_table(overlay: &Arc<Overlay>) -> Result<(DiskFacts, Vec<String>)> {
    let size = overlay.base().virtual_size();
    let mut facts = DiskFacts { size, ..DiskFacts::default() };
    let mut obstacles = Vec::new();
    let mut sector = [0; 512];
    if size >= 512 {
        overlay.read_merged_at(0, &mut sector)?;
    }
    if sector.ends_with(&[0x55, 0xaa]) {
        facts.boot_code = mbr::boot_code(&sector);
    }
    let is_ext = is_ext(overlay, size)?;
    let Some(mbr) = mbr::parse(&sector).filter(|mbr| mbr.is_used() || !is_ext) else {
        facts.partitions = vec![window::whole_disk(size)];
        return Ok((facts, obstacles));
    };
    if mbr.is_protective() {
        match gpt::read(overlay, size)? {
            Ok(table) => {
                obstacles.extend(table.obstacles);
                facts.cut_off = table.cut_off;
                facts.hybrid = mbr.hybrid(table.block, &table.partitions);
                obstacles.extend(contradictions(&facts.hybrid));
                (facts.table, facts.id, facts.partitions) =
                    (TableKind::Gpt, Some(table.disk_guid), table.partitions);
                // What Linux does not see is not the guest's, and must not be edited.
                if !mbr.is_guard_valid() {
                    facts.partitions.clear();
                    obstacles.push(NO_GUARD.into());
                }
            }
            // With an entry 0xee the MBR's others are not used either (Linux, block/partitions/msdos.c).
            Err(reason) => {
                (facts.table, facts.id) = (TableKind::Mbr, Some(format!("0x{:08x}", mbr.signature)));
                obstacles
                    .push(format!("the GPT cannot be used, and Linux sees no partitions then: {reason}"));
            }
        }
        return Ok((facts, obstacles));
    }
    facts.table = TableKind::Mbr;
    facts.id = Some(format!("0x{:08x}", mbr.signature));
    let table = mbr::partitions(&mbr, size, |lba, sector| match lba.checked_mul(512) {
        Some(at) if at.saturating_add(512) <= size => overlay.read_merged_at(at, sector).map(|()| true),
        _ => Ok(false),
    })?;
    facts.partitions = table.found;
    for beyond in &table.beyond {
        let (harmless, text) = beyond::judge(beyond, &facts.partitions, overlay)?;
        if harmless { obstacles.push(text) } else { facts.cut_off.push(text) }
    }
    Ok((facts, obstacles))
}

/// Partitions that share bytes with one before them: its number, and that of the other. What is changed in one would change both.
#[must_use]
pub fn overlaps(partitions: &[PartitionFacts]) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for (place, later) in partitions.iter().enumerate() {
        let end = later.start.saturating_add(later.size);
        let shares = |before: &&PartitionFacts| {
            before.start < end && later.start < before.start.saturating_add(before.size)
        };
        found.extend(partitions.iter().take(place).find(shares).map(|before| (later.number, before.number)));
    }
    found
}

/// Whether the disk as a whole is an ext file system, which leaves its first sector to boot code with an MBR's signature
/// (kernel documentation, "ext4: Super Block": `s_magic`).
fn is_ext(overlay: &Overlay, size: u64) -> Result<bool> {
    let mut magic = [0; 2];
    if size < 2048 {
        return Ok(false);
    }
    overlay.read_merged_at(1024 + 0x38, &mut magic)?;
    Ok(magic == [0x53, 0xef])
}

/// Where the MBR in front of a GPT says something else than the GPT, by which Linux goes.
fn contradictions(hybrid: &[HybridEntry]) -> Vec<String> {
    let lost = hybrid.iter().filter(|entry| entry.partition.is_none());
    lost.map(|entry| {
            format!(
                "entry {} of the hybrid MBR (type {}) is {:#x}+{:#x}, which is no partition of the GPT: Linux does not see \
                 it, what goes by the MBR does",
                entry.number, entry.type_id, entry.start, entry.size
            )
        })
        .collect()
}

/// Whether `volume` begins with a partition table that has entries.
///
/// # Errors
/// What the volume reports.
pub fn has_table(volume: &dyn Volume) -> Result<bool> {
    let mut sector = [0; 512];
    if volume.size() < 512 {
        return Ok(false);
    }
    volume.read_exact_at(0, &mut sector)?;
    Ok(mbr::parse(&sector).is_some_and(|mbr| mbr.is_used()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_share_a_byte_are_told() {
        let partition = |(number, start, size)| PartitionFacts { number, start, size, ..Default::default() };
        let of =
            |list: &[(u32, u64, u64)]| overlaps(&list.iter().copied().map(partition).collect::<Vec<_>>());
        assert_eq!(of(&[(1, 0, 10), (2, 10, 5), (5, 20, u64::MAX)]), []);
        assert_eq!(of(&[(1, 0, 10), (2, 9, 5), (3, 14, 1)]), [(2, 1)]);
        assert_eq!(of(&[(1, 5, 10), (2, 0, 100), (3, 7, 1)]), [(2, 1), (3, 1)]);
        assert_eq!(of(&[(1, u64::MAX, u64::MAX), (2, u64::MAX, 1)]), []);
    }
}
