//! Where each cluster of the disks lies in the file: eight bytes for 64 KiB of a disk.
//!
//! An entry is the place of the cluster's first block in sectors, with the mask of its blocks in the upper 16 bits; 0 is a
//! cluster that was not seen. The entries of all disks lie one after the other. Small maps are in memory, large ones in an
//! unnamed file for which pages are kept.

use crate::layout::SECTOR;
use format_core::{Error, FileStorage, PageCache, Result, Storage};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The largest map that stays in memory: disks of 512 GiB together.
const MAX_IN_MEMORY: u64 = 64 << 20;
const ENTRY: u64 = 8;
const PAGE: u64 = PageCache::MAX_PAGE as u64;
/// Pages that are kept while a map is filled: 4 MiB.
const DIRTY_PAGES: usize = 64;

/// A cluster's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of its first block in the file, in bytes.
    pub(crate) host: u64,
    /// Its blocks that are there.
    pub(crate) mask: u16,
}

impl Place {
    /// The place as an entry; none for a file longer than any.
    fn entry(self) -> Option<u64> {
        let sector = self.host / SECTOR;
        (sector > 0 && sector < 1 << 48).then(|| u64::from(self.mask) << 48 | sector)
    }

    fn of(entry: u64) -> Option<Self> {
        let sector = entry & ((1 << 48) - 1);
        (sector > 0).then(|| Self { host: sector * SECTOR, mask: (entry >> 48) as u16 })
    }
}

/// A map that is being filled.
pub(crate) enum Filling {
    Memory(Vec<u64>),
    File(DirtyPages),
}

/// Pages of a map in a file, the one used last at the end.
pub(crate) struct DirtyPages {
    file: File,
    pages: VecDeque<(u64, Vec<u8>)>,
}

/// A map that is complete.
pub(crate) enum Map {
    Memory(Vec<u64>),
    File(Box<(FileStorage, PageCache)>),
}

impl Filling {
    /// An empty map of `clusters` clusters; `scratch` makes the file for a large one.
    pub(crate) fn new(clusters: u64, scratch: impl FnOnce() -> Result<File>) -> Result<Self> {
        let len = clusters.checked_mul(ENTRY).ok_or_else(|| Error::corrupt("too many clusters"))?;
        if len <= MAX_IN_MEMORY {
            return Ok(Self::Memory(vec![0; clusters as usize]));
        }
        let file = scratch()?;
        file.set_len(len.next_multiple_of(PAGE)).map_err(failed)?;
        Ok(Self::File(DirtyPages { file, pages: VecDeque::new() }))
    }

    /// Notes where a cluster is. `false` when its place was already noted.
    pub(crate) fn put(&mut self, index: u64, place: Place) -> Result<bool> {
        let entry = place.entry().ok_or_else(|| Error::corrupt("a cluster lies too far").at(place.host))?;
        let outside = || Error::contract(format!("cluster {index} of the map"));
        match self {
            Self::Memory(entries) => {
                let old = entries.get_mut(index as usize).ok_or_else(outside)?;
                Ok(std::mem::replace(old, entry) == 0)
            }
            Self::File(pages) => {
                let at = (index * ENTRY % PAGE) as usize;
                let old = pages.page(index * ENTRY / PAGE)?.get_mut(at..at + 8).ok_or_else(outside)?;
                let is_new = old.iter().all(|byte| *byte == 0);
                old.copy_from_slice(&entry.to_le_bytes());
                Ok(is_new)
            }
        }
    }

    /// The map, with nothing to be added.
    pub(crate) fn finish(self) -> Result<Map> {
        match self {
            Self::Memory(entries) => Ok(Map::Memory(entries)),
            Self::File(mut pages) => {
                for (number, bytes) in std::mem::take(&mut pages.pages) {
                    pages.file.write_all_at(&bytes, number * PAGE).map_err(failed)?;
                }
                let storage = FileStorage::from_file(pages.file, Path::new("the index of the backup"))?;
                Ok(Map::File(Box::new((storage, PageCache::default()))))
            }
        }
    }
}

impl DirtyPages {
    fn page(&mut self, number: u64) -> Result<&mut Vec<u8>> {
        match self.pages.iter().rposition(|(kept, _)| *kept == number) {
            Some(at) if at + 1 < self.pages.len() => {
                let page = self.pages.remove(at);
                self.pages.extend(page);
            }
            Some(_) => {}
            None => {
                if self.pages.len() >= DIRTY_PAGES
                    && let Some((old, bytes)) = self.pages.pop_front()
                {
                    self.file.write_all_at(&bytes, old * PAGE).map_err(failed)?;
                }
                let mut bytes = vec![0; PAGE as usize];
                self.file.read_exact_at(&mut bytes, number * PAGE).map_err(failed)?;
                self.pages.push_back((number, bytes));
            }
        }
        self.pages.back_mut().map(|(_, bytes)| bytes).ok_or_else(|| Error::contract("no page of the map"))
    }
}

impl Map {
    /// Where cluster `index` is; `None` for one that was not seen.
    pub(crate) fn place(&self, index: u64) -> Result<Option<Place>> {
        let entry = match self {
            Self::Memory(entries) => entries.get(index as usize).copied(),
            Self::File(file) => {
                let (storage, cache) = file.as_ref();
                let at = index * ENTRY;
                let page = cache.page(storage as &dyn Storage, at / PAGE * PAGE, PAGE as usize)?;
                page.get((at % PAGE) as usize..)
                    .and_then(|rest| rest.first_chunk())
                    .map(|b| u64::from_le_bytes(*b))
            }
        };
        Ok(Place::of(entry.ok_or_else(|| Error::contract(format!("cluster {index} of the map")))?))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot keep the index of the backup in a temporary file", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_maps_in_a_file_say_the_same_as_small_ones() {
        let clusters = MAX_IN_MEMORY / ENTRY + 5;
        let mut large = Filling::new(clusters, || Ok(tempfile::tempfile().unwrap())).unwrap();
        assert!(matches!(large, Filling::File(_)));
        // Far apart, so that pages come and go.
        let places = |n: u64| (n * 7_919_000 % clusters, Place { host: SECTOR * (n + 1), mask: n as u16 });
        for n in 0..3000 {
            let (index, place) = places(n);
            assert!(large.put(index, place).unwrap(), "{n}");
        }
        assert!(!large.put(places(0).0, places(0).1).unwrap());
        let map = large.finish().unwrap();
        for n in 0..3000 {
            let (index, place) = places(n);
            assert_eq!(map.place(index).unwrap(), Some(place), "{n}");
        }
        assert_eq!(map.place(clusters - 1).unwrap(), None);
        assert_eq!(map.place(1).unwrap(), None);
    }
}
