//! Names what lies in a volume by its signature, with the names that blkid uses.

use driver_core::{FsFacts, Volume};
use format_core::Result;

/// One signature: name, offset, bytes, and where a UUID of 16 plain bytes lies, if it does.
struct Signature {
    kind: &'static str,
    at: u64,
    bytes: &'static [u8],
    uuid_at: Option<u64>,
}

/// Containers first: what they hold may look like a file system further inside.
const SIGNATURES: &[Signature] = &[
    Signature { kind: "crypto_LUKS", at: 0, bytes: b"LUKS\xba\xbe", uuid_at: None },
    Signature { kind: "BitLocker", at: 3, bytes: b"-FVE-FS-", uuid_at: None },
    Signature { kind: "LVM2_member", at: 512, bytes: b"LABELONE", uuid_at: None },
    Signature { kind: "linux_raid_member", at: 4096, bytes: b"\xfc\x4e\x2b\xa9", uuid_at: None },
    Signature { kind: "linux_raid_member", at: 0, bytes: b"\xfc\x4e\x2b\xa9", uuid_at: None },
    Signature { kind: "xfs", at: 0, bytes: b"XFSB", uuid_at: Some(32) },
    Signature { kind: "btrfs", at: 0x1_0040, bytes: b"_BHRfS_M", uuid_at: Some(0x1_0020) },
    Signature { kind: "ntfs", at: 3, bytes: b"NTFS    ", uuid_at: None },
    Signature { kind: "swap", at: 4086, bytes: b"SWAPSPACE2", uuid_at: Some(0x40c) },
    Signature { kind: "swsuspend", at: 4086, bytes: b"S1SUSPEND", uuid_at: None },
];

/// What lies in `volume`, when it has a signature that is known here. ext and FAT have their own rooms.
///
/// # Errors
/// What the volume reports.
pub fn identify(volume: &dyn Volume) -> Result<Option<FsFacts>> {
    for signature in SIGNATURES {
        if !matches_at(volume, signature.at, signature.bytes)? {
            continue;
        }
        let uuid = match signature.uuid_at {
            Some(at) => read_uuid(volume, at)?,
            None if signature.kind == "crypto_LUKS" => read_luks_uuid(volume)?,
            None => None,
        };
        let label = if signature.kind == "swap" { read_swap_label(volume)? } else { None };
        return Ok(Some(FsFacts { kind: signature.kind.into(), uuid, label, ..FsFacts::default() }));
    }
    Ok(None)
}

/// What has no driver here, or is no file system, and may lie where a file system was: whoever made it did not wipe all of
/// what was there before.
const OTHERS: &[Signature] = &[
    Signature { kind: "ext", at: 0x438, bytes: b"\x53\xef", uuid_at: None },
    Signature { kind: "zfs_member", at: 0x4018, bytes: b"version\0", uuid_at: None },
    Signature { kind: "zfs_member", at: 0x4_4018, bytes: b"version\0", uuid_at: None },
    Signature { kind: "bcache", at: 4120, bytes: b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca", uuid_at: None },
    Signature { kind: "ceph_bluestore", at: 0, bytes: b"bluestore block device", uuid_at: None },
    Signature { kind: "oracleasm", at: 32, bytes: b"ORCLDISK", uuid_at: None },
    Signature { kind: "VMFS", at: 0x10_0000, bytes: b"\x0d\xd0\x01\xc0", uuid_at: None },
    Signature { kind: "exfat", at: 3, bytes: b"EXFAT   ", uuid_at: None },
    Signature { kind: "ReFS", at: 3, bytes: b"ReFS\0\0\0\0", uuid_at: None },
    Signature { kind: "f2fs", at: 0x400, bytes: b"\x10\x20\xf5\xf2", uuid_at: None },
    Signature { kind: "jfs", at: 0x8000, bytes: b"JFS1", uuid_at: None },
    Signature { kind: "reiserfs", at: 0x1_0034, bytes: b"ReIsEr", uuid_at: None },
];

/// A signature in `volume` of something else than `kind`, as blkid or a driver's `probe` names that: then it is not certain
/// whose the volume is. The three kinds of ext are one.
///
/// # Errors
/// What the volume reports.
pub fn other_signature(volume: &dyn Volume, kind: &str) -> Result<Option<&'static str>> {
    let kind = if matches!(kind, "ext2" | "ext3" | "ext4") { "ext" } else { kind };
    for signature in SIGNATURES.iter().chain(OTHERS).filter(|signature| signature.kind != kind) {
        if matches_at(volume, signature.at, signature.bytes)? {
            return Ok(Some(signature.kind));
        }
    }
    Ok(None)
}

/// Bytes that what [`identify`] called `kind` needs, where it says so. A swap area is none: nothing is lost with it.
///
/// # Errors
/// What the volume reports.
pub fn needed_size(volume: &dyn Volume, kind: &str) -> Result<Option<u64>> {
    match kind {
        // Sectors and their size in the BIOS Parameter Block.
        "ntfs" => {
            let Some(sectors) = read_number(volume, 0x28, 8)? else { return Ok(None) };
            Ok(read_number(volume, 0x0b, 2)?.and_then(|size| sectors.checked_mul(size)))
        }
        // `total_bytes` of `dev_item` in the superblock: this device's share.
        "btrfs" => read_number(volume, 0x1_00d1, 8),
        _ => Ok(None),
    }
}

/// A little-endian number of `len` bytes, at most 8.
fn read_number(volume: &dyn Volume, at: u64, len: usize) -> Result<Option<u64>> {
    let mut bytes = [0; 8];
    let Some(wanted) = bytes.get_mut(..len) else { return Ok(None) };
    if at.saturating_add(len as u64) > volume.size() {
        return Ok(None);
    }
    volume.read_exact_at(at, wanted)?;
    Ok(Some(u64::from_le_bytes(bytes)))
}

fn matches_at(volume: &dyn Volume, at: u64, wanted: &[u8]) -> Result<bool> {
    if at.saturating_add(wanted.len() as u64) > volume.size() {
        return Ok(false);
    }
    let mut found = vec![0; wanted.len()];
    volume.read_exact_at(at, &mut found)?;
    Ok(found == wanted)
}

fn read_uuid(volume: &dyn Volume, at: u64) -> Result<Option<String>> {
    if at.saturating_add(16) > volume.size() {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    volume.read_exact_at(at, &mut bytes)?;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text =
        [&hex[..4], &hex[4..6], &hex[6..8], &hex[8..10], &hex[10..]].map(|part| part.concat()).join("-");
    Ok((bytes != [0; 16]).then_some(text))
}

/// Behind the UUID (`union swap_header` of the kernel).
fn read_swap_label(volume: &dyn Volume) -> Result<Option<String>> {
    let mut bytes = [0; 16];
    volume.read_exact_at(0x41c, &mut bytes)?;
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok((!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned()))
}

/// LUKS keeps its UUID as text, in both versions at the same place (LUKS on-disk format 1.2.3, section 2.1).
fn read_luks_uuid(volume: &dyn Volume) -> Result<Option<String>> {
    if volume.size() < 208 {
        return Ok(None);
    }
    let mut bytes = [0; 40];
    volume.read_exact_at(168, &mut bytes)?;
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let fits = text.len() == 36 && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    Ok(fits.then(|| String::from_utf8_lossy(text).into_owned()))
}
