//! The file allocation table: which cluster follows which, and which are free.

use crate::boot_sector::{Geometry, Width};
use crate::error::FatError;
use driver_core::Volume;
use driver_core::block::{byte, le16, le32, put};
use format_core::Result;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// File systems with more clusters are only read, page by page: no EFI system partition is that large (16 GiB with
/// clusters of 4 KiB), and checking all chains before an edit would take its time.
pub(crate) const MAX_EDITED: u32 = 1 << 22;
const PAGE: u64 = 16 << 10;
/// Pages kept of a table that is not in memory as a whole (4 MiB).
const PAGES: usize = 256;
/// Largest folder: 65536 entries.
pub(crate) const MAX_FOLDER: u64 = 2 << 20;

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    Next(u32),
    End,
    Bad,
}

/// The table. Changes stay in memory until [`Table::write_out`].
pub(crate) struct Table {
    volume: Arc<dyn Volume>,
    geometry: Geometry,
    content: Content,
    /// Sectors of the table that were changed.
    changed: BTreeSet<u64>,
}

enum Content {
    Whole(Vec<u8>),
    Pages(RefCell<HashMap<u64, Vec<u8>>>),
}

impl Table {
    pub(crate) fn open(volume: Arc<dyn Volume>, geometry: &Geometry) -> Result<Self> {
        let geometry = geometry.clone();
        let content = if geometry.clusters <= MAX_EDITED {
            let mut bytes = vec![0; used_len(&geometry) as usize];
            volume.read_exact_at(start_of(&geometry), &mut bytes)?;
            Content::Whole(bytes)
        } else {
            Content::Pages(RefCell::default())
        };
        Ok(Self { volume, geometry, content, changed: BTreeSet::new() })
    }

