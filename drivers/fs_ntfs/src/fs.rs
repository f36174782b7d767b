//! An open volume, and reading from it.

use crate::error::{NtfsError, Obstacle, as_obstacle};
use crate::folder::{self, Name};
use crate::hibernation::{Opening, Options, Sleeper};
use crate::inode::Inode;
use crate::layout::{ROOT, number_of, units};
use crate::library::Library;
use crate::mft::Reader;
use crate::name::{lookup, shown};
use crate::own::Own;
use crate::probe::NtfsFacts;
use crate::reparse::{self, Reparse};
use crate::state::{self, VolumeInfo};
use crate::wof;
use driver_core::guest_path::components;
use driver_core::{
    CachedVolume, Change, DirEntry, FileKind, FileMeta, GuestFile, GuestFs, Ownership, Volume,
};
use format_core::{Error, Result};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// An NTFS volume.
pub struct NtfsFs {
    pub(crate) reader: Reader,
    facts: NtfsFacts,
    pub(crate) obstacle: Option<Obstacle>,
    pub(crate) opening: Opening,
    pub(crate) own: Option<Own>,
    pub(crate) library: Option<Library>,
    /// Folders whose indexes were looked at before an edit.
    pub(crate) sound: BTreeSet<u64>,
    drive: Option<char>,
}

/// A file or folder on a path.
pub(crate) struct Found {
    pub(crate) inode: Inode,
    /// The name that led to it, `None` for the root folder.
    pub(crate) name: Option<Name>,
    pub(crate) reparse: Option<Reparse>,
}

impl Found {
    pub(crate) fn kind(&self) -> FileKind {
        reparse::kind(self.reparse.as_ref().map(|reparse| reparse.tag), self.inode.is_folder)
    }
}

/// Opens the NTFS volume on `volume`, and tries whether it can be edited; that leaves no trace on it.
///
/// Where it cannot be edited (Windows sleeps in it, it was not shut down, it is damaged in a place that an edit needs),
/// it is opened for reading, and [`NtfsFs::editable`] tells why.
///
/// # Errors
/// `Unsupported` when there is no NTFS volume, or a ReFS one; `NeedsPerson` for one encrypted with BitLocker; `Corrupt`
/// when its boot sector, `$MFT`, `$Volume` or `$UpCase` are wrong; what the volume reports.
pub fn open(volume: Arc<dyn Volume>) -> Result<NtfsFs> {
    open_with(volume, Options::default())
}

/// Opens the NTFS volume on `volume` as [`open`] does, with `options`, of which each is a change that
/// [`NtfsFs::opening`] then tells. It is made when nothing else stands in the way of editing, or not at all.
///
/// # Errors
/// As [`open`].
pub fn open_with(volume: Arc<dyn Volume>, options: Options) -> Result<NtfsFs> {
    let reader = Reader::open(CachedVolume::new(volume, "ntfs"))?;
    let info = VolumeInfo::load(&reader)?;
    let facts = NtfsFacts::of(&reader.boot, &info);
    let mut fs = NtfsFs {
        reader,
        facts,
        obstacle: None,
        opening: Opening::default(),
        own: None,
        library: None,
        sound: BTreeSet::new(),
        drive: None,
    };
    // Windows calls the volume that it started from C:, with few exceptions; for any other, nobody can tell from here.
    if fs.resolve(&["Windows", "System32", "config"]).is_ok_and(|found| found.is_some()) {
        fs.drive = Some('C');
    }
    fs.facts.hibernated = Sleeper::find(&fs.reader).is_ok_and(|sleeper| sleeper.is_some());
    let prepared = state::check(&fs.reader, &info, options.discard_hibernation)
        .and_then(|sleeper| fs.prepare(sleeper.as_ref()));
    fs.obstacle = as_obstacle(prepared)?;
    if fs.obstacle.is_some() {
        fs.library = None;
    }
    Ok(fs)
}

impl NtfsFs {
    /// Facts of the volume.
    #[must_use]
    pub fn facts(&self) -> &NtfsFacts {
        &self.facts
    }

    /// What opening changed on the volume: nothing, unless it was asked to.
    #[must_use]
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Whether the volume can be edited.
    ///
    /// # Errors
    /// The reason why not, `NeedsPerson` with the next step.
    pub fn editable(&self) -> Result<()> {
        self.obstacle.as_ref().map_or(Ok(()), |obstacle| Err(obstacle.to_error()))
    }

    /// Tells under which letter the guest's Windows has this volume: links to that letter then lead into it. A volume
    /// with `\Windows\System32\config` has C from the start.
    pub fn set_drive_letter(&mut self, letter: char) {
        self.drive = Some(letter);
    }

    /// What `names` lead to, `None` when there is nothing, or a link on the way.
    pub(crate) fn resolve(&self, names: &[&str]) -> Result<Option<Found>> {
        Ok(self.chain(names)?.and_then(|mut chain| chain.pop()))
    }

