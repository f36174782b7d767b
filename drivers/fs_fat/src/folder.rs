//! A folder: its bytes, where they lie, and where a new name fits.

use crate::boot_sector::{ENTRY_LEN, Geometry, Root};
use crate::entry::{self, DELETED, END, Entry, Slot};
use crate::error::FatError;
use crate::table::{MAX_FOLDER, Table};
use driver_core::Volume;
use driver_core::block::{byte, put};
use format_core::Result;

/// A folder's entries as bytes.
pub(crate) struct Folder {
    pub(crate) place: Root,
    /// None for the fixed root of FAT12 and FAT16.
    pub(crate) clusters: Vec<u32>,
    bytes: Vec<u8>,
}

/// Where entries fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Number of the first entry.
    pub(crate) at: usize,
    /// Clusters that the folder needs on top of those it has.
    pub(crate) clusters: u64,
}

impl Folder {
    pub(crate) fn load(volume: &dyn Volume, table: &Table, geometry: &Geometry, place: Root) -> Result<Self> {
        let (clusters, len) = match place {
            Root::Fixed { len, .. } => (Vec::new(), len),
            Root::Cluster(first) => {
                let most = (MAX_FOLDER / geometry.cluster).max(1);
                let chain = table.chain(first, most, "a folder")?;
                let chain = chain.ok_or(FatError::FolderLength(first))?;
                let len = chain.len() as u64 * geometry.cluster;
                (chain, len)
            }
        };
        let mut bytes = vec![0; len as usize];
        match place {
            Root::Fixed { offset, .. } => volume.read_exact_at(offset, &mut bytes)?,
            Root::Cluster(_) => {
                for (number, part) in clusters.iter().zip(bytes.chunks_mut(geometry.cluster as usize)) {
                    volume.read_exact_at(geometry.offset_of(*number), part)?;
                }
            }
        }
        Ok(Self { place, clusters, bytes })
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn entries(&self, geometry: &Geometry) -> Vec<Entry> {
        entry::parse(&self.bytes, geometry.width)
    }

    pub(crate) fn slot(&self, number: usize) -> Slot {
        let at = self.bytes.get(number * ENTRY_LEN..).and_then(|rest| rest.first_chunk());
        at.copied().unwrap_or([0; ENTRY_LEN])
    }

    fn count(&self) -> usize {
        self.bytes.len() / ENTRY_LEN
    }

    /// Byte offset of an entry on the volume.
    pub(crate) fn offset_of(&self, number: usize, geometry: &Geometry) -> u64 {
        let at = (number * ENTRY_LEN) as u64;
        match self.place {
            Root::Fixed { offset, .. } => offset + at,
            Root::Cluster(_) => {
                let cluster = self.clusters.get((at / geometry.cluster) as usize).copied().unwrap_or(2);
                geometry.offset_of(cluster) + at % geometry.cluster
            }
        }
    }

    /// The first entry behind the end that is not free. Firmware, Windows and mtools stop at the end, as the specification
    /// says; Linux and fsck.fat do not.
    pub(crate) fn find_behind_end(&self) -> Option<usize> {
        let first = |number: &usize| byte(&self.bytes, number * ENTRY_LEN);
        let end = (0..self.count()).find(|number| first(number) == END)?;
        (end..self.count()).find(|number| ![END, DELETED].contains(&first(number)))
    }

    /// Where `needed` entries in a row fit.
    pub(crate) fn find_room(&self, needed: usize, geometry: &Geometry, what: &str) -> Result<Room> {
        let (mut run, mut ended) = (0, false);
        for number in 0..self.count() {
            let first = byte(&self.bytes, number * ENTRY_LEN);
            ended |= first == END;
            run = if ended || first == DELETED { run + 1 } else { 0 };
            if run == needed {
                return Ok(Room { at: number + 1 - needed, clusters: 0 });
            }
        }
        let more = ((needed - run) * ENTRY_LEN) as u64;
        let clusters = more.div_ceil(geometry.cluster);
        let fixed = matches!(self.place, Root::Fixed { .. });
        if fixed || self.len() + clusters * geometry.cluster > MAX_FOLDER {
            return Err(FatError::FolderFull { what: what.to_owned(), needed }.into());
        }
        Ok(Room { at: self.count() - run, clusters })
    }

    /// Takes clusters, which were added to the chain and filled with zeros, into account.
    pub(crate) fn grow(&mut self, clusters: &[u32], geometry: &Geometry) {
        self.clusters.extend(clusters);
        self.bytes.resize(self.clusters.len() * geometry.cluster as usize, 0);
    }

    /// The changes on the volume that put `slots` at entry `at`.
    pub(crate) fn put(&mut self, at: usize, slots: &[Slot], geometry: &Geometry) -> Vec<(u64, Slot)> {
        let mut changes = Vec::with_capacity(slots.len());
        for (number, slot) in (at..).zip(slots) {
            put(&mut self.bytes, number * ENTRY_LEN, slot);
            changes.push((self.offset_of(number, geometry), *slot));
        }
        changes
    }
}
