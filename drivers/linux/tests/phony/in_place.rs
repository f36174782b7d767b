//! A file system in memory that is edited in place only, as XFS is: content goes into the blocks that a file has.

use driver_core::{Change, DirEntry, FileMeta, GuestFs, MemFs, Ownership};
use format_core::{Error, Result};

const BLOCK: u64 = 4096;

pub struct InPlace {
    fs: MemFs,
}

impl InPlace {
    pub fn new(fs: MemFs) -> Self {
        Self { fs }
    }
}

fn refused() -> Error {
    Error::contract("an edit that was not asked for")
}

impl GuestFs for InPlace {
    fn kind(&self) -> &'static str {
        "in-place"
    }
    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        self.fs.metadata(path)
    }
    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        self.fs.read_dir(path)
    }
    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        self.fs.read_file(path, limit)
    }
    fn read_link(&self, path: &str) -> Result<String> {
        self.fs.read_link(path)
    }
    fn allows(&self, path: &str, change: Change) -> Result<()> {
        let size = self.metadata(path)?.map(|meta| meta.size.next_multiple_of(BLOCK));
        match change {
            Change::Content { size: new } if size.is_some_and(|old| new <= old) => Ok(()),
            _ => Err(Error::needs_person(format!("{path}: this file system is edited in place only"))
                .hint("make this change in the guest before exporting")),
        }
    }
    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.allows(path, Change::Content { size: content.len() as u64 })?;
        self.fs.replace_file(path, content)
    }
    fn append_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        Err(refused())
    }
    fn create_file(&mut self, _: &str, _: &[u8], _: Ownership) -> Result<()> {
        Err(refused())
    }
    fn create_folder(&mut self, _: &str, _: Ownership) -> Result<()> {
        Err(refused())
    }
    fn create_link(&mut self, _: &str, _: &str) -> Result<()> {
        Err(refused())
    }
    fn rename(&mut self, _: &str, _: &str) -> Result<()> {
        Err(refused())
    }
    fn remove(&mut self, _: &str) -> Result<()> {
        Err(refused())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
