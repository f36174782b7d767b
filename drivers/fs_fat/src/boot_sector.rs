//! The boot sector: is it FAT, and do its numbers fit together?
//!
//! Names are those of `fatgen103`, "BIOS Parameter Block". What has no 16-bit FAT size is FAT32 however few clusters it
//! has: mkfs.fat makes such volumes, and Linux, blkid, GRUB and EDK2 read them so.

use driver_core::Volume;
use driver_core::block::{byte, le16, le32};
use format_core::Result;

pub(crate) const SECTOR: usize = 512;
/// `FAT: General Overview`, "FAT Type Determination".
const MAX_FAT12_CLUSTERS: u64 = 4085;
const MAX_FAT16_CLUSTERS: u64 = 65_525;
const MAX_FAT32_CLUSTERS: u64 = 0x0fff_fff5;
/// Length of a directory entry.
pub(crate) const ENTRY_LEN: usize = 32;

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

/// How wide the entries of the table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Fat12,
    Fat16,
    Fat32,
}

impl Width {
    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }
}

/// Where the root folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// FAT12 and FAT16: a fixed area, in bytes.
    Fixed { offset: u64, len: u64 },
    /// FAT32: a chain of clusters like any folder's.
    Cluster(u32),
}

/// Where everything is: offsets and sizes in bytes. All of it lies inside of the volume.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) width: Width,
    pub(crate) sector: u64,
    pub(crate) cluster: u64,
    /// Data clusters; their numbers begin with 2.
    pub(crate) clusters: u32,
    pub(crate) fat_start: u64,
    /// Size of one FAT.
    pub(crate) fat_len: u64,
    pub(crate) fats: u64,
    /// The only FAT that counts, where mirroring is off (`BPB_ExtFlags`).
    pub(crate) only_fat: Option<u64>,
    pub(crate) root: Root,
    pub(crate) data_start: u64,
    /// FSInfo sector.
    pub(crate) fs_info: Option<u64>,
    /// Linux and Windows NT keep "in use" (1) and "to be checked" (2) in `BS_Reserved1`.
    pub(crate) in_use: u8,
}

impl Geometry {
    /// Byte offset of a data cluster; its number has been checked.
    pub(crate) fn offset_of(&self, cluster: u32) -> u64 {
        self.data_start + u64::from(cluster.saturating_sub(2)) * self.cluster
    }

    pub(crate) fn is_cluster(&self, number: u32) -> bool {
        number >= 2 && number - 2 < self.clusters
    }
}

/// The facts of the FAT file system on `volume`, `None` when there is none.
///
/// # Errors
/// What the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<FatFacts>> {
    Ok(load(volume)?.map(|(facts, _)| facts))
}

/// The same with the geometry.
pub(crate) fn load(volume: &dyn Volume) -> Result<Option<(FatFacts, Geometry)>> {
    if volume.size() < SECTOR as u64 {
        return Ok(None);
    }
    let mut sector = [0; SECTOR];
    volume.read_exact_at(0, &mut sector)?;
    Ok(parse(&sector, volume.size()))
}

/// The numbers of the BIOS Parameter Block.
struct Bpb {
    bytes_per_sec: u64,
    sec_per_clus: u64,
    rsvd_sec_cnt: u64,
    num_fats: u64,
    root_ent_cnt: u64,
    fat_sz_16: u64,
    fat_sz: u64,
    tot_sec: u64,
}

impl Bpb {
    /// The numbers, `None` when one alone shows that this is no FAT.
    fn read(sector: &[u8; SECTOR]) -> Option<Self> {
        let either = |small: u16, large: u32| if small != 0 { small.into() } else { u64::from(large) };
        let bpb = Self {
            bytes_per_sec: le16(sector, 11).into(),
            sec_per_clus: byte(sector, 13).into(),
            rsvd_sec_cnt: le16(sector, 14).into(),
            num_fats: byte(sector, 16).into(),
            root_ent_cnt: le16(sector, 17).into(),
            fat_sz_16: le16(sector, 22).into(),
            fat_sz: either(le16(sector, 22), le32(sector, 36)),
            tot_sec: either(le16(sector, 19), le32(sector, 32)),
        };
        let shaped = [0xeb, 0xe9].contains(&byte(sector, 0))
            && (byte(sector, 510), byte(sector, 511)) == (0x55, 0xaa)
            && [512, 1024, 2048, 4096].contains(&bpb.bytes_per_sec)
            && bpb.sec_per_clus.is_power_of_two()
            && bpb.bytes_per_sec * bpb.sec_per_clus <= 64 << 10
            && bpb.rsvd_sec_cnt > 0
            && (1..=2).contains(&bpb.num_fats)
            && (byte(sector, 21) == 0xf0 || byte(sector, 21) >= 0xf8)
            && bpb.fat_sz > 0;
        shaped.then_some(bpb)
    }

