//! A file system in memory: for tests of everything that edits guests.

use crate::{DirEntry, FileKind, FileMeta, GuestFs, Ownership};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A file system in memory, to build phony guests for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemFs {
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(Vec<u8>, Ownership),
    Folder(Ownership),
    Link(String),
}

impl MemFs {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a file, and the folders above it.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.make_folders(path);
        self.nodes.insert(path.into(), Node::File(content.as_ref().to_vec(), Ownership::ROOT_FILE));
        self
    }

    /// The same with a symbolic link, and the folders above it.
    #[must_use]
    pub fn with_link(mut self, path: &str, target: &str) -> Self {
        self.make_folders(path);
        self.nodes.insert(path.into(), Node::Link(target.into()));
        self
    }

    /// The same with an empty folder, and the folders above it.
    #[must_use]
    pub fn with_folder(mut self, path: &str) -> Self {
        self.make_folders(&format!("{path}/x"));
        self
    }

    fn make_folders(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            self.nodes.entry(path[..at].into()).or_insert(Node::Folder(Ownership::ROOT_FOLDER));
        }
    }

    fn file_mut(&mut self, path: &str) -> Result<&mut Vec<u8>> {
        match self.nodes.get_mut(path) {
            Some(Node::File(content, _)) => Ok(content),
            _ => Err(no_file(path)),
        }
    }

    fn insert_new(&mut self, path: &str, node: Node) -> Result<()> {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent).unwrap_or_default();
        if !parent.is_empty() && !matches!(self.nodes.get(parent), Some(Node::Folder(_))) {
            return Err(Error::usage(format!("{parent} is no folder")));
        }
        if self.nodes.contains_key(path) {
            return Err(Error::usage(format!("{path} exists")));
        }
        self.nodes.insert(path.into(), node);
        Ok(())
    }
}

fn no_file(path: &str) -> Error {
    Error::usage(format!("{path} is no file"))
}

impl GuestFs for MemFs {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let inode = hasher.finish();
        let meta = |kind, size: usize, o: Ownership| FileMeta {
            kind,
            size: size as u64,
            mode: o.mode,
            uid: o.uid,
            gid: o.gid,
            inode,
        };
        if path == "/" {
            return Ok(Some(meta(FileKind::Folder, 0, Ownership::ROOT_FOLDER)));
        }
        Ok(self.nodes.get(path).map(|node| match node {
            Node::File(content, ownership) => meta(FileKind::File, content.len(), *ownership),
            Node::Folder(ownership) => meta(FileKind::Folder, 0, *ownership),
            Node::Link(target) => {
                meta(FileKind::Link, target.len(), Ownership { mode: 0o777, uid: 0, gid: 0 })
            }
        }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let entry = |(path, node): (&String, &Node)| {
            let name = path.strip_prefix(&prefix).filter(|name| !name.contains('/'))?.to_owned();
            let kind = match node {
                Node::File(..) => FileKind::File,
                Node::Folder(_) => FileKind::Folder,
                Node::Link(_) => FileKind::Link,
            };
            Some(DirEntry { name, kind })
        };
        let below = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        Ok(below.filter_map(entry).collect())
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        match self.nodes.get(path) {
            Some(Node::File(content, _)) if content.len() as u64 <= limit => Ok(content.clone()),
            Some(Node::File(..)) => {
                Err(Error::new(format_core::ErrorKind::Limit, format!("{path} is too large")))
            }
            _ => Err(no_file(path)),
        }
    }

    fn read_link(&self, path: &str) -> Result<String> {
        match self.nodes.get(path) {
            Some(Node::Link(target)) => Ok(target.clone()),
            _ => Err(Error::usage(format!("{path} is no link"))),
        }
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        *self.file_mut(path)? = content.to_vec();
        Ok(())
    }

    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.file_mut(path)?.extend_from_slice(bytes);
        Ok(())
    }

    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.insert_new(path, Node::File(content.to_vec(), ownership))
    }

    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        self.insert_new(path, Node::Folder(ownership))
    }

    fn create_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert_new(path, Node::Link(target.into()))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let node = self.nodes.get(from).cloned().ok_or_else(|| no_file(from))?;
        self.insert_new(to, node)?;
        self.nodes.remove(from);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.nodes.remove(path).map(|_| ()).ok_or_else(|| no_file(path))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
