//! One disk of an indexed file as a layer.

use crate::index::Index;
use crate::layout::{BLOCK, BLOCKS, CLUSTER};
use crate::map::Place;
use format_core::{
    Error, Extent, ExtentKind, HostRange, Layer, Result, Run, Storage, check_guest_range, read_runs,
};
use std::sync::Arc;

/// Clusters that one run goes over at most.
const MAX_RUN: u64 = 256;

pub(crate) struct DriveLayer {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) index: Arc<Index>,
    /// Number of its first cluster in the map.
    pub(crate) first: u64,
    pub(crate) size: u64,
}

/// The run of blocks of one kind that begins with `block`: whether they are there, and how many.
fn run_in(mask: u16, block: u64) -> (bool, u64) {
    let rest = u64::from(mask) >> block;
    let is_there = rest & 1 == 1;
    let same = if is_there { (!rest).trailing_zeros() } else { rest.trailing_zeros() };
    (is_there, u64::from(same).min(BLOCKS - block))
}

impl DriveLayer {
    fn place(&self, cluster: u64) -> Result<Place> {
        let found = self.index.map.place(self.first + cluster)?;
        found.ok_or_else(|| Error::contract(format!("cluster {cluster} is missing in a complete map")))
    }

    /// The run of one kind at `offset`, which is inside of the disk.
    fn run_at(&self, offset: u64) -> Result<Run> {
        let mut cluster = offset / CLUSTER;
        let (block, inside) = (offset % CLUSTER / BLOCK, offset % BLOCK);
        let place = self.place(cluster)?;
        let (is_there, blocks) = run_in(place.mask, block);
        let before = (u64::from(place.mask) & ((1 << block) - 1)).count_ones();
        let host = place.host + u64::from(before) * BLOCK;
        let (mut len, mut whole) = (blocks * BLOCK, block + blocks == BLOCKS);
        // On into the next clusters as long as it goes on in the same way.
        let last = (self.size.div_ceil(CLUSTER) - 1).min(cluster + MAX_RUN);
        while whole && cluster < last {
            cluster += 1;
            let next = self.place(cluster)?;
            let (also, blocks) = run_in(next.mask, 0);
            if also != is_there || (is_there && next.host != host + len) {
                break;
            }
            len += blocks * BLOCK;
            whole = blocks == BLOCKS;
        }
        let len = (len - inside).min(self.size - offset);
        let kind = if is_there { ExtentKind::Data } else { ExtentKind::Zero };
        Ok(Run { kind, len, host: host + inside })
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for DriveLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        CLUSTER
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.run_at(offset)?;
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        read_runs(self.storage.as_ref(), offset, buf, |at| self.run_at(at))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.run_at(offset).ok()?;
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }
}

#[cfg(test)]
mod tests {
    use super::run_in;

    #[test]
    fn runs_of_blocks() {
        assert_eq!(run_in(0, 0), (false, 16));
        assert_eq!(run_in(0xffff, 3), (true, 13));
        assert_eq!(run_in(0x8001, 0), (true, 1));
        assert_eq!(run_in(0x8001, 1), (false, 14));
        assert_eq!(run_in(0x8001, 15), (true, 1));
        assert_eq!(run_in(0x7fff, 15), (false, 1));
    }
}
