//! GUID partition table (UEFI specification 2.10, chapter 5).

use driver_core::{PartitionFacts, PartitionRole};
use format_core::{Bytes, Overlay, Result};

const SIGNATURE: &[u8] = b"EFI PART";
/// The specification sets no upper bound; Linux accepts what fits a table of this many bytes.
const MAX_TABLE: u64 = 4 << 20;

/// Linux looks at as many entries (`block/partitions/core.c`, `DISK_MAX_PARTS`), and so does this.
const MAX_PARTITIONS: u32 = 255;

/// A table that could be trusted.
pub(crate) struct Gpt {
    pub(crate) disk_guid: String,
    /// Bytes of a block in which the table counts.
    pub(crate) block: u64,
    pub(crate) partitions: Vec<PartitionFacts>,
    pub(crate) obstacles: Vec<String>,
    /// What lies outside the disk.
    pub(crate) cut_off: Vec<String>,
}

/// The primary table, or the backup at the end of the disk when the primary is damaged. The inner error is the reason
/// why neither can be used.
pub(crate) fn read(overlay: &Overlay, size: u64) -> Result<Result<Gpt, String>> {
    let mut reasons = Vec::new();
    for block in [512, 4096] {
        let places = [("primary", Some(block)), ("backup", size.checked_sub(block))];
        for (name, at) in places.into_iter().filter_map(|(name, at)| Some((name, at?))) {
            match read_one(overlay, size, at, block)? {
                Ok(mut gpt) => {
                    if name == "backup" {
                        gpt.obstacles.push(format!(
                            "the primary GPT is damaged ({}), the backup is used",
                            reasons.join("; ")
                        ));
                    }
                    return Ok(Ok(gpt));
                }
                Err(reason) if block == 512 => reasons.push(format!("{name}: {reason}")),
                Err(_) => {}
            }
        }
    }
    Ok(Err(reasons.join("; ")))
}

fn read_one(overlay: &Overlay, size: u64, at: u64, block: u64) -> Result<Result<Gpt, String>> {
    let mut header = [0; 512];
    if at.saturating_add(512) > size {
        return Ok(Err(format!("the disk ends before {at:#x}")));
    }
    overlay.read_merged_at(at, &mut header)?;
    let header = match Header::parse(&header, block, at) {
        Ok(header) => header,
        Err(reason) => return Ok(Err(reason)),
    };
    if header.table.checked_add(header.table_len).is_none_or(|end| end > size) {
        return Ok(Err(format!("the entries are at {:#x}, the disk ends at {size:#x}", header.table)));
    }
    let mut table = vec![0; header.table_len as usize];
    overlay.read_merged_at(header.table, &mut table)?;
    let found = crc32fast::hash(&table);
    if found != header.table_crc {
        return Ok(Err(format!(
            "the entries' CRC is {found:#010x}, the header says {:#010x}",
            header.table_crc
        )));
    }
    let (mut partitions, mut obstacles, mut cut_off) = (Vec::new(), Vec::new(), Vec::new());
    for (number, entry) in (1..=MAX_PARTITIONS).zip(table.chunks_exact(header.entry_size)) {
        match partition(number, Bytes::new(entry, 0), block, size)? {
            Found::Free => {}
            Found::Partition(facts) => partitions.push(*facts),
            Found::Wrong(reason) => obstacles.push(reason),
            Found::Outside(reason) => cut_off.push(reason),
        }
    }
    Ok(Ok(Gpt { disk_guid: header.disk_guid, block, partitions, obstacles, cut_off }))
}

/// A header that could be trusted.
pub(crate) struct Header {
    disk_guid: String,
    /// Where the entries start, in bytes.
    pub(crate) table: u64,
    pub(crate) table_len: u64,
    pub(crate) table_crc: u32,
    pub(crate) entry_size: usize,
}

