//! Editing: every edit finds its clusters and entries before it writes the first byte, so that none is half done for
//! lack of space. Content and folders are written at once, the table and FSInfo by `finish`.

use crate::boot_sector::{ENTRY_LEN, Root, Width};
use crate::entry::{self, ATTR_ARCHIVE, ATTR_FOLDER, DELETED, Entry, Slot};
use crate::error::{FatError, Obstacle};
use crate::folder::{Folder, Room};
use crate::fs::{FatFs, Found};
use crate::name::{self, ShortName};
use driver_core::block::put;
use driver_core::guest_path::{components, split_last};
use format_core::{Error, Result};
use std::collections::HashSet;

/// A folder with room for a new name.
struct Place {
    folder: Folder,
    above: Vec<Root>,
    room: Room,
    short: ShortName,
    /// The entries of the long name; none where the short one says it all.
    long: Vec<Slot>,
}

impl FatFs {
    /// The folder that is to hold a new name, and the entries for it.
    fn place_for(&self, path: &str) -> Result<Place> {
        let (parent, new) = split_last(path)?;
        name::check(new)?;
        let found = self.folder(&parent)?;
        let (folder, above) =
            found.ok_or_else(|| Error::usage(format!("there is no folder for {path:?}")))?;
        let entries = folder.entries(&self.geometry);
        if entries.iter().any(|entry| entry.is_called(new)) {
            return Err(Error::usage(format!("{path:?} exists")));
        }
        let taken: HashSet<String> = entries
            .iter()
            .flat_map(|entry| [&entry.name, &entry.alias])
            .map(|name| name.to_uppercase())
            .collect();
        let full = || Error::from(FatError::FolderFull { what: format!("{path:?}"), needed: 1 });
        let (short, whole) = name::alias(new, |name| taken.contains(name)).ok_or_else(full)?;
        let long = if whole { Vec::new() } else { entry::new_long(new, &short) };
        let room = folder.find_room(long.len() + 1, &self.geometry, &format!("{path:?}"))?;
        Ok(Place { folder, above, room, short, long })
    }

    /// Clusters that a file of `size` bytes takes.
    fn clusters_for(&self, size: u64) -> Result<u64> {
        if size > u32::MAX.into() {
            return Err(FatError::FileTooLarge { size }.into());
        }
        Ok(size.div_ceil(self.geometry.cluster))
    }

    fn chain_of(&self, entry: &Entry) -> Result<Vec<u32>> {
        if entry.first == 0 {
            return Ok(Vec::new());
        }
        let all = u64::from(self.geometry.clusters);
        let chain = self.table.chain(entry.first, all, &format!("{:?}", entry.name))?;
        chain.ok_or_else(|| FatError::FolderLength(entry.first).into())
    }

    /// Writes `bytes` into clusters, from `skip` bytes behind the start of the first.
    fn write_content(&self, clusters: &[u32], skip: u64, bytes: &[u8]) -> Result<()> {
        let (mut rest, mut skip) = (bytes, skip);
        for run in clusters.chunk_by(|a, b| a + 1 == *b) {
            let room = run.len() as u64 * self.geometry.cluster;
            if skip >= room {
                skip -= room;
                continue;
            }
            let len = rest.len().min((room - skip) as usize);
            let (part, behind) = rest.split_at(len);
            let first = run.first().copied().unwrap_or(2);
            self.volume.write_all_at(self.geometry.offset_of(first) + skip, part)?;
            (rest, skip) = (behind, 0);
        }
        Ok(())
    }

    fn write_slots(&self, folder: &mut Folder, at: usize, slots: &[Slot]) -> Result<()> {
        for (offset, slot) in folder.put(at, slots, &self.geometry) {
            self.volume.write_all_at(offset, &slot)?;
        }
        Ok(())
    }

