//! An open file system, and reading from it.

use crate::error::{ExtError, Obstacle};
use crate::file::ExtFile;
use crate::journal::Journal;
use crate::layout::{EXT4_ENCRYPT_FL, ROOT_INODE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::probe::{ExtFacts, readable_superblock};
use crate::superblock::Superblock;
use driver_core::guest_path::components;
use driver_core::{CachedVolume, DirEntry, FileKind, FileMeta, GuestFile, GuestFs, Ownership, Volume};
use ext2fs_sys::{BlockIo, Entry, Filesystem, Inode, IoFailed};
use format_core::{Error, ErrorKind, Result, codes};
use std::ops::Range;
use std::sync::Arc;

/// The longest name, in bytes: `EXT4_NAME_LEN`.
pub(crate) const NAME_LEN: usize = 255;
/// Names in one folder at most.
const MAX_ENTRIES: usize = 1 << 20;
/// Block reads of one look-up or listing at most (1 GiB of a folder with 4 KiB blocks).
const MAX_READS: u64 = 1 << 18;

/// What opening a file system changed on the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Transactions of the journal that were replayed.
    pub transactions: u32,
    /// Blocks that the replay wrote.
    pub blocks: u64,
    /// Deleted but still open files that were freed.
    pub orphans_deleted: u64,
    /// Files whose cut was completed.
    pub orphans_cut: u64,
}

/// An ext2, ext3 or ext4 file system on a volume.
pub struct ExtFs {
    pub(crate) fs: Filesystem,
    pub(crate) io: Arc<CachedVolume>,
    pub(crate) sb: Superblock,
    pub(crate) facts: ExtFacts,
    pub(crate) obstacle: Option<Obstacle>,
    pub(crate) opening: Opening,
    pub(crate) bitmaps_loaded: bool,
    /// Whether there is anything for `finish` to write.
    pub(crate) edited: bool,
    /// What was free before orphans were, where there are such.
    pub(crate) free_before_orphans: Option<Result<Vec<Range<u64>>, Obstacle>>,
}

/// Opens the ext file system on `volume`, replays its journal and frees its orphans.
///
/// Where that is not possible the file system is opened for reading as it is, and [`ExtFs::editable`] tells why.
///
/// # Errors
/// `Unsupported` when there is no ext file system or none that can be read; `Corrupt` when its superblock or group
/// descriptors are wrong; what the volume reports.
pub fn open(volume: Arc<dyn Volume>) -> Result<ExtFs> {
    let io = CachedVolume::new(volume, "ext4");
    let sb = readable_superblock(&io)?;
    let facts = ExtFacts::of(&sb);
    let mut opening = Opening::default();
    let prepared = prepare(&io, &sb, &mut opening);
    let sb = readable_superblock(&io)?;
    let mut obstacle = as_obstacle(prepared.and_then(|()| no_obstacle(sb.state_obstacle())))?;
    let fs = open_library(&io, obstacle.is_none())?;
    let (bitmaps_loaded, edited, free_before_orphans) = (false, false, None);
    let mut opened =
        ExtFs { fs, io, sb, facts, obstacle: None, opening, bitmaps_loaded, edited, free_before_orphans };
    if obstacle.is_none() {
        if opened.has_orphans() {
            opened.free_before_orphans = Some(opened.free_by_bitmaps().map_err(Obstacle::from));
        }
        obstacle = as_obstacle(opened.settle())?;
        if obstacle.is_some() {
            // The library has seen changes that were taken back: a new one has not.
            opened.fs = open_library(&opened.io, false)?;
            opened.opening = opening;
            opened.bitmaps_loaded = false;
        }
    }
    opened.obstacle = obstacle;
    Ok(opened)
}

/// Replays the journal where that is needed and possible; the error tells why it was not done.
fn prepare(io: &Arc<CachedVolume>, sb: &Superblock, opening: &mut Opening) -> Result<()> {
    no_obstacle(sb.feature_obstacle())?;
    no_obstacle(sb.state_obstacle())?;
    if !sb.has_journal() {
        return Ok(());
    }
    let journal = Journal::open(io, sb)?;
    if sb.needs_recovery() {
        let replayed = journal.replay(sb)?;
        opening.transactions = replayed.transactions;
        opening.blocks = replayed.blocks;
    } else if journal.has_data() {
        return Err(ExtError::UnclearJournal.into());
    }
    Ok(())
}

