//! What answers for the guest's files, on the thread that may ask them.

use crate::attributes::{Owner, TTL, errno, file_type, of_folder, of_guest, of_volume};
use crate::inodes::{Inodes, Place};
use crate::names::{is_name, shown};
use crate::session::Report;
use crate::shelf::{Contents, Item, Tree};
use driver_core::{FileKind, GuestFile};
use format_core::Error;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEntry, ReplyOpen,
};
use std::collections::HashMap;

/// Files and folders open at once at most; a program has 1024 by default.
const MAX_OPEN: usize = 4096;
/// Names of all open folders at most.
const MAX_NAMES: usize = 1 << 21;
/// Folders below one another at most: hostile folders lie in themselves.
const MAX_DEPTH: usize = 1024;
/// Inode number of a listed name that the kernel has not looked up (`FUSE_UNKNOWN_INO` of libfuse).
const UNKNOWN_INODE: u64 = 0xffff_ffff;
/// Marks the handle of a volume; the rest is its number.
const VOLUME_HANDLE: u64 = 1 << 63;

/// The volume that a handle is of.
pub(crate) fn volume_of(handle: FileHandle) -> Option<usize> {
    let number = handle.0.checked_sub(VOLUME_HANDLE)?;
    usize::try_from(number).ok()
}

/// A name in an open folder.
struct Listed {
    inode: u64,
    kind: FileType,
    name: String,
}

/// What an inode number stands for.
enum Node<'a> {
    Item(&'a Item),
    Guest(&'a Tree, Place),
}

/// Answers of the mount's folders and the guest's files.
pub(crate) struct Server<'a> {
    contents: &'a Contents,
    owner: Owner,
    inodes: Inodes,
    files: HashMap<u64, Box<dyn GuestFile + 'a>>,
    folders: HashMap<u64, Vec<Listed>>,
    names: usize,
    next_handle: u64,
    report: Report,
}

impl<'a> Server<'a> {
    pub(crate) fn new(contents: &'a Contents, owner: Owner, report: Report) -> Self {
        Self {
            contents,
            owner,
            inodes: Inodes::new(contents.first_free_inode()),
            files: HashMap::new(),
            folders: HashMap::new(),
            names: 0,
            next_handle: 1,
            report,
        }
    }

    /// Says what went wrong, and gives what a program gets of it.
    fn failed(&self, path: &str, error: Error) -> Errno {
        let errno = errno(&error);
        (self.report)(&error.context(path.to_owned()));
        errno
    }

