//! An open file system, and reading from it.

use crate::boot_sector::{FatFacts, Geometry, Root, load};
use crate::check::check;
use crate::entry::{Entry, Stamp};
use crate::error::{FatError, Obstacle};
use crate::file::FatFile;
use crate::folder::Folder;
use crate::fs_info::FsInfo;
use crate::stamp::stamp_of;
use crate::table::{MAX_EDITED, Table};
use driver_core::guest_path::components;
use driver_core::{DirEntry, FileKind, FileMeta, GuestFile, GuestFs, Ownership, Volume};
use format_core::{Error, ErrorKind, Result};
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How the guest left the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatState {
    /// Unmounted, as far as it says.
    Clean,
    /// Mounted, or not cleanly unmounted. It can be edited when its chains are whole.
    InUse,
    /// The guest met errors.
    Errors,
}

/// A FAT file system on a volume.
pub struct FatFs {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) geometry: Geometry,
    pub(crate) table: Table,
    pub(crate) info: Option<FsInfo>,
    facts: FatFacts,
    state: FatState,
    /// What the check before the first edit found.
    checked: OnceCell<Option<Obstacle>>,
    /// An edit failed half-way: nothing may follow it.
    pub(crate) broken: Option<Obstacle>,
    /// Whether there is anything for `finish` to write.
    pub(crate) edited: bool,
    /// Where the search for free clusters begins.
    pub(crate) hint: u32,
    pub(crate) stamp: Stamp,
}

/// Where a path leads.
pub(crate) struct Found {
    pub(crate) folder: Folder,
    pub(crate) entry: Entry,
    /// The folders from the root to the one that holds it.
    pub(crate) above: Vec<Root>,
}

/// Opens the FAT file system on `volume`. New files and changes get the current time, in UTC.
///
/// # Errors
/// `Unsupported` when there is none; what the volume reports.
pub fn open(volume: Arc<dyn Volume>) -> Result<FatFs> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    open_at(volume, seconds)
}

/// The same with the time, in seconds since 1970, that new files and changes get.
///
/// # Errors
/// As [`open`].
pub fn open_at(volume: Arc<dyn Volume>, seconds: u64) -> Result<FatFs> {
    let (facts, geometry) = load(volume.as_ref())?.ok_or(FatError::NoBootSector)?;
    let table = Table::open(Arc::clone(&volume), &geometry)?;
    let info = FsInfo::load(volume.as_ref(), &geometry)?;
    let (unmounted, no_errors) = table.flags()?;
    let state = match (unmounted, no_errors, geometry.in_use) {
        (_, false, _) => FatState::Errors,
        (_, _, flags) if flags & 2 != 0 => FatState::Errors,
        (false, ..) => FatState::InUse,
        (_, _, flags) if flags & 1 != 0 => FatState::InUse,
        _ => FatState::Clean,
    };
    let hint = info.as_ref().map_or(2, |info| info.next);
    let (checked, broken, edited, stamp) = (OnceCell::new(), None, false, stamp_of(seconds));
    Ok(FatFs { volume, geometry, table, info, facts, state, checked, broken, edited, hint, stamp })
}

impl FatFs {
    /// Facts of the boot sector.
    #[must_use]
    pub fn facts(&self) -> &FatFacts {
        &self.facts
    }

    /// How the guest left it.
    #[must_use]
    pub fn state(&self) -> FatState {
        self.state
    }