/// An error that stands in the way of editing only; a machine that cannot read or write stays an error.
fn as_obstacle(result: Result<()>) -> Result<Option<Obstacle>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Temporary | ErrorKind::Contract) => {
            Err(error)
        }
        Err(error) => Ok(Some(error.into())),
    }
}

fn no_obstacle(obstacle: Option<ExtError>) -> Result<()> {
    obstacle.map_or(Ok(()), |obstacle| Err(obstacle.into()))
}

/// The library's view of a volume.
struct LibraryIo(Arc<CachedVolume>);

impl BlockIo for LibraryIo {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), IoFailed> {
        let done = self.0.spend().and_then(|()| self.0.read(offset, buf));
        self.0.keep_failure(done).then_some(()).ok_or(IoFailed)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailed> {
        self.0.keep_failure(self.0.write(offset, bytes)).then_some(()).ok_or(IoFailed)
    }
}

pub(crate) fn open_library(io: &Arc<CachedVolume>, writable: bool) -> Result<Filesystem> {
    io.grant(MAX_READS);
    Filesystem::open(Box::new(LibraryIo(Arc::clone(io))), writable).map_err(|error| convert(io, error))
}

/// The library's error as ours, with the reason where a read or write failed.
pub(crate) fn convert(io: &CachedVolume, error: ext2fs_sys::Error) -> Error {
    let reason = io.take_failure();
    match (error, reason) {
        (_, Some(reason)) => reason,
        (ext2fs_sys::Error::NoSpace, None) => Error::needs_person("no space left in the guest's file system")
            .with_code(&codes::GUEST_SPACE)
            .in_format("ext4"),
        (error, None) => Error::corrupt(error.to_string()).in_format("ext4"),
    }
}

impl ExtFs {
    /// Facts of the superblock as it was found, before replay.
    #[must_use]
    pub fn facts(&self) -> &ExtFacts {
        &self.facts
    }

    /// What opening changed on the volume.
    #[must_use]
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Whether the file system can be edited.
    ///
    /// # Errors
    /// The reason why not, `NeedsPerson` with the next step.
    pub fn editable(&self) -> Result<()> {
        self.obstacle.as_ref().map_or(Ok(()), |obstacle| Err(obstacle.to_error()))
    }

    pub(crate) fn check<T>(&self, result: ext2fs_sys::Result<T>) -> Result<T> {
        result.map_err(|error| convert(&self.io, error))
    }

    pub(crate) fn stat(&self, ino: u32) -> Result<Inode> {
        self.io.grant(MAX_READS);
        self.check(self.fs.stat(ino))
    }

    /// The inode at the end of `names`, `None` when there is none.
    pub(crate) fn resolve(&self, names: &[&str]) -> Result<Option<u32>> {
        Ok(self.chain(names)?.and_then(|chain| chain.last().copied()))
    }

    /// The inodes from the root folder to the end of `names`, `None` when there is none.
    pub(crate) fn chain(&self, names: &[&str]) -> Result<Option<Vec<u32>>> {
        let (mut ino, mut chain) = (ROOT_INODE, vec![ROOT_INODE]);
        for name in names {
            if self.named(ino)?.mode & S_IFMT != S_IFDIR || name.len() > NAME_LEN {
                return Ok(None);
            }
            self.io.grant(MAX_READS);
            match self.check(self.fs.lookup(ino, name))? {
                Some(found) => ino = found,
                None => return Ok(None),
            }
            chain.push(ino);
        }
        Ok(Some(chain))
    }

    pub(crate) fn find(&self, path: &str) -> Result<Option<(u32, Inode)>> {
        let Some(ino) = self.resolve(&components(path)?)? else { return Ok(None) };
        let inode = self.named(ino).map_err(|error| error.context(path))?;
        Ok(Some((ino, inode)))
    }

    /// The inode to which a name led. One that is not in use is damage that Linux does not open either (`ext4_iget`), and a
    /// file that is missing is something else.
    fn named(&self, ino: u32) -> Result<Inode> {
        let inode = self.stat(ino)?;
        if inode.links == 0 {
            let text = format!("a name in a folder leads to inode {ino}, which is not in use");
            return Err(Error::corrupt(text)
                .in_format("ext4")
                .hint("run e2fsck -f on the file system in the guest (or on a copy of the image), then export it again"));
        }
        Ok(inode)
    }

