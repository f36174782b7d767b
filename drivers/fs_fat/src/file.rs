//! A file that is read piece by piece.

use crate::entry::Entry;
use crate::error::FatError;
use crate::fs::FatFs;
use driver_core::{GuestFile, check_range};
use format_core::Result;

/// Clusters of a file that lie in a row.
struct Run {
    /// Offset of its first byte in the file.
    start: u64,
    /// Offset on the volume.
    place: u64,
    /// Bytes.
    len: u64,
}

/// An open file: where its clusters lie.
pub(crate) struct FatFile<'fs> {
    fs: &'fs FatFs,
    runs: Vec<Run>,
    size: u64,
}

impl<'fs> FatFile<'fs> {
    /// Follows the file's chain.
    ///
    /// # Errors
    /// `Corrupt` when it is too short for the file's size or runs in a circle.
    pub(crate) fn open(fs: &'fs FatFs, entry: &Entry, path: &str) -> Result<Self> {
        let (size, cluster) = (u64::from(entry.size), fs.geometry.cluster);
        let needed = size.div_ceil(cluster);
        let what = format!("{path:?}");
        let short = |clusters| FatError::FileLength { what: what.clone(), size, clusters, cluster };
        if needed > fs.geometry.clusters.into() {
            return Err(short(fs.geometry.clusters.into()).into());
        }
        let chain = fs.clusters_of(entry, needed, &what)?;
        if (chain.len() as u64) < needed {
            return Err(short(chain.len() as u64).into());
        }
        let mut sorted = chain.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(FatError::Circle { what, size }.into());
        }
        let (mut runs, mut start) = (Vec::new(), 0);
        for run in chain.chunk_by(|a, b| a + 1 == *b) {
            let first = run.first().copied().unwrap_or(2);
            let len = run.len() as u64 * cluster;
            runs.push(Run { start, place: fs.geometry.offset_of(first), len });
            start += len;
        }
        Ok(Self { fs, runs, size })
    }
}

impl GuestFile for FatFile<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        let first = self.runs.partition_point(|run| run.start + run.len <= offset);
        let mut rest = buf;
        for run in self.runs.iter().skip(first) {
            // Only the first of them is entered in its middle.
            let inside = offset.saturating_sub(run.start);
            let len = (run.len - inside).min(rest.len() as u64) as usize;
            let (part, behind) = rest.split_at_mut(len);
            self.fs.volume.read_exact_at(run.place + inside, part)?;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }
}
