//! Clusters that came before their turn.
//!
//! Backups are made of running machines: what the guest is about to overwrite is saved first, wherever on the disk it is.
//! Blocks of early clusters are kept in memory as far as that is allowed, then in an unnamed temporary file.

use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of blocks that are kept in memory.
const MAX_KEPT: usize = 24 << 20;
/// Early clusters that are known at once: 64 GiB of a disk.
pub(crate) const MAX_WAITING: u64 = 1 << 20;
/// Room for one cluster in the file.
const ROOM: u64 = crate::layout::CLUSTER;

/// The blocks of an early cluster.
enum Blocks {
    Kept(Box<[u8]>),
    /// Number of the room in the file, and bytes.
    Put(u64, usize),
}

/// The early clusters of one disk.
#[derive(Default)]
pub(crate) struct Waiting {
    clusters: BTreeMap<u32, (u16, Blocks)>,
    kept: usize,
    file: Option<File>,
    /// Rooms in the file that are free again.
    free: Vec<u64>,
    rooms: u64,
}

impl Waiting {
    /// How many clusters wait.
    pub(crate) fn count(&self) -> u64 {
        self.clusters.len() as u64
    }

    /// Keeps a cluster. `false` when it waits already.
    pub(crate) fn put(
        &mut self,
        cluster: u32,
        mask: u16,
        blocks: &[u8],
        scratch: impl FnOnce() -> Result<File>,
    ) -> Result<bool> {
        if self.clusters.contains_key(&cluster) {
            return Ok(false);
        }
        let blocks = if self.kept + blocks.len() <= MAX_KEPT {
            self.kept += blocks.len();
            Blocks::Kept(blocks.into())
        } else {
            self.put_in_file(blocks, scratch)?
        };
        self.clusters.insert(cluster, (mask, blocks));
        Ok(true)
    }

    fn put_in_file(&mut self, blocks: &[u8], scratch: impl FnOnce() -> Result<File>) -> Result<Blocks> {
        let file = match self.file.take() {
            Some(file) => file,
            None => scratch()?,
        };
        let room = self.free.pop().unwrap_or_else(|| {
            self.rooms += 1;
            self.rooms - 1
        });
        let written = file.write_all_at(blocks, room * ROOM);
        self.file = Some(file);
        written.map_err(failed)?;
        Ok(Blocks::Put(room, blocks.len()))
    }

    /// Takes `cluster`, if it waits: its mask and its blocks.
    pub(crate) fn take(&mut self, cluster: u32) -> Result<Option<(u16, Vec<u8>)>> {
        match self.clusters.remove(&cluster) {
            None => Ok(None),
            Some((mask, Blocks::Kept(blocks))) => {
                self.kept -= blocks.len();
                Ok(Some((mask, blocks.into_vec())))
            }
            Some((mask, Blocks::Put(room, len))) => {
                let mut blocks = vec![0; len];
                let file = self.file.as_ref().ok_or_else(|| Error::contract("no file of early clusters"))?;
                file.read_exact_at(&mut blocks, room * ROOM).map_err(failed)?;
                self.free.push(room);
                Ok(Some((mask, blocks)))
            }
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot keep clusters that came early in a temporary file", error)
}