    fn width(&self, clusters: u64) -> Option<(&'static str, Width)> {
        match clusters {
            0 => None,
            n if self.fat_sz_16 == 0 && n < MAX_FAT32_CLUSTERS => Some(("FAT32", Width::Fat32)),
            n if n < MAX_FAT12_CLUSTERS => Some(("FAT12", Width::Fat12)),
            n if n < MAX_FAT16_CLUSTERS => Some(("FAT16", Width::Fat16)),
            _ => None,
        }
    }
}

fn parse(sector: &[u8; SECTOR], volume_size: u64) -> Option<(FatFacts, Geometry)> {
    let bpb = Bpb::read(sector)?;
    let root_len = bpb.root_ent_cnt * ENTRY_LEN as u64;
    let root_sector = bpb.rsvd_sec_cnt.checked_add(bpb.fat_sz.checked_mul(bpb.num_fats)?)?;
    let data_sector = root_sector.checked_add(root_len.div_ceil(bpb.bytes_per_sec))?;
    let clusters = bpb.tot_sec.checked_sub(data_sector)? / bpb.sec_per_clus;
    let (version, width) = bpb.width(clusters)?;
    let is_fat32 = width == Width::Fat32;
    let size = bpb.tot_sec.checked_mul(bpb.bytes_per_sec)?;
    let fat_len = bpb.fat_sz.checked_mul(bpb.bytes_per_sec)?;
    let flags = le16(sector, 40);
    let only_fat = (is_fat32 && flags & 0x80 != 0).then_some(u64::from(flags & 0xf));
    let root_clus = le32(sector, 44);
    let consistent = (bpb.root_ent_cnt == 0) == is_fat32
        && fat_len.checked_mul(8)? >= (clusters + 2) * width.bits()
        && (!is_fat32 || (2..clusters + 2).contains(&u64::from(root_clus)))
        && only_fat.is_none_or(|number| number < bpb.num_fats)
        && size <= volume_size;
    if !consistent {
        return None;
    }
    let info_sector = u64::from(le16(sector, 48));
    let has_info = is_fat32 && (1..bpb.rsvd_sec_cnt).contains(&info_sector);
    let fixed = Root::Fixed { offset: root_sector * bpb.bytes_per_sec, len: root_len };
    let geometry = Geometry {
        width,
        sector: bpb.bytes_per_sec,
        cluster: bpb.bytes_per_sec * bpb.sec_per_clus,
        clusters: u32::try_from(clusters).ok()?,
        fat_start: bpb.rsvd_sec_cnt * bpb.bytes_per_sec,
        fat_len,
        fats: bpb.num_fats,
        only_fat,
        root: if is_fat32 { Root::Cluster(root_clus) } else { fixed },
        data_start: data_sector * bpb.bytes_per_sec,
        fs_info: has_info.then_some(info_sector * bpb.bytes_per_sec),
        in_use: byte(sector, if is_fat32 { 65 } else { 37 }),
    };
    Some((facts(sector, version, size), geometry))
}

fn facts(sector: &[u8; SECTOR], version: &'static str, size: u64) -> FatFacts {
    let ids = if version == "FAT32" { 67 } else { 39 };
    let id = le32(sector, ids);
    let label = sector.get(ids + 4..ids + 15).map(String::from_utf8_lossy).unwrap_or_default();
    let label = label.trim_end_matches([' ', '\0']);
    FatFacts {
        version,
        uuid: format!("{:04X}-{:04X}", id >> 16, id & 0xffff),
        label: Some(label.to_owned()).filter(|label| !label.is_empty() && label != "NO NAME"),
        size,
    }
}
