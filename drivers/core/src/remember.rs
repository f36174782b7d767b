//! A file system that remembers what was read of it: every fixup, for every target, looks at the same few folders.

use crate::{Change, DirEntry, FileMeta, GuestFile, GuestFs, Ownership};
use format_core::Result;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// More answers than this are forgotten, all at once: far more than one guest's fixups ask for, and a few MiB.
const MAX_ANSWERS: usize = 1 << 14;
/// Folders with more names are read again, each time.
const MAX_NAMES: usize = 4096;
/// Larger files are read again, each time.
const MAX_FILE: usize = 64 << 10;
/// Bytes of files and names that are kept at once.
const MAX_BYTES: usize = 16 << 20;
/// What an entry takes besides its name.
const ENTRY_BYTES: usize = 64;

/// Answers like the file system below it, and asks that once, until something is changed through it.
pub(crate) struct Remembering {
    fs: Box<dyn GuestFs>,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    metadata: HashMap<String, Option<FileMeta>>,
    folders: HashMap<String, Vec<DirEntry>>,
    files: HashMap<String, Vec<u8>>,
    links: HashMap<String, String>,
    bytes: usize,
}

impl Seen {
    /// Makes room for one more answer of so many bytes.
    fn make_room(&mut self, path: &str, bytes: usize) {
        let answers = self.metadata.len() + self.folders.len() + self.files.len() + self.links.len();
        if answers >= MAX_ANSWERS || self.bytes > MAX_BYTES {
            *self = Self::default();
        }
        self.bytes += path.len() + ENTRY_BYTES + bytes;
    }
}

impl Remembering {
    pub(crate) fn new(fs: Box<dyn GuestFs>) -> Self {
        Self { fs, seen: RefCell::default() }
    }

    /// Whatever is asked next is asked of the file system itself.
    pub(crate) fn forget(&mut self) {
        *self.seen.get_mut() = Seen::default();
    }

    /// The file system itself, to be changed: nothing that was remembered holds any more.
    fn changed(&mut self) -> &mut dyn GuestFs {
        self.forget();
        self.fs.as_mut()
    }
}

impl GuestFs for Remembering {
    fn kind(&self) -> &'static str {
        self.fs.kind()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.fs.as_any()
    }

    fn reopen(&self) -> Result<Option<Box<dyn GuestFs>>> {
        self.fs.reopen()
    }

    fn subvolumes(&self) -> Result<Vec<String>> {
        self.fs.subvolumes()
    }

    fn open_subvolume(&self, path: &str) -> Result<Option<Box<dyn GuestFs>>> {
        self.fs.open_subvolume(path)
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        if let Some(meta) = self.seen.borrow().metadata.get(path) {
            return Ok(*meta);
        }
        let meta = self.fs.metadata(path)?;
        let mut seen = self.seen.borrow_mut();
        seen.make_room(path, 0);
        seen.metadata.insert(path.to_owned(), meta);
        Ok(meta)
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        if let Some(entries) = self.seen.borrow().folders.get(path) {
            return Ok(entries.clone());
        }
        let entries = self.fs.read_dir(path)?;
        if entries.len() <= MAX_NAMES {
            let mut seen = self.seen.borrow_mut();
            seen.make_room(path, entries.iter().map(|entry| entry.name.len() + ENTRY_BYTES).sum());
            seen.folders.insert(path.to_owned(), entries.clone());
        }
        Ok(entries)
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        if let Some(content) = self.seen.borrow().files.get(path)
            && content.len() as u64 <= limit
        {
            return Ok(content.clone());
        }
        let content = self.fs.read_file(path, limit)?;
        if content.len() <= MAX_FILE {
            let mut seen = self.seen.borrow_mut();
            seen.make_room(path, content.len());
            seen.files.insert(path.to_owned(), content.clone());
        }
        Ok(content)
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        self.fs.open_file(path)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        if let Some(target) = self.seen.borrow().links.get(path) {
            return Ok(target.clone());
        }
        let target = self.fs.read_link(path)?;
        let mut seen = self.seen.borrow_mut();
        seen.make_room(path, target.len());
        seen.links.insert(path.to_owned(), target.clone());
        Ok(target)
    }

    fn allows(&self, path: &str, change: Change) -> Result<()> {
        self.fs.allows(path, change)
    }

    fn free_ranges(&self) -> Result<Option<Vec<Range<u64>>>> {
        self.fs.free_ranges()
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.changed().replace_file(path, content)
    }

    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.changed().append_file(path, bytes)
    }

    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.changed().create_file(path, content, ownership)
    }

    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        self.changed().create_folder(path, ownership)
    }

    fn create_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.changed().create_link(path, target)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.changed().rename(from, to)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.changed().remove(path)
    }

    fn finish(&mut self) -> Result<()> {
        self.changed().finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemFs;

    #[test]
    fn answers_are_those_of_the_file_system_also_after_changes() {
        let mut fs =
            Remembering::new(Box::new(MemFs::new().with_file("/etc/a", "old").with_link("/l", "etc")));
        for _ in 0..2 {
            assert_eq!(fs.read_file("/etc/a", 9).unwrap(), b"old");
            assert!(fs.read_file("/etc/a", 2).is_err(), "the limit holds for what is remembered");
            assert_eq!(fs.read_dir("/etc").unwrap().len(), 1);
            assert_eq!(fs.metadata("/etc/b").unwrap(), None);
            assert_eq!(fs.read_link("/l").unwrap(), "etc");
        }
        fs.replace_file("/etc/a", b"new!").unwrap();
        assert_eq!(fs.read_file("/etc/a", 9).unwrap(), b"new!");
        assert_eq!(fs.metadata("/etc/a").unwrap().unwrap().size, 4);
        fs.create_file("/etc/b", b"b", Ownership::ROOT_FILE).unwrap();
        assert!(fs.metadata("/etc/b").unwrap().is_some());
        assert_eq!(fs.read_dir("/etc").unwrap().len(), 2);
        fs.remove("/l").unwrap();
        assert!(fs.read_link("/l").is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut fs = MemFs::new().with_file("/large", "x".repeat(MAX_FILE + 1));
        for number in 0..300 {
            fs = fs.with_file(&format!("/{number}"), "x".repeat(MAX_FILE));
        }
        let fs = Remembering::new(Box::new(fs));
        for number in 0..300 {
            fs.read_file(&format!("/{number}"), u64::MAX).unwrap();
        }
        fs.read_file("/large", u64::MAX).unwrap();
        assert!(!fs.seen.borrow().files.contains_key("/large"));
        let kept: usize = fs.seen.borrow().files.values().map(Vec::len).sum();
        assert!(kept <= MAX_BYTES + MAX_FILE, "{kept}");
        for number in 0..2 * MAX_ANSWERS {
            fs.metadata(&format!("/none{number}")).unwrap();
        }
        assert!(fs.seen.borrow().metadata.len() <= MAX_ANSWERS);
    }
}
