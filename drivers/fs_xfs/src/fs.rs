//! An open file system, and reading from it.

use crate::dir::{self, Names, Target};
use crate::error::XfsError;
use crate::extents::{self, Extent};
use crate::inode::Inode;
use crate::layout::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::log;
use crate::probe::XfsFacts;
use crate::superblock::Superblock;
use crate::symlink;
use crate::volume::{CachedVolume, Medium};
use driver_core::guest_path::components;
use driver_core::{Change, DirEntry, FileKind, FileMeta, GuestFile, GuestFs, Ownership, Volume, check_range};
use format_core::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Names of folders kept at most.
const MAX_KEPT_NAMES: usize = 1 << 20;

/// What was found on opening. Nothing is ever changed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The log holds changes, or may hold some: why.
    pub dirty_log: Option<String>,
}

/// An XFS on a volume.
pub struct XfsFs {
    pub(crate) medium: Medium,
    facts: XfsFacts,
    opening: Opening,
    /// Why nothing in it can be trusted.
    unreadable: Option<XfsError>,
    /// Why it can only be read.
    uneditable: Option<XfsError>,
    folders: Mutex<Folders>,
}

/// Folders that were read: paths lead through the same ones again and again.
#[derive(Default)]
struct Folders {
    by_inode: HashMap<u64, Arc<Names>>,
    names: usize,
}

/// Opens the XFS on `volume`.
///
/// With a dirty log, and what else only the guest's kernel can put right, it opens all the same, but every call that
/// reads or edits returns the reason; so does [`XfsFs::readable`].
///
/// # Errors
/// `Unsupported` when there is no XFS or none that can be read; `Corrupt` when its superblock is wrong; what the volume
/// reports.
pub fn open(volume: Arc<dyn Volume>) -> Result<XfsFs> {
    let volume = CachedVolume::new(volume);
    let sb = Superblock::load(&volume)?;
    let mut unreadable = sb.read_obstacle();
    let mut opening = Opening::default();
    if unreadable.is_none()
        && let Some(why) = log::why_dirty(&volume, &sb)?
    {
        opening.dirty_log = Some(why.clone());
        unreadable = Some(XfsError::DirtyLog(why));
    }
    Ok(XfsFs {
        facts: XfsFacts::of(&sb),
        uneditable: sb.edit_obstacle(),
        medium: Medium { volume, sb },
        opening,
        unreadable,
        folders: Mutex::default(),
    })
}

impl XfsFs {
    /// Facts of the superblock.
    #[must_use]
    pub fn facts(&self) -> &XfsFacts {
        &self.facts
    }

    /// What was found on opening.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Whether the file system can be read.
    ///
    /// # Errors
    /// The reason why not, `NeedsPerson` with the next step.
    pub fn readable(&self) -> Result<()> {
        self.unreadable.clone().map_or(Ok(()), |obstacle| Err(obstacle.into()))
    }

    /// Whether content of files can be overwritten.
    ///
    /// # Errors
    /// The reason why not, `NeedsPerson` with the next step.
    pub fn editable(&self) -> Result<()> {
        self.readable()?;
        self.uneditable.clone().map_or(Ok(()), |obstacle| Err(obstacle.into()))
    }

    /// The inode that `path` names, `None` when there is none.
    fn find(&self, path: &str) -> Result<Option<Inode>> {
        Ok(self.chain(path)?.and_then(|mut chain| chain.pop()))
    }

    /// The inodes from the root folder to the one that `path` names.
    pub(crate) fn chain(&self, path: &str) -> Result<Option<Vec<Inode>>> {
        self.readable()?;
        let mut chain = Vec::new();
        let mut ino = self.medium.sb.root_inode;
        let mut inode = Inode::load(&self.medium, ino)?;
        if !inode.is(S_IFDIR) {
            return Err(XfsError::Structure(format!("the root folder's inode {ino:#x} is none")).into());
        }
        for name in components(path)? {
            if !inode.is(S_IFDIR) {
                return Ok(None);
            }
            match self.names(&inode)?.get(name.as_bytes()) {
                Some(target) => ino = target.ino,
                None => return Ok(None),
            }
            chain.push(inode);
            inode = Inode::load(&self.medium, ino)?;
        }
        chain.push(inode);
        Ok(Some(chain))
    }

    /// The inode that `path` names, which must be of the type `wanted` (`S_IF*`).
    pub(crate) fn find_kind(&self, path: &str, wanted: u16) -> Result<Inode> {
        match self.find(path)? {
            Some(inode) if inode.is(wanted) => Ok(inode),
            Some(_) => Err(Error::usage(format!("{path:?} is not {}", kind_name(wanted)))),
            None => Err(Error::usage(format!("there is no {path:?}"))),
        }
    }