    /// Whether the table is in memory and can be changed.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.content, Content::Whole(_))
    }

    /// The entry as it stands there, without FAT32's reserved bits.
    pub(crate) fn raw(&self, number: u32) -> Result<u32> {
        let at = entry_offset(self.geometry.width, number);
        let bytes = self.four_bytes(at)?;
        let (low, all) = (u32::from(le16(&bytes, 0)), le32(&bytes, 0));
        Ok(match self.geometry.width {
            Width::Fat12 if number % 2 == 1 => low >> 4,
            Width::Fat12 => low & 0xfff,
            Width::Fat16 => low,
            Width::Fat32 => all & 0x0fff_ffff,
        })
    }

    fn four_bytes(&self, at: u64) -> Result<[u8; 4]> {
        let mut found = [0; 4];
        match &self.content {
            Content::Whole(bytes) => {
                let from = bytes.get(at as usize..).unwrap_or_default();
                found.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            Content::Pages(pages) => {
                // An entry of a paged table is 4 bytes at a multiple of 4, or 12 bits of a table that is never paged.
                let (number, inside) = (at / PAGE, (at % PAGE) as usize);
                let mut pages = pages.borrow_mut();
                if !pages.contains_key(&number) {
                    if pages.len() >= PAGES {
                        pages.clear();
                    }
                    let start = number * PAGE;
                    let mut page = vec![0; PAGE.min(used_len(&self.geometry).saturating_sub(start)) as usize];
                    self.volume.read_exact_at(start_of(&self.geometry) + start, &mut page)?;
                    pages.insert(number, page);
                }
                let page = pages.get(&number).map(Vec::as_slice).unwrap_or_default();
                found.iter_mut().enumerate().for_each(|(n, to)| *to = byte(page, inside + n));
            }
        }
        Ok(found)
    }

    /// What the entry of a data cluster says.
    pub(crate) fn link(&self, number: u32) -> Result<Link> {
        let value = self.raw(number)?;
        let bad = bad_mark(self.geometry.width);
        match value {
            0 => Ok(Link::Free),
            _ if value == bad => Ok(Link::Bad),
            _ if value > bad => Ok(Link::End),
            _ if self.geometry.is_cluster(value) => Ok(Link::Next(value)),
            _ => Err(FatError::Link { at: number, value, last: self.last() }.into()),
        }
    }

    /// Number of the last data cluster.
    pub(crate) fn last(&self) -> u32 {
        self.geometry.clusters + 1
    }

    /// The clusters from `first` to the end of the chain; `None` when there are more than `most`. A free or bad cluster
    /// in a chain is an error.
    pub(crate) fn chain(&self, first: u32, most: u64, what: &str) -> Result<Option<Vec<u32>>> {
        let mut chain = Vec::new();
        let mut number = first;
        loop {
            if !self.geometry.is_cluster(number) {
                let what = what.to_owned();
                return Err(FatError::Start { what, value: number, last: self.last() }.into());
            }
            if chain.len() as u64 >= most {
                return Ok(None);
            }
            chain.push(number);
            match self.link(number)? {
                Link::Next(next) => number = next,
                Link::End => return Ok(Some(chain)),
                Link::Free | Link::Bad => {
                    let value = self.raw(number)?;
                    return Err(FatError::Link { at: number, value, last: self.last() }.into());
                }
            }
        }
    }

    /// Numbers of all free clusters, beginning behind `hint`.
    pub(crate) fn free_clusters(&self, hint: u32) -> impl Iterator<Item = u32> + '_ {
        let hint = if self.geometry.is_cluster(hint) { hint } else { 2 };
        let all = (hint..=self.last()).chain(2..hint);
        all.filter(|&number| matches!(self.raw(number), Ok(0)))
    }

    /// `count` free clusters, in a row where there is such a run.
    pub(crate) fn plan(&self, count: u64, hint: u32) -> Result<Vec<u32>> {
        let mut run: Vec<u32> = Vec::new();
        let mut scattered: Vec<u32> = Vec::new();
        let mut free = 0;
        if count == 0 {
            return Ok(run);
        }
        for number in self.free_clusters(hint) {
            free += 1;
            if (scattered.len() as u64) < count {
                scattered.push(number);
            }
            if run.last().is_some_and(|last| last + 1 != number) {
                run.clear();
            }
            run.push(number);
            if run.len() as u64 == count {
                return Ok(run);
            }
        }
        if free < count {
            return Err(FatError::NoSpace { needed: count, cluster: self.geometry.cluster, free }.into());
        }
        Ok(scattered)
    }

    /// Makes `clusters` one chain that ends there.
    pub(crate) fn set_chain(&mut self, clusters: &[u32]) {
        let end = bad_mark(self.geometry.width) | 0xf;
        for (at, &number) in clusters.iter().enumerate() {
            self.set(number, clusters.get(at + 1).copied().unwrap_or(end));
        }
    }

    pub(crate) fn free(&mut self, clusters: &[u32]) {
        clusters.iter().for_each(|&number| self.set(number, 0));
    }

    fn set(&mut self, number: u32, value: u32) {
        let Content::Whole(bytes) = &mut self.content else { return };
        let at = entry_offset(self.geometry.width, number) as usize;
        let len = match self.geometry.width {
            Width::Fat12 => {
                let old = le16(bytes, at);
                let value = (value & 0xfff) as u16;
                let new = if number % 2 == 1 { old & 0xf | value << 4 } else { old & 0xf000 | value };
                put(bytes, at, &new.to_le_bytes());
                2
            }
            Width::Fat16 => {
                put(bytes, at, &(value as u16).to_le_bytes());
                2
            }
            Width::Fat32 => {
                let new = le32(bytes, at) & 0xf000_0000 | value & 0x0fff_ffff;
                put(bytes, at, &new.to_le_bytes());
                4
            }
        };
        let sector = self.geometry.sector;
        self.changed.insert(at as u64 / sector);
        self.changed.insert((at as u64 + len - 1) / sector);
    }

    /// Compares the copies, as far as entries use them; the first byte that differs.
    pub(crate) fn find_difference(&self) -> Result<Option<u64>> {
        let Content::Whole(first) = &self.content else { return Ok(None) };
        let mut copy = vec![0; first.len()];
        for number in 1..self.geometry.fats {
            self.volume.read_exact_at(self.geometry.fat_start + number * self.geometry.fat_len, &mut copy)?;
            // Reserved bits and what lies behind the last entry are nobody's.
            let differs = first.iter().zip(&copy).position(|(a, b)| a != b);
            if let Some(at) = differs {
                return Ok(Some(at as u64));
            }
        }
        Ok(None)
    }

    /// Writes changed sectors into every copy.
    pub(crate) fn write_out(&mut self) -> Result<()> {
        let Content::Whole(bytes) = &self.content else { return Ok(()) };
        let sector = self.geometry.sector;
        for &number in &self.changed {
            let start = (number * sector) as usize;
            let end = bytes.len().min(start + sector as usize);
            let part = bytes.get(start..end).unwrap_or_default();
            for copy in 0..self.geometry.fats {
                let fat = self.geometry.fat_start + copy * self.geometry.fat_len;
                self.volume.write_all_at(fat + number * sector, part)?;
            }
        }
        self.changed.clear();
        Ok(())
    }

    /// Entry 1: whether the guest unmounted the file system cleanly, and whether it met no read or write errors. FAT12
    /// has no room for that.
    pub(crate) fn flags(&self) -> Result<(bool, bool)> {
        let value = self.raw(1)?;
        Ok(match self.geometry.width {
            Width::Fat12 => (true, true),
            Width::Fat16 => (value & 0x8000 != 0, value & 0x4000 != 0),
            Width::Fat32 => (value & 0x0800_0000 != 0, value & 0x0400_0000 != 0),
        })
    }
}

/// `fatgen103`, "FAT Data Structure": this value marks a bad cluster, larger ones the end of a chain.
fn bad_mark(width: Width) -> u32 {
    match width {
        Width::Fat12 => 0xff7,
        Width::Fat16 => 0xfff7,
        Width::Fat32 => 0x0fff_fff7,
    }
}

fn entry_offset(width: Width, number: u32) -> u64 {
    u64::from(number) * width.bits() / 8
}

fn start_of(geometry: &Geometry) -> u64 {
    geometry.fat_start + geometry.only_fat.unwrap_or(0) * geometry.fat_len
}

/// Bytes of one FAT that hold entries of clusters.
fn used_len(geometry: &Geometry) -> u64 {
    ((u64::from(geometry.clusters) + 2) * geometry.width.bits()).div_ceil(8)
}
