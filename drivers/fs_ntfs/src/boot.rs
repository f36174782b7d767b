//! The boot sector: geometry, checked before anything else is believed.

use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::error::NtfsError;
use driver_core::CachedVolume;
use format_core::Result;

/// Bytes of a boot sector that say something.
const LEN: usize = 512;

/// Where the two kinds of BitLocker's identifier lie in the boot sector of BitLocker To Go, and what they are: of a volume
/// that is encrypted as a whole, and of one whose used space is (libbde, "BitLocker Drive Encryption (BDE) format").
const TO_GO_AT: usize = 424;
const BITLOCKER_IDS: [[u8; 16]; 2] = [
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01],
    [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8],
];

/// A boot sector whose numbers fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) sector: u64,
    pub(crate) cluster: u64,
    pub(crate) clusters: u64,
    /// Bytes of the file system, without the sector behind it that holds the copy of the boot sector.
    pub(crate) size: u64,
    pub(crate) record: usize,
    pub(crate) index_block: u64,
    pub(crate) mft_lcn: u64,
    pub(crate) mirror_lcn: u64,
    pub(crate) serial: u64,
}

/// What the sector behind the file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backup {
    /// The same numbers.
    Same,
    /// A boot sector with other numbers.
    Different,
    /// Something else, or the volume ends before it. Windows mounts such volumes.
    Absent,
}

fn bad(field: &'static str, value: u64, possible: &'static str) -> NtfsError {
    NtfsError::Boot { field, value, possible }
}

/// A size that is given as a number of clusters, or as minus its binary logarithm.
fn coded_size(code: u8, cluster: u64) -> Option<u64> {
    match code {
        0 => None,
        1..=0x7f => u64::from(code).checked_mul(cluster),
        _ => 1_u64.checked_shl(256 - u32::from(code)),
    }
}

impl Boot {
    /// Whether `raw` starts like an NTFS boot sector.
    pub(crate) fn is_ntfs(raw: &[u8]) -> bool {
        raw.get(3..11) == Some(b"NTFS    ")
    }

    /// Whether `raw`, 512 bytes, is the start of a volume that BitLocker encrypts: of Windows Vista and of later ones, which
    /// have the same signature, or of BitLocker To Go, which looks like FAT.
    pub(crate) fn is_bitlocker(raw: &[u8]) -> bool {
        let to_go =
            || part(raw, TO_GO_AT, 16).is_some_and(|id| BITLOCKER_IDS.iter().any(|known| known == id));
        match raw.get(3..11) {
            Some(b"-FVE-FS-") => true,
            Some(b"MSWIN4.1") => to_go(),
            _ => false,
        }
    }

