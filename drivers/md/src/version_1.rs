//! Superblocks of version 1: `struct mdp_superblock_1` of the kernel's `linux/raid/md_p.h`; little-endian.

use crate::superblock::{LEN, MAGIC, Role, SECTOR, Superblock};
use format_core::{Bytes, Error, Result};

const HEADER: usize = 256;
/// What fits the superblock's 4096 bytes.
pub(crate) const MAX_DEVICES: u32 = ((LEN - HEADER) / 2) as u32;

/// Bits of `feature_map` that mean nothing for the content of an array at rest.
const HARMLESS: u32 = feature::BITMAP_OFFSET | feature::RECOVERY_OFFSET | feature::RAID0_LAYOUT;

mod feature {
    pub(super) const BITMAP_OFFSET: u32 = 1;
    pub(super) const RECOVERY_OFFSET: u32 = 2;
    pub(super) const RAID0_LAYOUT: u32 = 4096;
}

/// Bits that are refused, and why.
const REFUSED: &[(u32, &str)] = &[
    (4, "its reshape has not ended; let it end in the guest before exporting"),
    (
        8,
        "it has bad blocks on record (mdadm --examine-badblocks); replace the disk in the guest before exporting",
    ),
    (16, "a device is being replaced; let that end in the guest before exporting"),
    (32, "its reshape has not ended; let it end in the guest before exporting"),
    (64, "its data is being moved; let the reshape end in the guest before exporting"),
    (128, "a member is being brought up to date by the bitmap; let that end in the guest before exporting"),
    (256, "it is shared by a cluster; run mdadm --grow --bitmap=none in the guest before exporting"),
    (512, "it has a write journal; remove it in the guest before exporting"),
    (
        1024,
        "it has a partial parity log; run mdadm --grow --consistency-policy=resync in the guest before exporting",
    ),
    (
        2048,
        "it has partial parity logs; run mdadm --grow --consistency-policy=resync in the guest before exporting",
    ),
];

/// The versions and their places on a device, in sectors (md(4), "METADATA": 1.0 at the end, 1.1 at the start, 1.2 at
/// 4 KiB).
pub(crate) fn places(sectors: u64) -> Vec<(&'static str, u64)> {
    let end = sectors.checked_sub(16).map(|start| ("1.0", start & !7));
    [("1.2", 8), ("1.1", 0)].into_iter().chain(end).collect()
}

/// # Errors
/// `Corrupt` when a superblock that is meant for this place contradicts itself.
pub(crate) fn parse(bytes: &[u8; LEN], version: &'static str, at: u64) -> Result<Option<Superblock>> {
    let b = Bytes::new(bytes, at);
    // What lies here by its own account is no leftover or another device's.
    if b.u32_le(0)? != MAGIC || b.u32_le(4)? != 1 || b.u64_le(144)? != at / SECTOR {
        return Ok(None);
    }
    let max_dev = b.u32_le(220)?;
    if max_dev > MAX_DEVICES {
        return Err(Error::corrupt(format!("max_dev is {max_dev}, {MAX_DEVICES} fit")).at(at));
    }
    let (stored, computed) = (b.u32_le(216)?, checksum(b, max_dev as usize)?);
    if stored != computed {
        return Err(
            Error::corrupt(format!("sb_csum is {stored:#010x}, the content gives {computed:#010x}")).at(at)
        );
    }
    let features = b.u32_le(8)?;
    let bytes_of = |sectors: u64, field: &str| {
        sectors
            .checked_mul(SECTOR)
            .ok_or_else(|| Error::corrupt(format!("{field} is {sectors:#x} sectors")).at(at))
    };
    let mut roles = Vec::with_capacity(max_dev as usize);
    for number in 0..max_dev as usize {
        roles.push(role(b.u16_le(HEADER + 2 * number)?));
    }
    let name: Vec<u8> = b.slice(32, 32)?.iter().copied().take_while(|&byte| byte != 0).collect();
    Ok(Some(Superblock {
        version,
        uuid: b.array(16)?,
        name: String::from_utf8_lossy(&name).into_owned(),
        minor: None,
        member_uuid: b.slice(168, 16)?.chunks(4).map(hex).collect::<Vec<_>>().join(":"),
        level: b.u32_le(72)?.cast_signed(),
        layout: b.u32_le(76)?,
        chunk: u64::from(b.u32_le(88)?) * SECTOR,
        raid_disks: b.u32_le(92)?,
        size: bytes_of(b.u64_le(80)?, "size")?,
        events: b.u64_le(200)?,
        is_clean: b.u64_le(208)? == u64::MAX,
        has_bitmap: features & feature::BITMAP_OFFSET != 0,
        data_offset: bytes_of(b.u64_le(128)?, "data_offset")?,
        data_size: bytes_of(b.u64_le(136)?, "data_size")?,
        number: b.u32_le(160)?,
        roles,
        is_recovering: features & feature::RECOVERY_OFFSET != 0,
        is_write_mostly: b.u8(184)? & 1 != 0,
        unsupported: refusal(features),
        reserved: reserved(b, at, features)?,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn role(value: u16) -> Role {
    match value {
        0xffff => Role::Spare,
        0xfffd => Role::Journal,
        // The kernel takes what is above MD_DISK_ROLE_MAX for no role.
        0xff00.. => Role::Faulty,
        value => Role::Active(value.into()),
    }
}

fn refusal(features: u32) -> Option<String> {
    if let Some((_, why)) = REFUSED.iter().find(|(bit, _)| features & bit != 0) {
        return Some((*why).to_owned());
    }
    let unknown = features & !HARMLESS;
    (unknown != 0).then(|| format!("it has features that are not known here (feature_map {unknown:#x})"))
}

/// The superblock itself, its list of bad blocks, and where its bitmap begins.
fn reserved(b: Bytes<'_>, at: u64, features: u32) -> Result<Vec<(u64, u64)>> {
    let mut found = vec![(at, LEN as u64)];
    let beside = |offset: u32, len: u64| {
        let place = at.checked_add_signed(i64::from(offset.cast_signed()) * SECTOR.cast_signed());
        place.map(|place| (place, len)).ok_or_else(|| Error::corrupt("a part lies before the device").at(at))
    };
    if features & feature::BITMAP_OFFSET != 0 {
        found.push(beside(b.u32_le(96)?, SECTOR)?);
    }
    let (len, offset) = (u64::from(b.u16_le(186)?) * SECTOR, b.u32_le(188)?);
    if len > 0 && offset != 0 {
        found.push(beside(offset, len)?);
    }
    Ok(found)
}

/// The sum of all 32-bit words up to the last role, without the checksum itself, carries added.
fn checksum(b: Bytes<'_>, max_dev: usize) -> Result<u32> {
    let len = HEADER + 2 * max_dev;
    let covered = b.slice(0, len)?;
    let (words, rest) = covered.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|&word| u64::from(u32::from_le_bytes(word))).sum();
    if let [low, high] = *rest {
        sum += u64::from(u16::from_le_bytes([low, high]));
    }
    sum -= u64::from(b.u32_le(216)?);
    Ok(((sum & 0xffff_ffff) + (sum >> 32)) as u32)
}
