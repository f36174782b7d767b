//! Raw disks, and whatever else begins like one: partition tables.
//!
//! The first sector holds boot code, which is somebody's program, and a table of four entries behind it: only the table is taken, and only
//! when it looks like one. Of a GPT all is covered by checksums, so what is no GPT is not taken for one.

use super::{Found, Image, le};

const SECTOR: u64 = 512;
/// Where the boot code ends: what follows is the disk's signature, the table and 55 AA.
const TABLE: usize = 440;
/// Entries of a GPT that are taken: as many as every tool makes.
const ENTRIES: u64 = 128;

pub(super) fn partitions(image: &Image<'_>, head: &[u8], found: &mut Found) -> std::io::Result<()> {
    found.format = "raw or unknown";
    match head.get(TABLE..512).filter(|table| is_table(table)) {
        Some(table) => found.add("mbr-table", TABLE as u64, table.to_vec()),
        None => found.leave("the first sector holds no partition table"),
    }
    if !head.get(512..).is_some_and(|second| second.starts_with(b"EFI PART")) {
        return Ok(());
    }
    let header = image.read(SECTOR, 92)?;
    let (first, count, len) = (le::<8>(&header, 72), le::<4>(&header, 80), le::<4>(&header, 84));
    let (Some(first), Some(count), Some(128)) = (first, count, len) else {
        found.leave("the GPT has entries of an unusual size");
        return Ok(());
    };
    let whole = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        u64::from(crc.sum())
    };
    let mut blank = header.clone();
    blank.iter_mut().skip(16).take(4).for_each(|byte| *byte = 0);
    if le::<4>(&header, 16) != Some(whole(&blank)) || !(2..=64).contains(&first) || count > ENTRIES {
        found.leave("the header of the GPT has a wrong checksum or unusual numbers");
        return Ok(());
    }
    let entries = image.read(first * SECTOR, count * 128)?;
    found.add("gpt-header", SECTOR, header.clone());
    if le::<4>(&header, 88) == Some(whole(&entries)) {
        found.add("gpt-entries", first * SECTOR, entries);
    } else {
        found.leave("the entries of the GPT have a wrong checksum");
    }
    Ok(())
}

/// Two bytes that are zero as a rule, four entries whose first byte is 0 or 80, and 55 AA; boot sectors of file systems, which end the same,
/// have text there.
fn is_table(table: &[u8]) -> bool {
    let entries = table.get(6..70).unwrap_or_default();
    let is_entry = |entry: &[u8]| match entry {
        // Unused ones are all zeros; used ones have a kind and a length.
        [0 | 0x80, _, _, _, kind, .., a, b, c, d] => {
            (*kind != 0 && [a, b, c, d] != [&0; 4]) || entry.iter().all(|b| *b == 0)
        }
        _ => false,
    };
    table.ends_with(&[0x55, 0xaa])
        && entries.len() == 64
        && entries.chunks(16).all(is_entry)
        && entries.iter().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_boot_sectors_are_no_table() {
        let mut table = vec![0; 72];
        table[70..].copy_from_slice(&[0x55, 0xaa]);
        assert!(!is_table(&table), "an empty one tells nothing");
        table[6] = 0x80;
        table[6 + 4] = 0x83;
        table[6 + 12] = 1;
        assert!(is_table(&table));
        table[22..30].copy_from_slice(b"Remove d");
        assert!(!is_table(&table));
        assert!(!is_table(&[b'x'; 72]) && !is_table(&[]));
    }
}
