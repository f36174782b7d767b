//! A file system that several owners read and nobody changes.

use crate::{Change, DirEntry, FileMeta, GuestFile, GuestFs, Ownership};
use format_core::{Error, Result};
use std::ops::Range;
use std::rc::Rc;

/// A file system that can be mounted in several trees, because it cannot be changed through any of them.
#[derive(Clone)]
pub struct ReadOnlyFs(Rc<dyn GuestFs>);

impl ReadOnlyFs {
    /// Wraps `fs`.
    #[must_use]
    pub fn new(fs: Box<dyn GuestFs>) -> Self {
        Self(Rc::from(fs))
    }
}

fn refused<T>() -> Result<T> {
    Err(Error::contract("a file system that is only looked into was to be changed"))
}

impl GuestFs for ReadOnlyFs {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        self.0.metadata(path)
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        self.0.read_dir(path)
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        self.0.read_file(path, limit)
    }

    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        self.0.open_file(path)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        self.0.read_link(path)
    }

    fn allows(&self, _: &str, _: Change) -> Result<()> {
        refused()
    }

    fn subvolumes(&self) -> Result<Vec<String>> {
        self.0.subvolumes()
    }

    fn open_subvolume(&self, path: &str) -> Result<Option<Box<dyn GuestFs>>> {
        Ok(self.0.open_subvolume(path)?.map(|fs| Box::new(Self::new(fs)) as Box<dyn GuestFs>))
    }

    fn free_ranges(&self) -> Result<Option<Vec<Range<u64>>>> {
        self.0.free_ranges()
    }

    fn replace_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        refused()
    }

    fn append_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        refused()
    }

    fn create_file(&mut self, _: &str, _: &[u8], _: Ownership) -> Result<()> {
        refused()
    }

    fn create_folder(&mut self, _: &str, _: Ownership) -> Result<()> {
        refused()
    }

    fn create_link(&mut self, _: &str, _: &str) -> Result<()> {
        refused()
    }

    fn rename(&mut self, _: &str, _: &str) -> Result<()> {
        refused()
    }

    fn remove(&mut self, _: &str) -> Result<()> {
        refused()
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemFs;

    #[test]
    fn it_is_read_from_everywhere_and_changed_from_nowhere() {
        let fs = ReadOnlyFs::new(Box::new(MemFs::new().with_file("/a", "x").with_link("/l", "a")));
        let mut other = fs.clone();
        for fs in [&fs, &other] {
            assert_eq!(fs.read_file("/a", 9).unwrap(), b"x");
            assert_eq!(fs.read_link("/l").unwrap(), "a");
            assert_eq!(fs.read_dir("/").unwrap().len(), 2);
            assert_eq!(fs.open_file("/a").unwrap().size(), 1);
        }
        assert!(other.replace_file("/a", b"y").is_err() && other.append_file("/a", b"y").is_err());
        assert!(other.create_file("/b", b"", Ownership::ROOT_FILE).is_err() && other.remove("/a").is_err());
        assert!(
            other.create_folder("/b", Ownership::ROOT_FOLDER).is_err() && other.rename("/a", "/b").is_err()
        );
        assert!(other.create_link("/b", "a").is_err() && other.allows("/a", Change::Remove).is_err());
        assert_eq!(fs.read_file("/a", 9).unwrap(), b"x");
    }
}
