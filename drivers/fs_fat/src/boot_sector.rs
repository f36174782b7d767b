//! The boot sector: is it FAT, and do its numbers fit together?

use driver_core::Volume;
use format_core::Result;

const SECTOR: usize = 512;
/// `FAT: General Overview`, "FAT Type Determination".
const MAX_FAT12_CLUSTERS: u64 = 4085;
const MAX_FAT16_CLUSTERS: u64 = 65_525;
const MAX_FAT32_CLUSTERS: u64 = 0x0fff_fff5;
/// Length of a directory entry.
const ENTRY_LEN: u64 = 32;

/// Facts of the boot sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatFacts {
    /// `FAT12`, `FAT16` or `FAT32`.
    pub version: &'static str,
    /// The volume serial number as `blkid` shows it: `XXXX-XXXX`.
    pub uuid: String,
    /// The label in the boot sector, if there is one.
    pub label: Option<String>,
    /// Size of the file system in bytes.
    pub size: u64,
}

/// The facts of the FAT file system on `volume`, `None` when there is none.
///
/// # Errors
/// What the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<FatFacts>> {
    if volume.size() < SECTOR as u64 {
        return Ok(None);
    }
    let mut sector = [0; SECTOR];
    volume.read_exact_at(0, &mut sector)?;
    Ok(parse(&sector, volume.size()))
}

fn le16(sector: &[u8; SECTOR], at: usize) -> u64 {
    let bytes = sector.get(at..).and_then(|rest| rest.first_chunk()).copied();
    u16::from_le_bytes(bytes.unwrap_or_default()).into()
}

fn le32(sector: &[u8; SECTOR], at: usize) -> u32 {
    let bytes = sector.get(at..).and_then(|rest| rest.first_chunk()).copied();
    u32::from_le_bytes(bytes.unwrap_or_default())
}

/// Names are those of the specification.
fn parse(sector: &[u8; SECTOR], volume_size: u64) -> Option<FatFacts> {
    let byte = |at: usize| sector.get(at).copied().unwrap_or_default();
    let bytes_per_sec = le16(sector, 11);
    let sec_per_clus = u64::from(byte(13));
    let rsvd_sec_cnt = le16(sector, 14);
    let num_fats = u64::from(byte(16));
    let root_ent_cnt = le16(sector, 17);
    let fat_sz_16 = le16(sector, 22);
    let either = |small: u64, large: u32| if small != 0 { small } else { large.into() };
    let tot_sec = either(le16(sector, 19), le32(sector, 32));
    let fat_sz = either(fat_sz_16, le32(sector, 36));
    let shaped = [0xeb, 0xe9].contains(&byte(0))
        && (byte(510), byte(511)) == (0x55, 0xaa)
        && [512, 1024, 2048, 4096].contains(&bytes_per_sec)
        && sec_per_clus.is_power_of_two()
        && bytes_per_sec * sec_per_clus <= 64 << 10
        && rsvd_sec_cnt > 0
        && (1..=2).contains(&num_fats)
        && (byte(21) == 0xf0 || byte(21) >= 0xf8)
        && fat_sz > 0;
    if !shaped {
        return None;
    }
    let root_sectors = (root_ent_cnt * ENTRY_LEN).div_ceil(bytes_per_sec);
    let data_start = rsvd_sec_cnt.checked_add(fat_sz.checked_mul(num_fats)?)?.checked_add(root_sectors)?;
    let clusters = tot_sec.checked_sub(data_start)? / sec_per_clus;
    let (version, bits, ids) = match clusters {
        0 => return None,
        n if n < MAX_FAT12_CLUSTERS => ("FAT12", 12, 39),
        n if n < MAX_FAT16_CLUSTERS => ("FAT16", 16, 39),
        n if n < MAX_FAT32_CLUSTERS => ("FAT32", 32, 67),
        _ => return None,
    };
    let size = tot_sec.checked_mul(bytes_per_sec)?;
    let is_fat32 = bits == 32;
    let consistent = (fat_sz_16 == 0) == is_fat32
        && (root_ent_cnt == 0) == is_fat32
        && fat_sz.checked_mul(bytes_per_sec)?.checked_mul(8)? >= (clusters + 2) * bits
        && (!is_fat32 || (2..clusters + 2).contains(&u64::from(le32(sector, 44))))
        && size <= volume_size;
    if !consistent {
        return None;
    }
    let id = le32(sector, ids);
    let label = sector.get(ids + 4..ids + 15).map(String::from_utf8_lossy).unwrap_or_default();
    let label = label.trim_end_matches([' ', '\0']);
    Some(FatFacts {
        version,
        uuid: format!("{:04X}-{:04X}", id >> 16, id & 0xffff),
        label: Some(label.to_owned()).filter(|label| !label.is_empty() && label != "NO NAME"),
        size,
    })
}