    /// The inode that `path` names, which must be of the type `wanted` (`S_IF*`).
    pub(crate) fn find_kind(&self, path: &str, wanted: u32) -> Result<(u32, Inode)> {
        match self.find(path)? {
            Some((ino, inode)) if inode.mode & S_IFMT == wanted => Ok((ino, inode)),
            Some(_) => Err(Error::usage(format!("{path:?} is not {}", kind_name(wanted)))),
            None => Err(Error::usage(format!("there is no {path:?}"))),
        }
    }

    /// Names in a folder without `.` and `..`.
    pub(crate) fn entries(&self, ino: u32) -> Result<Vec<Entry>> {
        self.io.grant(MAX_READS);
        let mut entries = self.check(self.fs.list(ino, MAX_ENTRIES))?;
        if entries.len() >= MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Limit, format!("a folder with more than {MAX_ENTRIES} names")));
        }
        entries.retain(|entry| entry.name != b"." && entry.name != b"..");
        Ok(entries)
    }

    fn entry_kind(&self, entry: &Entry) -> Result<FileKind> {
        Ok(match entry.file_type {
            1 => FileKind::File,
            2 => FileKind::Folder,
            7 => FileKind::Link,
            3..=6 => FileKind::Other,
            _ => kind(self.stat(entry.ino)?.mode),
        })
    }

    pub(crate) fn content(&self, ino: u32, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        not_encrypted(inode)?;
        let size = match usize::try_from(inode.size) {
            Ok(size) if inode.size <= limit => size,
            _ => {
                let message = format!("the file has {:#x} bytes, the limit is {limit:#x}", inode.size);
                return Err(Error::new(ErrorKind::Limit, message));
            }
        };
        let mut content = vec![0; size];
        self.read_piece(ino, 0, &mut content)?;
        Ok(content)
    }

    /// Fills `buf` from `offset` of the regular file `ino`.
    pub(crate) fn read_piece(&self, ino: u32, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.io.grant(MAX_READS + buf.len() as u64 / 256);
        let wanted = buf.len();
        let got = self.check(self.fs.read(ino, offset, buf))?;
        if got != wanted {
            return Err(Error::corrupt(format!("{got:#x} of {wanted:#x} bytes of a file could be read")));
        }
        Ok(())
    }
}

/// Refuses a file whose content the guest has encrypted.
fn not_encrypted(inode: &Inode) -> Result<()> {
    if inode.flags & EXT4_ENCRYPT_FL != 0 {
        return Err(Error::needs_person("the file is encrypted by the guest (fscrypt)")
            .with_code(&codes::GUEST_LOCKED_FILES)
            .in_format("ext4"));
    }
    Ok(())
}

fn kind(mode: u32) -> FileKind {
    match mode & S_IFMT {
        S_IFREG => FileKind::File,
        S_IFDIR => FileKind::Folder,
        S_IFLNK => FileKind::Link,
        _ => FileKind::Other,
    }
}

fn kind_name(wanted: u32) -> &'static str {
    match wanted {
        S_IFREG => "a regular file",
        S_IFDIR => "a folder",
        _ => "a symbolic link",
    }
}

/// A name that could not be opened is shown so that it cannot be mistaken for one that can.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(['/', '\0'], "\u{fffd}")
}

impl GuestFs for ExtFs {
    fn kind(&self) -> &'static str {
        self.facts.kind
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        Ok(self.find(path)?.map(|(ino, inode)| FileMeta {
            kind: kind(inode.mode),
            size: inode.size,
            mode: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            inode: ino.into(),
        }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let (ino, _) = self.find_kind(path, S_IFDIR)?;
        let entries = self.entries(ino)?;
        entries
            .iter()
            .map(|entry| Ok(DirEntry { name: shown(&entry.name), kind: self.entry_kind(entry)? }))
            .collect()
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let (ino, inode) = self.find_kind(path, S_IFREG)?;
        self.content(ino, &inode, limit).map_err(|error| error.context(format!("read {path}")))
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        let (ino, inode) = self.find_kind(path, S_IFREG)?;
        not_encrypted(&inode).map_err(|error| error.context(format!("read {path}")))?;
        Ok(Box::new(ExtFile { fs: self, ino, size: inode.size }))
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let (ino, _) = self.find_kind(path, S_IFLNK)?;
        let target = self.check(self.fs.read_link(ino))?;
        String::from_utf8(target).map_err(|_| Error::corrupt(format!("the target of {path:?} is no UTF-8")))
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

    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.new_file(path, content, ownership)
    }

    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        self.new_folder(path, ownership)
    }

    fn create_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.new_link(path, target)
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