    fn names(&self, inode: &Inode) -> Result<Arc<Names>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = folders.by_inode.get(&inode.ino) {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(dir::load(&self.medium, inode)?);
        if folders.names + names.len() > MAX_KEPT_NAMES {
            *folders = Folders::default();
        }
        folders.names += names.len() + 1;
        folders.by_inode.insert(inode.ino, Arc::clone(&names));
        Ok(names)
    }

    fn target_kind(&self, target: Target) -> Result<FileKind> {
        Ok(match target.file_type {
            1 => FileKind::File,
            2 => FileKind::Folder,
            7 => FileKind::Link,
            3..=6 => FileKind::Other,
            _ => kind(Inode::load(&self.medium, target.ino)?.mode),
        })
    }

    fn content(&self, inode: &Inode, path: &str, limit: u64) -> Result<Vec<u8>> {
        let size = match usize::try_from(inode.size) {
            Ok(size) if inode.size <= limit => size,
            _ => {
                let message = format!("the file has {:#x} bytes, the limit is {limit:#x}", inode.size);
                return Err(Error::new(ErrorKind::Limit, message));
            }
        };
        let file = self.open(inode, path)?;
        let mut content = vec![0; size];
        file.read_at(0, &mut content)?;
        Ok(content)
    }

    fn open(&self, inode: &Inode, path: &str) -> Result<XfsFile<'_>> {
        if inode.is_realtime() {
            return Err(XfsError::Realtime(path.to_owned()).into());
        }
        let extents = extents::load(&self.medium, inode)?;
        Ok(XfsFile { medium: &self.medium, extents, size: inode.size })
    }
}

/// An open regular file.
struct XfsFile<'fs> {
    medium: &'fs Medium,
    extents: Vec<Extent>,
    size: u64,
}

impl GuestFile for XfsFile<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        buf.fill(0);
        extents::read(self.medium, &self.extents, offset, buf)
    }
}

fn kind(mode: u16) -> FileKind {
    match mode & S_IFMT {
        S_IFREG => FileKind::File,
        S_IFDIR => FileKind::Folder,
        S_IFLNK => FileKind::Link,
        _ => FileKind::Other,
    }
}

fn kind_name(wanted: u16) -> &'static str {
    match wanted {
        S_IFREG => "a regular file",
        S_IFDIR => "a folder",
        _ => "a symbolic link",
    }
}

impl GuestFs for XfsFs {
    fn kind(&self) -> &'static str {
        "xfs"
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        Ok(self.find(path)?.map(|inode| FileMeta {
            kind: kind(inode.mode),
            size: inode.size,
            mode: u32::from(inode.mode) & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            inode: inode.ino,
        }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let names = self.names(&self.find_kind(path, S_IFDIR)?)?;
        let entry = |(name, target): (&Vec<u8>, &Target)| {
            Ok(DirEntry {
                name: String::from_utf8_lossy(name).into_owned(),
                kind: self.target_kind(*target)?,
            })
        };
        names.iter().map(entry).collect()
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let inode = self.find_kind(path, S_IFREG)?;
        self.content(&inode, path, limit).map_err(|error| error.context(format!("read {path}")))
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        let inode = self.find_kind(path, S_IFREG)?;
        let file = self.open(&inode, path).map_err(|error| error.context(format!("read {path}")))?;
        Ok(Box::new(file))
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let target = symlink::load(&self.medium, &self.find_kind(path, S_IFLNK)?)?;
        let text = String::from_utf8(target);
        text.map_err(|_| Error::corrupt(format!("the target of {path:?} is no UTF-8")).in_format("xfs"))
    }

    fn allows(&self, path: &str, change: Change) -> Result<()> {
        self.rehearse(path, change)
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

    fn create_file(&mut self, path: &str, _: &[u8], _: Ownership) -> Result<()> {
        Err(self.refuse_names("new", path))
    }

    fn create_folder(&mut self, path: &str, _: Ownership) -> Result<()> {
        Err(self.refuse_names("new", path))
    }

    fn create_link(&mut self, path: &str, _: &str) -> Result<()> {
        Err(self.refuse_names("new", path))
    }

    fn rename(&mut self, from: &str, _: &str) -> Result<()> {
        Err(self.refuse_names("to be renamed", from))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        Err(self.refuse_names("to be removed", path))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
