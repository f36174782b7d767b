//! FAT32's FSInfo sector: how many clusters are free, and where to look for one (`fatgen103`, "FAT32 FSInfo Sector
//! Structure").

use crate::boot_sector::{Geometry, SECTOR};
use driver_core::Volume;
use driver_core::block::{byte, le32};
use format_core::Result;

const LEAD: u32 = 0x4161_5252;
const STRUCTURE: u32 = 0x6141_7272;

/// What the sector says. One without its signatures is none: it is not written either.
pub(crate) struct FsInfo {
    offset: u64,
    /// Free clusters, as whoever wrote it last counted them.
    pub(crate) free: u32,
    /// A hint: the cluster that was allocated last.
    pub(crate) next: u32,
}

impl FsInfo {
    pub(crate) fn load(volume: &dyn Volume, geometry: &Geometry) -> Result<Option<Self>> {
        let Some(offset) = geometry.fs_info else { return Ok(None) };
        let mut sector = [0; SECTOR];
        volume.read_exact_at(offset, &mut sector)?;
        let signed = le32(&sector, 0) == LEAD
            && le32(&sector, 484) == STRUCTURE
            && (byte(&sector, 510), byte(&sector, 511)) == (0x55, 0xaa);
        Ok(signed.then(|| Self { offset, free: le32(&sector, 488), next: le32(&sector, 492) }))
    }

    pub(crate) fn write(&self, volume: &dyn Volume, free: u32, next: u32) -> Result<()> {
        let numbers = [free.to_le_bytes(), next.to_le_bytes()].concat();
        volume.write_all_at(self.offset + 488, &numbers)
    }
}