impl Header {
    pub(crate) fn parse(sector: &[u8; 512], block: u64, at: u64) -> Result<Self, String> {
        let bytes = Bytes::new(sector, at);
        let field = |e: format_core::Error| e.to_string();
        if sector[..8] != *SIGNATURE {
            return Err(format!("no signature at {at:#x}"));
        }
        let header_size = bytes.u32_le(12).map_err(field)? as usize;
        if !(92..=512).contains(&header_size) {
            return Err(format!("the header has {header_size} bytes, 92 to 512 are possible"));
        }
        let mut covered = sector[..header_size].to_vec();
        covered[16..20].fill(0);
        let (found, stored) = (crc32fast::hash(&covered), bytes.u32_le(16).map_err(field)?);
        if found != stored {
            return Err(format!("the header's CRC is {found:#010x}, it says {stored:#010x}"));
        }
        let lba = bytes.u64_le(72).map_err(field)?;
        let (count, entry_size) = (bytes.u32_le(80).map_err(field)?, bytes.u32_le(84).map_err(field)?);
        let table_len = u64::from(count) * u64::from(entry_size);
        if entry_size < 128 || entry_size % 8 != 0 || table_len > MAX_TABLE {
            return Err(format!("{count} entries of {entry_size} bytes are not possible"));
        }
        let table = lba.checked_mul(block).ok_or_else(|| format!("the entries start at block {lba:#x}"))?;
        Ok(Self {
            disk_guid: guid(bytes.array(56).map_err(field)?),
            table,
            table_len,
            table_crc: bytes.u32_le(88).map_err(field)?,
            entry_size: entry_size as usize,
        })
    }
}

/// What an entry says.
enum Found {
    Free,
    Partition(Box<PartitionFacts>),
    /// It contradicts itself.
    Wrong(String),
    /// Linux does not see it, not even the part that lies on the disk (`block/partitions/efi.c`, `is_pte_valid`).
    Outside(String),
}

fn partition(number: u32, entry: Bytes<'_>, block: u64, disk_size: u64) -> Result<Found> {
    let type_id: [u8; 16] = entry.array(0)?;
    if type_id == [0; 16] {
        return Ok(Found::Free);
    }
    let (first, last) = (entry.u64_le(32)?, entry.u64_le(40)?);
    let start = first.checked_mul(block);
    let end = last.checked_add(1).and_then(|end| end.checked_mul(block));
    let (Some(start), Some(end)) = (start, end.filter(|&end| end <= disk_size)) else {
        return Ok(Found::Outside(format!(
            "partition {number} is {first:#x} to {last:#x} in blocks of {block} bytes, outside the disk of {disk_size:#x} \
             bytes: Linux does not see it"
        )));
    };
    if start >= end {
        return Ok(Found::Wrong(format!(
            "partition {number} ends at {last:#x}, before its start {first:#x}"
        )));
    }
    let units: Vec<u16> =
        entry.slice(56, 72)?.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let name = String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned();
    let type_id = guid(type_id);
    Ok(Found::Partition(Box::new(PartitionFacts {
        number,
        start,
        size: end - start,
        role: role(&type_id),
        type_id,
        bootable: entry.u64_le(48)? & 4 != 0,
        name: (!name.is_empty()).then_some(name),
        part_uuid: Some(guid(entry.array(16)?)),
        file_system: None,
    })))
}

fn role(type_id: &str) -> PartitionRole {
    match type_id {
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => PartitionRole::Esp,
        "21686148-6449-6e6f-744e-656564454649" => PartitionRole::BiosBoot,
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => PartitionRole::Swap,
        "e6d6d379-f507-44c2-a23c-238f2a3df928" => PartitionRole::Lvm,
        "a19d880f-05fc-4d3b-a006-743f0f84911e" => PartitionRole::Raid,
        _ => PartitionRole::Data,
    }
}

/// A GUID as Linux spells it: the first three fields are little-endian on disk.
fn guid(b: [u8; 16]) -> String {
    let (a, b1, c) = (
        u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        u16::from_le_bytes([b[4], b[5]]),
        u16::from_le_bytes([b[6], b[7]]),
    );
    let rest: String = b[10..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{a:08x}-{b1:04x}-{c:04x}-{:02x}{:02x}-{rest}", b[8], b[9])
}