    /// Adds clusters that were planned to a folder, puts the name there, and the short entry that `last` is.
    fn write_name(&mut self, place: &mut Place, growth: &[u32], last: Slot) -> Result<()> {
        if let (Some(&end), false) = (place.folder.clusters.last(), growth.is_empty()) {
            let zeros = vec![0; self.geometry.cluster as usize];
            for &cluster in growth {
                self.volume.write_all_at(self.geometry.offset_of(cluster), &zeros)?;
            }
            self.table.set_chain(&[&[end], growth].concat());
            place.folder.grow(growth, &self.geometry);
        }
        let mut slots = std::mem::take(&mut place.long);
        slots.push(last);
        self.write_slots(&mut place.folder, place.room.at, &slots)
    }

    /// Makes one change after all checks. When it fails half-way, nothing may follow it.
    fn change(&mut self, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.edited = true;
        change(self).inspect_err(|error| {
            let reason = format!("an earlier edit failed: {error}");
            self.broken = Some(Obstacle::from(Error::needs_person(reason)));
        })
    }

    fn used(&mut self, clusters: &[u32]) {
        self.hint = clusters.last().copied().unwrap_or(self.hint);
    }

    pub(crate) fn replace(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.editable()?;
        let found = self.find_file(path)?;
        let needed = self.clusters_for(content.len() as u64)? as usize;
        let mut chain = self.chain_of(&found.entry)?;
        let surplus = chain.split_off(needed.min(chain.len()));
        let new = self.table.plan((needed - chain.len()) as u64, self.hint)?;
        self.used(&new);
        chain.extend(new);
        self.change(|fs| {
            fs.table.set_chain(&chain);
            fs.table.free(&surplus);
            fs.write_content(&chain, 0, content)?;
            fs.write_changed(found, &chain, content.len())
        })
    }

