//! What the volume does not use: the bits of `$Bitmap`. No count in the volume confirms them, so they are believed only
//! where the volume could be edited, too: it was left in order, and its own files have all their clusters in there.

use crate::bytes::u64_at;
use crate::error::NtfsError;
use crate::fs::NtfsFs;
use crate::layout::BITMAP;
use driver_core::{FreeRanges, zero_runs};
use format_core::Result;
use std::ops::Range;

/// Bytes of the bitmap that are read at once.
const PIECE: u64 = 64 << 10;
/// Where a volume with shadow copies says so, and with what (libyal, "Volume Shadow Snapshots (VSS) format", "Volume
/// header"): then the place of their catalog follows.
const SHADOWS: u64 = 0x1e00;
const SHADOWS_ID: [u8; 16] = *b"\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52";
const CATALOG: usize = 48;

impl NtfsFs {
    /// As [`driver_core::GuestFs::free_ranges`].
    pub(crate) fn find_free(&self) -> Result<Vec<Range<u64>>> {
        self.editable()?;
        if self.has_shadows()? {
            return Err(NtfsError::Map("shadow copies keep content in clusters that are free by now").into());
        }
        let (clusters, cluster) = (self.reader.boot.clusters, self.reader.boot.cluster);
        let inode = self.reader.inode(BITMAP)?;
        let bits = inode.data().filter(|bits| bits.size() >= clusters.div_ceil(8));
        let bits = bits.ok_or(NtfsError::Map("$Bitmap is shorter than the volume"))?;
        let (mut free, mut at, bytes) = (FreeRanges::default(), 0, clusters.div_ceil(8));
        let mut piece = vec![0; PIECE as usize];
        while at < bytes {
            let len = PIECE.min(bytes - at);
            let now = piece.get_mut(..len as usize).unwrap_or_default();
            self.reader.read(bits, at, now)?;
            let first = at * 8;
            zero_runs(now, clusters - first, |run| {
                free.add((first + run.start) * cluster..(first + run.end) * cluster);
            });
            at += len;
        }
        Ok(free.finish())
    }

    /// Whether there are shadow copies: a cluster that was freed after one was made is copied into it only when somebody
    /// writes there.
    fn has_shadows(&self) -> Result<bool> {
        let mut header = [0; CATALOG + 8];
        if self.reader.io.size() < SHADOWS + header.len() as u64 {
            return Ok(false);
        }
        self.reader.io.read(SHADOWS, &mut header)?;
        Ok(header.starts_with(&SHADOWS_ID) && u64_at(&header, CATALOG) != Some(0))
    }
}