    /// Everything from the root folder to the end of `names`.
    pub(crate) fn chain(&self, names: &[&str]) -> Result<Option<Vec<Found>>> {
        let root = self.reader.inode(ROOT)?;
        let mut chain = vec![Found { inode: root, name: None, reparse: None }];
        for name in names {
            let Some(folder) = chain.last() else { return Ok(None) };
            let Some(wanted) = lookup(name) else { return Ok(None) };
            if folder.kind() != FileKind::Folder {
                return Ok(None);
            }
            let Some(name) = folder::find(&self.reader, &folder.inode, &wanted)? else { return Ok(None) };
            let inode = self.reader.inode(name.reference)?;
            if !folder::is_named_in(&inode, folder.inode.reference) {
                let what = "it does not have the name that leads to it".to_owned();
                return Err(NtfsError::Record { record: number_of(name.reference), what }.into());
            }
            let reparse = Reparse::of(&self.reader, &inode)?;
            chain.push(Found { inode, name: Some(name), reparse });
        }
        Ok(Some(chain))
    }

    pub(crate) fn find(&self, path: &str) -> Result<Option<Found>> {
        self.resolve(&components(path)?)
    }

    pub(crate) fn find_kind(&self, path: &str, wanted: FileKind) -> Result<Found> {
        let what = match wanted {
            FileKind::File => "a regular file",
            FileKind::Folder => "a folder",
            _ => "a symbolic link",
        };
        match self.find(path)? {
            Some(found) if found.kind() == wanted => Ok(found),
            Some(_) => Err(Error::usage(format!("{path:?} is not {what}"))),
            None => Err(Error::usage(format!("there is no {path:?}"))),
        }
    }

    /// The content of a file.
    pub(crate) fn content(&self, found: &Found, limit: u64) -> Result<Vec<u8>> {
        let file = self.open_found(found)?;
        let size = file.size();
        let len = usize::try_from(size).ok().filter(|_| size <= limit);
        let mut content = vec![0; len.ok_or(NtfsError::FileLimit { size, limit })?];
        file.read_at(0, &mut content)?;
        Ok(content)
    }

    fn entry_kind(&self, name: &Name) -> Result<FileKind> {
        let Some(tag) = name.tag() else { return Ok(reparse::kind(None, name.is_folder())) };
        if tag == reparse::WOF {
            return Ok(FileKind::File);
        }
        // The folder's copy of the tag is not always kept up.
        let inode = self.reader.inode(name.reference)?;
        let reparse = Reparse::of(&self.reader, &inode)?;
        Ok(reparse::kind(reparse.map(|reparse| reparse.tag), inode.is_folder))
    }

    /// A path within this volume, as its names are spelled, when it leads to something.
    fn spelled(&self, path: &str) -> Result<Option<String>> {
        let Some(chain) = self.chain(&components(path)?)? else { return Ok(None) };
        let names = chain.iter().filter_map(|found| found.name.as_ref());
        let joined: String = names.map(|name| format!("/{}", shown(&name.name))).collect();
        Ok(Some(if joined.is_empty() { "/".into() } else { joined }))
    }
}

pub(crate) fn elsewhere(what: &str, tag: u32) -> Error {
    NtfsError::Elsewhere { what: what.into(), by: reparse::keeper(tag), tag }.into()
}

impl GuestFs for NtfsFs {
    fn kind(&self) -> &'static str {
        "ntfs"
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        Ok(self.find(path)?.map(|found| {
            let kind = found.kind();
            let data = found.inode.data().filter(|_| kind == FileKind::File);
            FileMeta {
                kind,
                size: data.map_or(0, |data| data.size()),
                mode: found.inode.mode(),
                uid: 0,
                gid: 0,
                inode: number_of(found.inode.reference),
            }
        }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let found = self.find_kind(path, FileKind::Folder)?;
        let names = folder::list(&self.reader, &found.inode)?;
        names
            .iter()
            .map(|name| Ok(DirEntry { name: shown(&name.name), kind: self.entry_kind(name)? }))
            .collect()
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let found = self.find_kind(path, FileKind::File)?;
        self.content(&found, limit).map_err(|error| error.context(format!("read {path}")))
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        let found = self.find_kind(path, FileKind::File)?;
        self.open_found(&found).map_err(|error| error.context(format!("read {path}")))
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let found = self.find_kind(path, FileKind::Link)?;
        let link = found.reparse.as_ref().and_then(Reparse::link);
        let link = link
            .ok_or_else(|| Error::corrupt(format!("the target of {path:?} is no name")).in_format("ntfs"))?;
        match link.within(self.drive) {
            // Where the guest wrote another case than the names have: whoever compares paths sees one.
            Some(target) if target.starts_with('/') => {
                let spelled = self.spelled(&target).ok().flatten();
                Ok(spelled.unwrap_or(target))
            }
            Some(target) => Ok(target),
            None => Ok(link.shown()),
        }
    }

    fn allows(&self, path: &str, change: Change) -> Result<()> {
        self.may_change(path, change)
    }

    fn free_ranges(&self) -> Result<Option<Vec<Range<u64>>>> {
        self.find_free().map(Some)
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.replace(path, content)
    }

    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.append(path, bytes)
    }

    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.new_file(path, content, ownership)
    }

    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        self.new_folder(path, ownership)
    }

    fn create_link(&mut self, _path: &str, _target: &str) -> Result<()> {
        self.editable()?;
        Err(NtfsError::NoLinks.into())
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

/// The stream of packed content, as the library wants its name.
pub(crate) fn packed_stream() -> Vec<u16> {
    units(wof::STREAM)
}