    /// Parses a boot sector; its file system may have `window` bytes.
    pub(crate) fn parse(raw: &[u8], window: u64) -> Result<Self, NtfsError> {
        if Self::is_bitlocker(raw) {
            return Err(NtfsError::BitLocker);
        }
        if raw.get(3..7) == Some(b"ReFS") {
            return Err(NtfsError::Refs);
        }
        if raw.len() < LEN || !Self::is_ntfs(raw) {
            return Err(NtfsError::NoBootSector);
        }
        let byte = |at: usize| raw.get(at).copied().unwrap_or_default();
        let quad = |at: usize| u64_at(raw, at).unwrap_or_default();
        let sector = u64::from(u16_at(raw, 0x0b).unwrap_or_default());
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return Err(bad("bytes per sector", sector, "512, 1024, 2048 or 4096"));
        }
        let code = byte(0x0d);
        let per_cluster = match code {
            1 | 2 | 4 | 8 | 16 | 32 | 64 | 128 => u64::from(code),
            0xf4..=0xff => 1 << (256 - u64::from(code)),
            _ => return Err(bad("sectors per cluster", code.into(), "a power of two, or 0xf4 to 0xff")),
        };
        let cluster = per_cluster * sector;
        if cluster > 2 << 20 {
            return Err(bad("bytes per cluster", cluster, "512 to 0x200000"));
        }
        // Fields that FAT uses: reserved sectors, FATs, root entries, small sectors; sectors per FAT; large sectors.
        let fat = u64::from(u32_at(raw, 0x0e).unwrap_or(1)) | u64::from(byte(0x12)) << 32;
        let more = u64::from(byte(0x13)) | u64::from(byte(0x14)) << 8;
        let rest = u64::from(u16_at(raw, 0x16).unwrap_or(1)) | u64::from(u32_at(raw, 0x20).unwrap_or(1));
        if fat | more | rest != 0 {
            return Err(bad("fields that belong to FAT", fat | more | rest, "0"));
        }
        let sectors = quad(0x28);
        let size = sectors.saturating_mul(sector);
        if size > window {
            return Err(NtfsError::TooLarge { needed: size, size: window });
        }
        let clusters = sectors / per_cluster;
        let (mft_lcn, mirror_lcn) = (quad(0x30), quad(0x38));
        if mft_lcn == 0 || mft_lcn >= clusters {
            return Err(bad("first cluster of $MFT", mft_lcn, "a cluster of the volume"));
        }
        if mirror_lcn == 0 || mirror_lcn >= clusters {
            return Err(bad("first cluster of $MFTMirr", mirror_lcn, "a cluster of the volume"));
        }
        let record = coded_size(byte(0x40), cluster).filter(|n| matches!(n, 512 | 1024 | 2048 | 4096));
        let record = record.ok_or_else(|| bad("size of a record", byte(0x40).into(), "512 to 4096 bytes"))?;
        let index_block = coded_size(byte(0x44), cluster)
            .filter(|n| n.is_power_of_two() && (512..=0x1_0000).contains(n))
            .ok_or_else(|| bad("size of an index block", byte(0x44).into(), "512 to 65536 bytes"))?;
        Ok(Self {
            sector,
            cluster,
            clusters,
            size,
            record: record as usize,
            index_block,
            mft_lcn,
            mirror_lcn,
            serial: quad(0x48),
        })
    }

    /// The boot sector of `io`.
    pub(crate) fn load(io: &CachedVolume) -> Result<Self> {
        let mut raw = [0; LEN];
        if io.size() < LEN as u64 {
            return Err(NtfsError::NoBootSector.into());
        }
        io.read(0, &mut raw)?;
        match Self::parse(&raw, io.size()) {
            Err(NtfsError::NoBootSector) if Self::copy_at_end(io)? => Err(NtfsError::OnlyBackup.into()),
            parsed => Ok(parsed?),
        }
    }

    /// Whether the window's last sector holds a boot sector that fits it.
    fn copy_at_end(io: &CachedVolume) -> Result<bool> {
        for sector in [512, 4096] {
            let mut raw = [0; LEN];
            let Some(at) = io.size().checked_sub(sector).filter(|at| at % sector == 0) else { continue };
            io.read(at, &mut raw)?;
            if Self::parse(&raw, io.size()).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares with the copy behind the file system.
    pub(crate) fn backup(&self, io: &CachedVolume) -> Result<Backup> {
        let mut raw = [0; LEN];
        if self.size.checked_add(self.sector).is_none_or(|end| end > io.size()) {
            return Ok(Backup::Absent);
        }
        io.read(self.size, &mut raw)?;
        if !Self::is_ntfs(&raw) {
            return Ok(Backup::Absent);
        }
        let same = Self::parse(&raw, io.size()).is_ok_and(|copy| copy == *self);
        Ok(if same { Backup::Same } else { Backup::Different })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut raw = vec![0; LEN];
        raw[3..11].copy_from_slice(b"NTFS    ");
        raw[0x0b..0x0e].copy_from_slice(&[0, 2, 8]);
        raw[0x28..0x30].copy_from_slice(&8191_u64.to_le_bytes());
        raw[0x30] = 4;
        raw[0x38] = 9;
        raw[0x40] = 0xf6;
        raw[0x44] = 1;
        for (at, bytes) in changes {
            raw[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        raw
    }

    #[test]
    fn good_sectors() {
        let boot = Boot::parse(&sector(&[]), 4 << 20).unwrap();
        assert_eq!((boot.cluster, boot.clusters, boot.record, boot.index_block), (4096, 1023, 1024, 4096));
        // 2 MiB clusters: 2^12 sectors of 512 bytes.
        let large = sector(&[(0x0d, &[0xf4]), (0x28, &0x10_0000_u64.to_le_bytes()), (0x44, &[0xf4])]);
        assert_eq!(Boot::parse(&large, 1 << 30).unwrap().cluster, 2 << 20);
        let native = sector(&[(0x0b, &[0, 16, 1]), (0x28, &999_u64.to_le_bytes()), (0x40, &[1])]);
        assert_eq!(Boot::parse(&native, 4 << 20).unwrap().record, 4096);
    }

    #[test]
    fn every_lie_is_found() {
        for (at, bytes, word) in [
            (3, &b"-FVE-FS-"[..], "BitLocker"),
            (3, b"-FVE-FS-\0\x02\x08", "BitLocker"),
            (3, b"ReFS\0\0\0\0", "ReFS"),
            (3, b"MSDOS5.0", "no NTFS"),
            (0x0b, &[1, 2], "bytes per sector"),
            (0x0d, &[3], "sectors per cluster"),
            (0x0d, &[0], "sectors per cluster"),
            (0x0d, &[0x81], "sectors per cluster"),
            (0x0e, &[1], "FAT"),
            (0x20, &[1], "FAT"),
            (0x28, &[0xff; 8], "does not fit"),
            (0x28, &[0; 8], "$MFT"),
            (0x30, &[0, 0, 1], "$MFT"),
            (0x30, &[0; 8], "$MFT"),
            (0x38, &[0xff; 8], "$MFTMirr"),
            (0x40, &[0], "record"),
            (0x40, &[0x80], "record"),
            (0x40, &[0xff], "record"),
            (0x44, &[0x80], "index block"),
        ] {
            let error = Boot::parse(&sector(&[(at, bytes)]), 4 << 20).unwrap_err();
            assert!(error.to_string().contains(word), "{at:#x}: {error}");
        }
    }
}