    fn node(&self, inode: u64) -> Result<Node<'a>, Errno> {
        let root = |number: usize| Place { tree: number, path: "/".into() };
        let place = match self.contents.item(inode) {
            Some(Item::Tree(number)) => root(*number),
            Some(item) => return Ok(Node::Item(item)),
            None => self.inodes.place(inode).cloned().ok_or(Errno::ENOENT)?,
        };
        let tree = self.contents.tree(place.tree).ok_or(Errno::ENOENT)?;
        Ok(Node::Guest(tree, place))
    }

    fn attributes_of(&self, inode: u64) -> Result<FileAttr, Errno> {
        match self.node(inode)? {
            Node::Item(Item::Volume(number)) => {
                let size = self.contents.volume(*number).map_or(0, |volume| volume.size());
                Ok(of_volume(inode, size, self.owner))
            }
            Node::Item(_) => Ok(of_folder(inode, self.owner)),
            Node::Guest(tree, place) => self.guest_attributes(tree, &place.path, inode),
        }
    }

    fn guest_attributes(&self, tree: &Tree, path: &str, inode: u64) -> Result<FileAttr, Errno> {
        let found = tree.metadata(path).map_err(|error| self.failed(path, error))?;
        let mut meta = found.ok_or(Errno::ENOENT)?;
        // NTFS does not say how long the target of a link is in UTF-8, and programs make room for as much.
        if meta.kind == FileKind::Link
            && let Ok(target) = tree.guest().read_link(path)
        {
            meta.size = target.len() as u64;
        }
        Ok(of_guest(inode, &meta))
    }

    fn look_up(&mut self, parent: u64, name: &str) -> Result<FileAttr, Errno> {
        match self.node(parent)? {
            Node::Item(Item::Folder(folder)) => {
                let item = folder.get(name).ok_or(Errno::ENOENT)?;
                self.attributes_of(Contents::inode(*item))
            }
            Node::Item(_) => Err(Errno::ENOTDIR),
            Node::Guest(tree, place) => {
                if !is_name(name) {
                    return Err(Errno::ENOENT);
                }
                if place.path.matches('/').count() >= MAX_DEPTH {
                    return Err(Errno::ENAMETOOLONG);
                }
                let path = joined(&place.path, name);
                let mut attributes = self.guest_attributes(tree, &path, 0)?;
                let inode = self.inodes.look_up(Place { tree: place.tree, path: path.into() });
                attributes.ino = INodeNo(inode);
                Ok(attributes)
            }
        }
    }

    pub(crate) fn entry(&mut self, parent: u64, name: &str, reply: ReplyEntry) {
        match self.look_up(parent, name) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    pub(crate) fn forget(&mut self, inode: u64, count: u64) {
        self.inodes.forget(inode, count);
    }

    pub(crate) fn attributes(&self, inode: u64, reply: ReplyAttr) {
        match self.attributes_of(inode) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    pub(crate) fn link(&self, inode: u64, reply: ReplyData) {
        let target = match self.node(inode) {
            Ok(Node::Guest(tree, place)) => {
                tree.guest().read_link(&place.path).map_err(|error| self.failed(&place.path, error))
            }
            Ok(Node::Item(_)) => Err(Errno::EINVAL),
            Err(errno) => Err(errno),
        };
        match target {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn handle(&mut self) -> Result<u64, Errno> {
        if self.files.len() + self.folders.len() >= MAX_OPEN {
            return Err(Errno::ENFILE);
        }
        let handle = self.next_handle;
        self.next_handle += 1;
        Ok(handle)
    }

    fn open_file(&mut self, inode: u64) -> Result<u64, Errno> {
        match self.node(inode)? {
            Node::Item(Item::Volume(number)) => Ok(VOLUME_HANDLE | *number as u64),
            Node::Item(_) => Err(Errno::EISDIR),
            Node::Guest(tree, place) => {
                let handle = self.handle()?;
                let opened = tree.guest().open_file(&place.path);
                let file = opened.map_err(|error| self.failed(&place.path, error))?;
                self.files.insert(handle, file);
                Ok(handle)
            }
        }
    }

    pub(crate) fn open(&mut self, inode: u64, reply: ReplyOpen) {
        match self.open_file(inode) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    pub(crate) fn read(&self, handle: u64, offset: u64, size: u32, reply: ReplyData) {
        let Some(file) = self.files.get(&handle) else { return reply.error(Errno::EBADF) };
        let len = file.size().saturating_sub(offset).min(size.into());
        let mut buf = vec![0; len as usize];
        match file.read_at(offset, &mut buf) {
            Ok(()) => reply.data(&buf),
            Err(error) => reply.error(self.failed("read", error)),
        }
    }

    pub(crate) fn release(&mut self, handle: u64) {
        self.files.remove(&handle);
    }

    fn list(&self, inode: u64) -> Result<Vec<Listed>, Errno> {
        let dot = |name: &str, inode| Listed { inode, kind: FileType::Directory, name: name.to_owned() };
        let mut listed = vec![dot(".", inode), dot("..", UNKNOWN_INODE)];
        match self.node(inode)? {
            Node::Item(Item::Folder(folder)) => {
                for (name, item) in folder {
                    let inode = Contents::inode(*item);
                    let kind = self.attributes_of(inode)?.kind;
                    listed.push(Listed { inode, kind, name: name.clone() });
                }
            }
            Node::Item(_) => return Err(Errno::ENOTDIR),
            Node::Guest(tree, place) => {
                let entries = tree.read_dir(&place.path);
                for entry in entries.map_err(|error| self.failed(&place.path, error))? {
                    let path = joined(&place.path, &entry.name).into();
                    let known = self.inodes.known(&Place { tree: place.tree, path });
                    let (inode, kind) = (known.unwrap_or(UNKNOWN_INODE), file_type(entry.kind));
                    listed.push(Listed { inode, kind, name: shown(&entry.name) });
                }
            }
        }
        Ok(listed)
    }

    fn open_listing(&mut self, inode: u64) -> Result<u64, Errno> {
        let handle = self.handle()?;
        let listed = self.list(inode)?;
        if self.names + listed.len() > MAX_NAMES {
            return Err(Errno::ENFILE);
        }
        self.names += listed.len();
        self.folders.insert(handle, listed);
        Ok(handle)
    }

    pub(crate) fn open_folder(&mut self, inode: u64, reply: ReplyOpen) {
        match self.open_listing(inode) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    pub(crate) fn read_folder(&self, handle: u64, offset: u64, mut reply: ReplyDirectory) {
        let Some(listed) = self.folders.get(&handle) else { return reply.error(Errno::EBADF) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (number, name) in listed.iter().enumerate().skip(start) {
            if reply.add(INodeNo(name.inode), number as u64 + 1, name.kind, &name.name) {
                break;
            }
        }
        reply.ok();
    }

    pub(crate) fn release_folder(&mut self, handle: u64) {
        self.names -= self.folders.remove(&handle).map_or(0, |listed| listed.len());
    }
}

fn joined(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}