    /// Whether the file system can be edited: reads all folders and chains once.
    ///
    /// # Errors
    /// The reason why not, `NeedsPerson` with the next step; what the volume reports.
    pub fn editable(&self) -> Result<()> {
        if let Some(broken) = &self.broken {
            return Err(broken.to_error());
        }
        let obstacle = match self.checked.get() {
            Some(known) => known,
            None => {
                let found = match self.find_obstacle() {
                    Ok(()) => None,
                    Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NeedsPerson) => {
                        Some(error.into())
                    }
                    Err(error) => return Err(error),
                };
                self.checked.get_or_init(|| found)
            }
        };
        obstacle.as_ref().map_or(Ok(()), |obstacle| Err(obstacle.to_error()))
    }

    fn find_obstacle(&self) -> Result<()> {
        if self.state == FatState::Errors {
            return Err(FatError::HardErrors.into());
        }
        if let Some(number) = self.geometry.only_fat {
            return Err(FatError::NoMirror(number).into());
        }
        if !self.table.is_whole() {
            return Err(FatError::TooLarge { clusters: self.geometry.clusters, limit: MAX_EDITED }.into());
        }
        check(self.volume.as_ref(), &self.table, &self.geometry)
    }

    pub(crate) fn load_folder(&self, place: Root) -> Result<Folder> {
        Folder::load(self.volume.as_ref(), &self.table, &self.geometry, place)
    }

    /// The folder at the end of `names` and the places of all from the root to it; `None` when there is none.
    pub(crate) fn folder(&self, names: &[&str]) -> Result<Option<(Folder, Vec<Root>)>> {
        let mut above = vec![self.geometry.root];
        let mut folder = self.load_folder(self.geometry.root)?;
        for name in names {
            let entries = folder.entries(&self.geometry);
            let found = entries.into_iter().find(|entry| entry.is_called(name));
            let Some(entry) = found.filter(Entry::is_folder) else { return Ok(None) };
            let place = Root::Cluster(entry.first);
            if above.contains(&place) {
                return Err(FatError::Shared { what: format!("{name:?}"), cluster: entry.first }.into());
            }
            folder = self.load_folder(place)?;
            above.push(place);
        }
        Ok(Some((folder, above)))
    }

    /// What `names` lead to, `None` when there is nothing or they are the root.
    pub(crate) fn find(&self, names: &[&str]) -> Result<Option<Found>> {
        let Some((last, parents)) = names.split_last() else { return Ok(None) };
        let Some((folder, above)) = self.folder(parents)? else { return Ok(None) };
        let found = folder.entries(&self.geometry).into_iter().find(|entry| entry.is_called(last));
        Ok(found.map(|entry| Found { folder, entry, above }))
    }

    pub(crate) fn find_file(&self, path: &str) -> Result<Found> {
        let found = self.find(&components(path)?)?;
        let file = found.filter(|found| !found.entry.is_folder());
        file.ok_or_else(|| Error::usage(format!("{path:?} is no regular file")))
    }

    /// At most `most` clusters of a file.
    pub(crate) fn clusters_of(&self, entry: &Entry, most: u64, what: &str) -> Result<Vec<u32>> {
        let (mut chain, mut number) = (Vec::new(), entry.first);
        while (chain.len() as u64) < most {
            if !self.geometry.is_cluster(number) {
                let last = self.table.last();
                return Err(FatError::Start { what: what.to_owned(), value: number, last }.into());
            }
            chain.push(number);
            match self.table.link(number)? {
                crate::table::Link::Next(next) => number = next,
                _ => break,
            }
        }
        Ok(chain)
    }
}

impl GuestFs for FatFs {
    fn kind(&self) -> &'static str {
        "vfat"
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        let names = components(path)?;
        // As Linux shows them with its default mask. FAT has no inode numbers: the entry's place stands for it.
        let meta = |kind, size, inode| FileMeta { kind, size, mode: 0o755, uid: 0, gid: 0, inode };
        if names.is_empty() {
            return Ok(Some(meta(FileKind::Folder, 0, 1)));
        }
        Ok(self.find(&names)?.map(|found| {
            let slot = found.entry.slots.end.saturating_sub(1);
            let inode = found.folder.offset_of(slot, &self.geometry);
            meta(kind(&found.entry), found.entry.size.into(), inode)
        }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let folder = self.folder(&components(path)?)?;
        let (folder, _) = folder.ok_or_else(|| Error::usage(format!("{path:?} is no folder")))?;
        let entries = folder.entries(&self.geometry).into_iter();
        Ok(entries.map(|entry| DirEntry { kind: kind(&entry), name: entry.name }).collect())
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let found = self.find_file(path)?;
        let size = found.entry.size;
        if u64::from(size) > limit {
            let message = format!("the file has {size:#x} bytes, the limit is {limit:#x}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let file = FatFile::open(self, &found.entry, path)?;
        let mut content = vec![0; size as usize];
        file.read_at(0, &mut content)?;
        Ok(content)
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        let found = self.find_file(path)?;
        Ok(Box::new(FatFile::open(self, &found.entry, path)?))
    }

    fn read_link(&self, path: &str) -> Result<String> {
        Err(Error::usage(format!("{path:?} is no link: FAT has none")))
    }

    fn free_ranges(&self) -> Result<Option<Vec<Range<u64>>>> {
        self.find_free()
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.replace(path, content)
    }

    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.append(path, bytes)
    }

    /// FAT keeps neither owner nor mode.
    fn create_file(&mut self, path: &str, content: &[u8], _: Ownership) -> Result<()> {
        self.new_file(path, content)
    }

    fn create_folder(&mut self, path: &str, _: Ownership) -> Result<()> {
        self.new_folder(path)
    }

    fn create_link(&mut self, path: &str, _: &str) -> Result<()> {
        Err(FatError::NoLinks(path.to_owned()).into())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.move_name(from, to)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.remove_name(path)
    }

    fn finish(&mut self) -> Result<()> {
        self.write_out()
    }
}

fn kind(entry: &Entry) -> FileKind {
    if entry.is_folder() { FileKind::Folder } else { FileKind::File }
}
