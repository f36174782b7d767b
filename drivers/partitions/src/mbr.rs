//! Master boot record and the extended boot records of logical partitions.

use driver_core::{HybridEntry, PartitionFacts, PartitionRole};
use format_core::Result;

/// Linux numbers logical partitions from 5 and stops at 255 partitions; so does this.
const MAX_LOGICAL: u32 = 251;

/// The type of the entry that keeps programs off a GPT.
const GUARD: u8 = 0xee;

/// A parsed MBR or EBR sector.
pub(crate) struct Mbr {
    pub(crate) signature: u32,
    entries: [Entry; 4],
}

#[derive(Clone, Copy)]
struct Entry {
    flag: u8,
    kind: u8,
    start: u32,
    sectors: u32,
}

impl Entry {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn is_used(self) -> bool {
        self.kind != 0 && self.sectors > 0
    }
}

impl Mbr {
    /// Whether it has an entry.
    pub(crate) fn is_used(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_used())
    }

    /// Whether it guards a GPT.
    pub(crate) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == GUARD)
    }

    /// Whether an entry guards the GPT as UEFI 2.10, 5.2.3 and Linux (`block/partitions/efi.c`) want it: from sector 1 on.
    pub(crate) fn is_guard_valid(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == GUARD && entry.start == 1)
    }

    /// What it says besides, on a disk with a GPT whose blocks have `block` bytes.
    pub(crate) fn hybrid(&self, block: u64, partitions: &[PartitionFacts]) -> Vec<HybridEntry> {
        let others = (1..).zip(&self.entries).filter(|(_, entry)| entry.is_used() && entry.kind != GUARD);
        let facts = |(number, entry): (u32, &Entry)| {
            let (start, size) = (u64::from(entry.start) * block, u64::from(entry.sectors) * block);
            let same = partitions.iter().find(|partition| (partition.start, partition.size) == (start, size));
            HybridEntry {
                number,
                type_id: format!("0x{:02x}", entry.kind),
                start,
                size,
                bootable: entry.flag == 0x80,
                partition: same.map(|partition| partition.number),
            }
        };
        others.map(facts).collect()
    }
}

/// `None` when the sector holds no partition table: no signature, or a file system's boot sector.
pub(crate) fn parse(sector: &[u8; 512]) -> Option<Mbr> {
    let ([.., 0x55, 0xaa], head) = (sector, &sector[..446]) else { return None };
    let word = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
    let entries = std::array::from_fn(|i| {
        let at = 446 + 16 * i;
        Entry { flag: sector[at], kind: sector[at + 4], start: word(at + 8), sectors: word(at + 12) }
    });
    // A boot sector of a FAT or NTFS volume ends with the same signature; its boot flags are no flags then.
    let flags_fit = entries.iter().all(|entry: &Entry| entry.flag & 0x7f == 0);
    let is_volume = head[3..11] == *b"NTFS    " || head[54..58] == *b"FAT1" || head[82..87] == *b"FAT32";
    let used = entries.iter().any(|entry| entry.is_used());
    ((used || !is_volume) && flags_fit).then(|| Mbr { signature: word(440), entries })
}

/// Whose boot code the sector holds.
pub(crate) fn boot_code(sector: &[u8; 512]) -> Option<String> {
    let code = &sector[..440];
    let holds = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    if format_core::is_zero(code) {
        return None;
    }
    let name = if holds(b"GRUB") {
        "GRUB"
    } else if holds(b"SYSLINUX") || holds(b"EXTLINUX") {
        "syslinux"
    } else if holds(b"BOOTMGR") {
        "Windows"
    } else {
        "unknown"
    };
    Some(name.into())
}

/// What the tables say.
#[derive(Default)]
pub(crate) struct Partitions {
    pub(crate) found: Vec<PartitionFacts>,
    /// What does not lie on the disk.
    pub(crate) beyond: Vec<Beyond>,
}

/// Something that the disk ends before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// The partition, which is cut as Linux does (`block/partitions/core.c`), and where it should end.
    Cut { number: u32, end: u64 },
    /// The partition, which begins there.
    Partition { number: u32, start: u64 },
    /// The table that should say where this logical partition lies.
    Table { number: u32, start: u64 },
}

/// All partitions; `read` gives a sector by its number, or false where the disk ends before it.
pub(crate) fn partitions(
    mbr: &Mbr,
    disk_size: u64,
    mut read: impl FnMut(u64, &mut [u8; 512]) -> Result<bool>,
) -> Result<Partitions> {
    let mut found = Partitions::default();
    for (number, entry) in (1..).zip(&mbr.entries) {
        if entry.is_used() && !entry.is_extended() {
            found.add(number, u64::from(entry.start), *entry, mbr.signature, disk_size);
        }
    }
    // Linux goes on counting from one extended partition to the next, and no table is followed twice.
    let (mut number, mut seen) = (5, std::collections::BTreeSet::new());
    for extended in mbr.entries.iter().filter(|entry| entry.is_extended()) {
        let base = u64::from(extended.start);
        let mut here = base;
        while number < 5 + MAX_LOGICAL && seen.insert(here) {
            let mut sector = [0; 512];
            if !read(here, &mut sector)? {
                found.beyond.push(Beyond::Table { number, start: here.saturating_mul(512) });
                break;
            }
            let Some(ebr) = parse(&sector) else { break };
            let [logical, next, ..] = ebr.entries;
            if logical.is_used() {
                found.add(number, here + u64::from(logical.start), logical, mbr.signature, disk_size);
                number += 1;
            }
            if !next.is_used() || !next.is_extended() {
                break;
            }
            here = base + u64::from(next.start);
        }
    }
    Ok(found)
}