    /// Writes the short entry of a file whose content changed.
    fn write_changed(&self, mut found: Found, chain: &[u32], size: usize) -> Result<()> {
        let number = found.entry.slots.end - 1;
        let mut slot = found.folder.slot(number);
        let first = chain.first().copied().unwrap_or(0);
        entry::set_content(&mut slot, first, size as u32, self.geometry.width);
        entry::touch(&mut slot, self.stamp);
        slot[11] |= ATTR_ARCHIVE;
        self.write_slots(&mut found.folder, number, &[slot])
    }

    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.editable()?;
        let found = self.find_file(path)?;
        let old = u64::from(found.entry.size);
        let size = old + bytes.len() as u64;
        let mut chain = self.chain_of(&found.entry)?;
        let new = self.table.plan(self.clusters_for(size)? - chain.len() as u64, self.hint)?;
        self.used(&new);
        chain.extend(new);
        self.change(|fs| {
            fs.table.set_chain(&chain);
            fs.write_content(&chain, old, bytes)?;
            fs.write_changed(found, &chain, size as usize)
        })
    }

    pub(crate) fn new_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.editable()?;
        let mut place = self.place_for(path)?;
        let needed = self.clusters_for(content.len() as u64)?;
        let mut clusters = self.table.plan(needed + place.room.clusters, self.hint)?;
        self.used(&clusters);
        let growth = clusters.split_off(needed as usize);
        let mut slot = entry::new_short(&place.short, ATTR_ARCHIVE, self.stamp);
        let first = clusters.first().copied().unwrap_or(0);
        entry::set_content(&mut slot, first, content.len() as u32, self.geometry.width);
        self.change(|fs| {
            fs.table.set_chain(&clusters);
            fs.write_content(&clusters, 0, content)?;
            fs.write_name(&mut place, &growth, slot)
        })
    }

    pub(crate) fn new_folder(&mut self, path: &str) -> Result<()> {
        self.editable()?;
        let mut place = self.place_for(path)?;
        let mut clusters = self.table.plan(1 + place.room.clusters, self.hint)?;
        self.used(&clusters);
        let growth = clusters.split_off(1);
        let first = clusters.first().copied().unwrap_or(0);
        let parent = self.dot_dot(place.folder.place);
        let named = |short: &ShortName, first: u32, width: Width| {
            let mut slot = entry::new_short(short, ATTR_FOLDER, self.stamp);
            entry::set_content(&mut slot, first, 0, width);
            slot
        };
        let width = self.geometry.width;
        let mut content = vec![0; self.geometry.cluster as usize];
        put(&mut content, 0, &named(b".          ", first, width));
        put(&mut content, ENTRY_LEN, &named(b"..         ", parent, width));
        let slot = named(&place.short, first, width);
        self.change(|fs| {
            fs.table.set_chain(&clusters);
            fs.write_content(&clusters, 0, &content)?;
            fs.write_name(&mut place, &growth, slot)
        })
    }

    /// What `..` says of a parent: the root is 0 there, on FAT32, too.
    fn dot_dot(&self, parent: Root) -> u32 {
        match parent {
            Root::Cluster(first) if parent != self.geometry.root => first,
            _ => 0,
        }
    }

    pub(crate) fn move_name(&mut self, from: &str, to: &str) -> Result<()> {
        self.editable()?;
        let found = self.find(&components(from)?)?;
        let mut found = found.ok_or_else(|| Error::usage(format!("there is no {from:?}")))?;
        let mut place = self.place_for(to)?;
        let moved = Root::Cluster(found.entry.first);
        if found.entry.is_folder() && place.above.contains(&moved) {
            return Err(Error::usage(format!("{to:?} lies in {from:?}")));
        }
        let growth = self.table.plan(place.room.clusters, self.hint)?;
        self.used(&growth);
        let slot = entry::renamed(&found.folder.slot(found.entry.slots.end - 1), &place.short);
        let (old, new) = (found.above.last().copied(), place.folder.place);
        let parent = (found.entry.is_folder() && old != Some(new)).then(|| self.dot_dot(new));
        let inside = parent.map(|_| self.load_folder(moved)).transpose()?;
        self.change(|fs| {
            fs.write_name(&mut place, &growth, slot)?;
            // Only first bytes change: the copy of a folder that holds both names stays right.
            fs.erase(&mut found)?;
            match (inside, parent) {
                (Some(mut inside), Some(parent)) => fs.set_parent(&mut inside, parent),
                _ => Ok(()),
            }
        })
    }

    fn set_parent(&self, folder: &mut Folder, parent: u32) -> Result<()> {
        let mut slot = folder.slot(1);
        if !slot.starts_with(b"..         ") {
            return Ok(());
        }
        entry::set_content(&mut slot, parent, 0, self.geometry.width);
        self.write_slots(folder, 1, &[slot])
    }

    /// Marks the entries of a name as free.
    fn erase(&self, found: &mut Found) -> Result<()> {
        for number in found.entry.slots.clone() {
            let offset = found.folder.offset_of(number, &self.geometry);
            self.volume.write_all_at(offset, &[DELETED])?;
        }
        Ok(())
    }

    pub(crate) fn remove_name(&mut self, path: &str) -> Result<()> {
        self.editable()?;
        let (parent, last) = split_last(path)?;
        let found = self.find(&[parent.as_slice(), &[last]].concat())?;
        let mut found = found.ok_or_else(|| Error::usage(format!("there is no {path:?}")))?;
        if found.entry.is_folder() {
            let folder = self.load_folder(Root::Cluster(found.entry.first))?;
            if !folder.entries(&self.geometry).is_empty() {
                return Err(Error::usage(format!("the folder {path:?} is not empty")));
            }
        }
        let chain = self.chain_of(&found.entry)?;
        self.change(|fs| {
            fs.erase(&mut found)?;
            fs.table.free(&chain);
            Ok(())
        })
    }

    pub(crate) fn write_out(&mut self) -> Result<()> {
        if !self.edited {
            return Ok(());
        }
        self.editable()?;
        self.change(|fs| {
            fs.table.write_out()?;
            let Some(info) = &fs.info else { return Ok(()) };
            let free = fs.table.free_clusters(2).count() as u32;
            info.write(fs.volume.as_ref(), free, fs.hint)
        })
    }
}