impl Partitions {
    /// Adds a partition that begins at sector `start`, as far as it lies on the disk.
    fn add(&mut self, number: u32, start: u64, entry: Entry, signature: u32, disk_size: u64) {
        let (start, len) = (start.saturating_mul(512), u64::from(entry.sectors) * 512);
        if start >= disk_size {
            self.beyond.push(Beyond::Partition { number, start });
            return;
        }
        let size = len.min(disk_size - start);
        if size < len {
            self.beyond.push(Beyond::Cut { number, end: start.saturating_add(len) });
        }
        self.found.push(facts(number, start, size, entry, signature));
    }
}

fn facts(number: u32, start: u64, size: u64, entry: Entry, signature: u32) -> PartitionFacts {
    let role = match entry.kind {
        0xef => PartitionRole::Esp,
        0x82 => PartitionRole::Swap,
        0x8e => PartitionRole::Lvm,
        0xfd => PartitionRole::Raid,
        _ => PartitionRole::Data,
    };
    PartitionFacts {
        number,
        start,
        size,
        type_id: format!("0x{:02x}", entry.kind),
        role,
        bootable: entry.flag == 0x80,
        name: None,
        part_uuid: Some(format!("{signature:08x}-{number:02x}")),
        file_system: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(entries: &[(u8, u8, u32, u32)]) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[440..444].copy_from_slice(&0xdead_beefu32.to_le_bytes());
        for (i, (flag, kind, start, sectors)) in entries.iter().enumerate() {
            let at = 446 + 16 * i;
            (sector[at], sector[at + 4]) = (*flag, *kind);
            sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        }
        (sector[510], sector[511]) = (0x55, 0xaa);
        sector
    }

    #[test]
    fn logical_partitions_are_followed_and_a_loop_ends() {
        let disk = 10_000 * 512;
        let mbr = parse(&sector(&[(0x80, 0x83, 100, 200), (0, 0x05, 1000, 5000)])).unwrap();
        let found = partitions(&mbr, disk, |lba, out| {
            *out = match lba {
                1000 => sector(&[(0, 0x83, 1, 99), (0, 0x05, 500, 100)]),
                // The second EBR points back to the first.
                1500 => sector(&[(0, 0x82, 1, 50), (0, 0x05, 0, 100)]),
                _ => return Ok(false),
            };
            Ok(true)
        })
        .unwrap();
        assert_eq!(found.beyond, []);
        let found = found.found;
        let places: Vec<_> = found.iter().map(|p| (p.number, p.start / 512, p.size / 512)).collect();
        assert_eq!(places, [(1, 100, 200), (5, 1001, 99), (6, 1501, 50)]);
        assert_eq!(found[0].part_uuid.as_deref(), Some("deadbeef-01"));
        assert!(found[0].bootable);
        assert_eq!(found[2].role, PartitionRole::Swap);
    }

    #[test]
    fn no_number_is_given_twice_where_there_are_several_extended_partitions() {
        let mbr = parse(&sector(&[(0, 0x05, 100, 9), (0, 0x0f, 200, 9), (0, 0x85, 100, 9)])).unwrap();
        let found = partitions(&mbr, 1000 * 512, |_, out| {
            *out = sector(&[(0, 0x83, 1, 8)]);
            Ok(true)
        });
        let places: Vec<_> = found.unwrap().found.iter().map(|p| (p.number, p.start / 512)).collect();
        assert_eq!(places, [(5, 101), (6, 201)]);
    }

    #[test]
    fn partitions_outside_the_disk_are_cut_or_left_out() {
        let mbr =
            parse(&sector(&[(0, 0x83, 8, 100), (0, 0x83, 500, 1), (0, 0x83, u32::MAX, u32::MAX)])).unwrap();
        let Partitions { found, beyond } = partitions(&mbr, 50 * 512, |_, _| Ok(false)).unwrap();
        assert_eq!(found.iter().map(|p| (p.number, p.size)).collect::<Vec<_>>(), [(1, 42 * 512)]);
        let last = u64::from(u32::MAX) * 512;
        let lost = |number, start| Beyond::Partition { number, start };
        assert_eq!(beyond, [Beyond::Cut { number: 1, end: 108 * 512 }, lost(2, 500 * 512), lost(3, last)]);
    }

    #[test]
    fn a_chain_of_logical_partitions_that_leaves_the_disk_is_told() {
        let mbr = parse(&sector(&[(0, 0x05, 10, 5000)])).unwrap();
        let Partitions { found, beyond } = partitions(&mbr, 50 * 512, |lba, out| {
            *out = sector(&[(0, 0x83, 1, 20), (0, 0x05, 500, 100)]);
            Ok(lba == 10)
        })
        .unwrap();
        assert_eq!((found.len(), beyond), (1, vec![Beyond::Table { number: 6, start: 510 * 512 }]));
    }

    #[test]
    fn a_volume_boot_sector_is_no_table() {
        let mut ntfs = sector(&[]);
        ntfs[3..11].copy_from_slice(b"NTFS    ");
        assert!(parse(&ntfs).is_none());
        assert!(parse(&[0; 512]).is_none());
        assert!(parse(&sector(&[(0x33, 0x83, 1, 1)])).is_none(), "a flag that is no flag");
    }
}
